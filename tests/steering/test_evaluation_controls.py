"""Controls move rows as far as their arm does, and elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mfa_sklearn.steering import Arm
from mfa_sklearn.steering._evaluation.controls import shuffled_cycle, with_controls

X = torch.as_tensor(np.random.default_rng(0).normal(size=(5, 3)))
CENTROIDS = {"a": [1.0, 0, 0], "b": [0, 5.0, 0], "c": [0, 0, -9.0]}
ARMS = {"it": Arm.centroids(CENTROIDS, [0.5, 1]), "other": Arm.directions(CENTROIDS, [1])}


@pytest.mark.parametrize("control", ["random", "foreign"])
def test_controls_go_as_far_row_by_row(control: str) -> None:
    found = with_controls(ARMS, [control], None, 3, 0)
    assert list(found) == ["it", f"it ({control})", "other"]
    for concept, move in found[f"it ({control})"].moves.items():
        own = ARMS["it"].moves[concept]
        for strength in (0.5, 1.0):
            length = (move(X, strength) - X).norm(dim=1)
            torch.testing.assert_close(length, (own(X, strength) - X).norm(dim=1))
            assert not torch.allclose(move(X, strength), own(X, strength))
        assert torch.equal(move(X, 0.0), X)


def test_a_foreign_move_points_to_another_concept() -> None:
    foreign = with_controls(ARMS, ["foreign"], None, 3, 0)["it (foreign)"]
    targets = []
    for move in foreign.moves.values():
        step = torch.nn.functional.normalize(move(X, 1.0) - X)
        toward = {c: torch.nn.functional.normalize(torch.tensor(v) - X) for c, v in CENTROIDS.items()}
        targets += [c for c, expected in toward.items() if torch.allclose(step, expected)]
    assert sorted(targets) == ["a", "b", "c"]
    assert all(target != concept for target, concept in zip(targets, foreign.moves, strict=True))


def test_a_random_direction_is_one_per_concept_and_seed() -> None:
    steps = {}
    for seed in (0, 0, 1):
        arm = with_controls(ARMS, ["random"], ["other"], 3, seed)["other (random)"]
        step = torch.nn.functional.normalize(arm.moves["a"](X, 1.0) - X)
        torch.testing.assert_close(step, step[:1].expand_as(step))
        assert torch.equal(steps.setdefault(seed, step), step)
    assert not torch.allclose(steps[0], steps[1])


@pytest.mark.parametrize("n", [2, 3, 40])
def test_each_stands_in_for_one_other(n: int) -> None:
    partner = shuffled_cycle(n, np.random.default_rng(0))
    assert sorted(partner) == list(range(n)) and (partner != np.arange(n)).all()


@pytest.mark.parametrize(
    ("arms", "controls", "controlled", "error", "match"),
    [
        (ARMS, "random", None, TypeError, r"controls='random' must be a list: pass \['random'\]"),
        (ARMS, ["none"], None, ValueError, "controls='none' is unknown"),
        (ARMS, ["random"], ["x"], ValueError, "controlled='x' is unknown; choose one of 'it', 'other'"),
        ({"it": Arm.directions({"a": [1.0, 0, 0]}, [1])}, ["foreign"], None, ValueError, "none is foreign to it"),
        ({"it": ARMS["it"], "it (random)": ARMS["it"]}, ["random"], None, ValueError, "the name of another's control"),
    ],
)
def test_what_is_no_control_is_refused(
    arms: Any, controls: Any, controlled: Any, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        with_controls(arms, controls, controlled, 3, 0)
