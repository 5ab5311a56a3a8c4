"""Arms: what they move rows to, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from steerer_cases import K, Pair

from mfa_sklearn.steering import Arm
from mfa_sklearn.steering._evaluation.steered import n_features

X = torch.tensor([[1.0, 2.0], [0.0, -1.0]])


def test_directions_and_centroids_are_their_formulas() -> None:
    vector = np.array([2.0, 4.0])
    along = Arm.directions({"a": vector}, [1]).moves["a"]
    towards = Arm.centroids({"a": torch.tensor(vector)}, [1]).moves["a"]
    for strength in (0.0, 0.25, 3.0):
        assert torch.equal(along(X, strength), X + strength * torch.tensor([2.0, 4.0]))
        assert torch.equal(towards(X, strength), X + strength * (torch.tensor([2.0, 4.0]) - X))
    assert along(X.half(), 1.0).dtype == torch.float16


def test_strengths_are_kept_in_order() -> None:
    assert Arm.directions({"a": [1.0]}, [2, np.float64(0.5)]).strengths == (0.5, 2.0)


@pytest.mark.parametrize("method", ["centroid", "transport"])
def test_regions_are_the_steerers_own_moves(llama: Pair, method: str) -> None:
    arm = Arm.regions(llama.steerer, {"a": 3, "b": 1}, [0.4, 1.0], method)
    x = torch.randn(4, n_features(llama.steerer), generator=torch.Generator().manual_seed(0))
    for concept, component in (("a", 3), ("b", 1)):
        move = llama.steerer.steer(component, 0.4, method=method)._parts[0].move
        expected = move(x, torch.zeros(4, dtype=torch.long))
        assert torch.equal(arm.moves[concept](x, 0.4), expected)


def test_options_may_differ_by_concept(llama: Pair) -> None:
    x = torch.zeros(1, n_features(llama.steerer))
    scores = {"a": np.array([1.0, 0, 0]), "b": np.array([0, 2.0, 0])}
    arm = Arm.regions(llama.steerer, {"a": 3, "b": 3}, [1.0], z=scores)
    loadings = torch.as_tensor(llama.steerer._mixture.params.loadings[3])
    means = torch.as_tensor(llama.steerer._mixture.params.means[3])
    for concept, z in scores.items():
        expected = means + loadings @ torch.as_tensor(z)
        torch.testing.assert_close(arm.moves[concept](x, 1.0)[0].double(), expected, rtol=1e-5, atol=1e-5)


def stay(x: torch.Tensor, strength: float) -> torch.Tensor:
    return x


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Arm({}, [1]), ValueError, "moves is empty"),
        (lambda: Arm([stay], [1]), TypeError, "moves must be a dict"),  # type: ignore[arg-type]
        (lambda: Arm({"a": 3}, [1]), TypeError, r"moves\['a'\] must be a function"),  # type: ignore[dict-item]
        (lambda: Arm({"a": stay}, 0.5), TypeError, r"pass \[0.5\]"),  # type: ignore[arg-type]
        (lambda: Arm({"a": stay}, []), ValueError, "at least one number"),
        (lambda: Arm({"a": stay}, [1, 1.0]), ValueError, "none twice"),
        (lambda: Arm({"a": stay}, [0]), ValueError, "holds 0: give finite ones above 0"),
        (lambda: Arm({"a": stay}, [float("nan")]), ValueError, "holds nan"),
        (lambda: Arm({"a": stay}, ["x"]), TypeError, "holds 'x'"),  # type: ignore[list-item]
        (lambda: Arm.directions({"a": [[1.0]]}, [1]), ValueError, r"directions\['a'\] must be a vector"),
        (lambda: Arm.directions({"a": [np.nan]}, [1]), ValueError, "finite numbers"),
        (lambda: Arm.centroids([[1.0]], [1]), TypeError, "centroids must be a dict"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_arm_is_refused(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_regions_are_checked_when_they_are_named(llama: Pair) -> None:
    with pytest.raises(ValueError, match=f"component={K} is out of range"):
        Arm.regions(llama.steerer, {"a": 0, "b": K}, [1.0])
    with pytest.raises(ValueError, match="method='jump' is unknown"):
        Arm.regions(llama.steerer, {"a": 0}, [1.0], "jump")
    with pytest.raises(TypeError, match="components must be a dict"):
        Arm.regions(llama.steerer, [0], [1.0])  # type: ignore[arg-type]
