"""How probable a concept is, and the smallest move that makes it so: dense formulas, a closed form, scipy, draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from move_cases import D, K, as_mfa, covariance, draws, log_joints, make_params, posteriors, rows
from scipy.optimize import minimize
from scipy.special import expit, logit, logsumexp

from mfa_sklearn.mixture._model.params import MFAParams
from mfa_sklearn.steering import posterior_log_odds, reach_posterior

HARD = {"one": {2: 1.0}, "two": {0: 1.0, 3: 1.0}}
MEMBERSHIPS = {**HARD, "soft": {0: 0.02, 1: 0.3, 2: 0.97, 3: 0.1}}


def dense_odds(params: MFAParams, x: np.ndarray, memberships: dict[int, float]) -> np.ndarray:
    c = np.array([memberships.get(k, 0.0) for k in range(K)])
    joint = log_joints(params, x)
    return logsumexp(joint, axis=1, b=c) - logsumexp(joint, axis=1, b=1 - c)


def lengths(params: MFAParams, x: torch.Tensor, moved: torch.Tensor) -> np.ndarray:
    """Squared lengths in the metric of each row's own region."""
    own, step = log_joints(params, x.numpy()).argmax(1), (moved - x).numpy()
    return np.array([s @ np.linalg.solve(covariance(params, k), s) for k, s in zip(own, step, strict=True)])


@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize("concept", MEMBERSHIPS)
def test_log_odds_are_those_of_the_posterior(noise: str, concept: str) -> None:
    params, x = make_params(noise), rows(40)
    odds = posterior_log_odds(as_mfa(params), x, MEMBERSHIPS[concept]).numpy()
    np.testing.assert_allclose(odds, dense_odds(params, x.numpy(), MEMBERSHIPS[concept]), rtol=1e-8, atol=1e-8)
    posterior = posteriors(params, x.numpy())
    np.testing.assert_allclose(
        expit(odds), sum(posterior[:, k] * c for k, c in MEMBERSHIPS[concept].items()), atol=1e-9
    )


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.99])
def test_two_regions_of_one_covariance_have_a_closed_form(probability: float) -> None:
    params, x = make_params(), rows(30)
    params = MFAParams(
        torch.tensor([0.2, 0.8]).double().log(), params.means[:2], params.loadings[:1].expand(2, -1, -1), params[3]
    )
    delta, level = (params.means[1] - params.means[0]).numpy(), logit(probability)
    square = delta @ np.linalg.solve(covariance(params, 0), delta)
    centered = x.numpy() - params.means[:2].mean(0).numpy()
    odds = centered @ np.linalg.solve(covariance(params, 0), delta) + np.log(0.8 / 0.2)
    expected = x.numpy() + np.maximum(level - odds, 0)[:, None] / square * delta
    moved, reached = reach_posterior(params, x, {1: 1.0}, probability)
    assert bool(reached.all()) and 0 < (odds < level).sum() < len(x)
    np.testing.assert_allclose(moved.numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize("concept", MEMBERSHIPS)
@pytest.mark.parametrize("probability", [0.3, 0.9])
def test_draws_reach_what_is_asked_for_and_go_no_farther(noise: str, concept: str, probability: float) -> None:
    params = make_params(noise)
    x, memberships = draws(params, list(range(K)) * 10), MEMBERSHIPS[concept]
    moved, reached = reach_posterior(params, x, memberships, probability)
    before, after = (dense_odds(params, y.numpy(), memberships) - logit(probability) for y in (x, moved))
    there = before >= 0
    assert bool(reached.all()) and 0 < there.sum() < len(x)
    assert moved[there].numpy().tobytes() == x[there].numpy().tobytes()
    assert (np.abs(after[~there]) < 1e-4).all()


@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize("concept", HARD)
def test_the_move_is_as_short_as_scipy_finds_it(noise: str, concept: str) -> None:
    params = make_params(noise)
    x, memberships = draws(params, [0, 1, 2]), HARD[concept]
    found = lengths(params, x, reach_posterior(params, x, memberships, 0.9).moved)
    own = log_joints(params, x.numpy()).argmax(1)
    for row, k, length in zip(x.numpy(), own, found, strict=True):
        best = shortest_by_scipy(params, row, np.linalg.inv(covariance(params, k)), memberships)
        assert length <= best * (1 + 1e-4) + 1e-8


def shortest_by_scipy(params: MFAParams, x: np.ndarray, metric: np.ndarray, memberships: dict[int, float]) -> float:
    """The shortest solution from several starts."""

    def excess(y: np.ndarray) -> float:
        return float(dense_odds(params, y[None], memberships)[0] - logit(0.9))

    starts = [x, *(params.means[k].numpy() for k in memberships)]
    solutions = [
        minimize(
            lambda y: (y - x) @ metric @ (y - x),
            start,
            jac=lambda y: 2 * metric @ (y - x),
            method="SLSQP",
            constraints={"type": "ineq", "fun": excess},
            options={"maxiter": 200, "ftol": 1e-10},
        )
        for start in starts
    ]
    return min(float(s.fun) for s in solutions if excess(s.x) > -1e-5)


def test_a_probability_of_nothing_changes_no_bit() -> None:
    x = torch.full((3, D), -0.0)
    moved, reached = reach_posterior(make_params(), x, {1: 1.0}, 0.0)
    assert moved.numpy().tobytes() == x.numpy().tobytes() and bool(reached.all())
    everything = reach_posterior(make_params(), x, [1.0] * K, 0.9)
    assert everything.moved.numpy().tobytes() == x.numpy().tobytes() and bool(everything.reached.all())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rows_keep_their_precision(dtype: torch.dtype) -> None:
    params = make_params()
    x = draws(params, list(range(K)) * 3).to(dtype)
    moved, reached = reach_posterior(params, x, HARD["one"], 0.9)
    exact = reach_posterior(params, x.double(), HARD["one"], 0.9).moved
    assert moved.dtype == dtype and bool(reached.all())
    torch.testing.assert_close(moved, exact.to(dtype), rtol=0, atol=0)


def test_rows_that_cannot_reach_it_are_told() -> None:
    """Two regions that are one and the same: the posterior is the same everywhere."""
    params = make_params()
    twice = MFAParams(torch.tensor([0.5, 0.5]).double().log(), *(p[[0, 0]] for p in params[1:3]), params[3])
    x = rows(4)
    moved, reached = reach_posterior(twice, x, {1: 1.0}, 0.9)
    assert not reached.any() and torch.equal(moved, x)
    assert bool(reach_posterior(twice, x, {1: 1.0}, 0.4).reached.all())


def test_rows_that_are_no_numbers_stay_and_are_not_there() -> None:
    x = rows(3)
    x[1, 0] = torch.nan
    moved, reached = reach_posterior(make_params(), x, {1: 1.0}, 0.9)
    assert reached.tolist() == [True, False, True]
    torch.testing.assert_close(moved[1], x[1], rtol=0, atol=0, equal_nan=True)


def test_a_row_moves_the_same_alone_and_among_others() -> None:
    params = make_params("component")
    x = draws(params, list(range(K)) * 3)
    together = reach_posterior(params, x, HARD["two"], 0.8).moved
    alone = torch.cat([reach_posterior(params, row[None], HARD["two"], 0.8).moved for row in x])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_gradients_of_rows_go_through() -> None:
    x = rows(4).requires_grad_()
    reach_posterior(make_params(), x, {1: 1.0}, 0.9).moved.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.ones_like(x))


@pytest.mark.parametrize(
    ("memberships", "probability", "error", "match"),
    [
        ({1: 1.5}, 0.5, ValueError, r"must lie in \[0, 1\]"),
        ({9: 1.0}, 0.5, ValueError, "component=9"),
        ({1: 0.4}, 0.9, ValueError, r"probability=0.9 is out of reach: .* a membership of 0.4"),
        ({1: 1.0}, 1.0, ValueError, r"probability=1 must lie in \[0, 1\)"),
        ({1: 1.0}, -0.1, ValueError, "probability=-0.1 must lie in"),
        ({1: 1.0}, float("nan"), ValueError, "probability=nan must lie in"),
        ({1: 1.0}, "half", TypeError, "probability='half' must be a number"),
        ({1: 1.0}, True, TypeError, "probability=True"),
    ],
)
def test_what_cannot_be_is_refused(memberships: Any, probability: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        reach_posterior(make_params(), rows(), memberships, probability)
