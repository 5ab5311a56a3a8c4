"""Moves that follow regions, against dense formulas and draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from move_cases import D, K, Q, as_mfa, draws, make_params, posteriors, rows

from mfa_sklearn import MFA
from mfa_sklearn.steering import (
    Gate,
    concept_scores,
    keep_norm,
    opens,
    region_direction,
)

SCORES = np.random.default_rng(3).normal(size=(K, Q))


@pytest.mark.parametrize("scores", [None, SCORES])
def test_the_direction_to_a_set_is_its_formula(scores: Any) -> None:
    params = make_params("component")
    weights, means, loadings = params.log_weights.exp().numpy(), params.means.numpy(), params.loadings.numpy()
    ends = means if scores is None else means + np.einsum("kdq,kq->kd", loadings, scores)
    expected = 0.25 * ends[3] + 0.75 * ends[1] - weights @ means
    np.testing.assert_allclose(region_direction(as_mfa(params), {3: 1, 1: 3}, scores).numpy(), expected, atol=1e-8)
    np.testing.assert_allclose(region_direction(params, [0, 0.6, 0, 0.2], scores).numpy(), expected, atol=1e-8)


def test_the_direction_to_shares_and_scores_of_a_concept_is_a_difference_of_means() -> None:
    """Where noise is next to nothing the factors tell all of a row, and weights and means are those of the rows."""
    params, regions = make_params(), np.array([0, 0, 1, 2, 2, 3] * 40)
    params = params._replace(means=30 * params.means, noise_variance=params.noise_variance * 1e-8)
    X = draws(params, regions.tolist()).numpy()
    means = np.stack([X[regions == k].mean(0) for k in range(K)])
    mfa = MFA.from_params(
        np.bincount(regions) / len(X), means, params.loadings.numpy(), params.noise_variance[0].numpy()
    )
    high = X[:, 0] > np.median(X[:, 0])
    scores = concept_scores(mfa, X, np.where(high, "high", "low"))["high"]
    found = region_direction(mfa, np.bincount(regions[high], minlength=K), scores).numpy()
    np.testing.assert_allclose(found, X[high].mean(0) - X.mean(0), atol=1e-3)


@pytest.mark.parametrize(
    ("weights", "error", "match"),
    [
        ({4: 1.0}, ValueError, "component=4 is out of range"),
        ({"river": 1.0}, TypeError, "component='river'"),
        ({1: -1.0}, ValueError, "must be finite, not negative, and not all 0"),
        ({1: float("nan")}, ValueError, "must be finite"),
        ({1: "much"}, TypeError, r"weights\[1\]='much' must be a number"),
        ({}, ValueError, "weights={} is empty"),
        ({1: 0.0}, ValueError, "not all 0"),
        ([1.0, 2.0], ValueError, r"shape \(2,\) .* for each of the 4 regions"),
        (["a"] * 4, ValueError, "give a number for each"),
    ],
)
def test_weights_that_are_none_are_refused(weights: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        region_direction(make_params(), weights)


@pytest.mark.parametrize(
    ("scores", "error", "match"),
    [
        (np.zeros((K, Q + 1)), ValueError, r"shape \(4, 3\).* each of the 4 regions, of 2 factor scores"),
        (np.full((K, Q), np.nan), ValueError, "NaN or infinity"),
        ([["a"] * Q] * K, TypeError, "must hold numbers"),
        ({0: 1.0}, TypeError, r"give an array \(4, 2\)"),
    ],
)
def test_scores_that_are_none_are_refused(scores: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        region_direction(make_params(), {0: 1.0}, scores)


@pytest.mark.parametrize(
    "gate", [Gate([0, 2], at_least=0.3), Gate(1, below=0.2), Gate([3, 1], 0.1, 0.9), Gate({0: 0.5, 3: 1}, below=0.4)]
)
def test_a_gate_opens_for_responsibilities_within_its_bounds(gate: Gate) -> None:
    params = make_params()
    x = torch.as_tensor(np.random.default_rng(0).normal(0, 2, (400, D)))
    memberships = gate.components if isinstance(gate.components, dict) else dict.fromkeys(np.ravel(gate.components), 1)
    share = sum(c * posteriors(params, x.numpy())[:, k] for k, c in memberships.items())
    low = -1 if gate.at_least is None else gate.at_least
    high = 2 if gate.below is None else gate.below
    expected = (share >= low) & (share < high)
    assert 0 < expected.sum() < len(x)
    np.testing.assert_array_equal(opens(params, x, gate).numpy(), expected)


@pytest.mark.parametrize(
    ("gate", "error", "match"),
    [
        ([0, 2], TypeError, r"gate=\[0, 2\] must be a Gate"),
        (Gate([0, 4], below=0.5), ValueError, "component=4"),
        (Gate("river", below=0.5), TypeError, "component='river'"),
        (Gate([], below=0.5), ValueError, "moves every row"),
        (Gate({1: 1.5}, below=0.5), ValueError, r"memberships must lie in \[0, 1\], got 1.5"),
        (Gate({1: -0.5}, below=0.5), ValueError, "gate's components.* must be finite, not negative"),
        (Gate(0), ValueError, "moves every row"),
        (Gate(0, at_least=1.5), ValueError, r"at_least=1.5 must lie in \[0, 1\]"),
        (Gate(0, below=float("nan")), ValueError, "below=nan must lie in"),
        (Gate(0, below="half"), TypeError, "below='half' must be a probability"),
        (Gate(0, at_least=0.5, below=0.5), ValueError, "moves no row"),
    ],
)
def test_gates_that_are_none_are_refused(gate: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        opens(make_params(), rows(), gate)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_kept_norm_is_that_of_the_row(dtype: torch.dtype) -> None:
    x, moved = 200 * rows(dtype=dtype), 300 * rows(seed=5, dtype=dtype)
    moved[0], moved[1] = x[0], 0
    kept = keep_norm(moved, x)
    assert kept.dtype == dtype
    torch.testing.assert_close(kept[0], x[0], rtol=0, atol=0)
    assert not kept[1].any()
    eps = torch.finfo(dtype).eps
    np.testing.assert_allclose(kept[2:].double().norm(dim=1), x[2:].double().norm(dim=1), rtol=4 * eps)
    cosine = torch.nn.functional.cosine_similarity(kept[2:].double(), moved[2:].double())
    np.testing.assert_allclose(cosine, 1, rtol=4 * eps)


def test_a_row_that_did_not_move_keeps_its_bits() -> None:
    x = torch.full((2, D), -0.0)
    assert keep_norm(x, x).numpy().tobytes() == x.numpy().tobytes()
