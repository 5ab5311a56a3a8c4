"""The algebra of the solver against dense matrices and finite differences, and where it must not get lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from move_cases import K, covariance, draws, log_joints, make_params, posteriors, rows
from scipy.optimize import approx_fprime
from scipy.special import logit, logsumexp

from mfa_sklearn.mixture._model.density import log_joint
from mfa_sklearn.mixture._model.params import MFAParams
from mfa_sklearn.steering import _odds_solver as solver
from mfa_sklearn.steering._operators import evaluable

C = np.array([0.1, 1.0, 0.4, 0.0])


def make_problem(params: MFAParams, x: torch.Tensor, c: np.ndarray = C) -> solver._Problem:
    density = evaluable(params, torch.device("cpu"))
    own = log_joint(density, x).argmax(-1)
    with np.errstate(divide="ignore"):
        table = solver.Table(torch.as_tensor(np.log(c)), torch.as_tensor(np.log1p(-c)))
    return solver._Problem(
        density, table, 0.5, x, own, solver._take(density.cov, own), *torch.full((2, len(x)), 100.0).double()
    )


@pytest.mark.parametrize("noise", ["isotropic", "shared", "component"])
def test_gradients_are_those_of_the_dense_odds(noise: str) -> None:
    params = make_params(noise)
    x = draws(params, list(range(K)))
    at = make_problem(params, x).gradient(torch.zeros_like(x))
    posterior = posteriors(params, x.numpy())

    def odds(y: np.ndarray) -> float:
        joint = log_joints(params, y[None])[0]
        return float(logsumexp(joint, b=C) - logsumexp(joint, b=1 - C))

    for row, excess, gradient in zip(x.numpy(), at.excess, at.gradient, strict=True):
        assert float(excess) == pytest.approx(odds(row) - 0.5)
        np.testing.assert_allclose(gradient.numpy(), approx_fprime(row, odds, 1e-6), rtol=1e-4, atol=1e-4)
    for found, share in ((at.within, C), (at.without, 1 - C)):
        expected = posterior * share / (posterior * share).sum(1, keepdims=True)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-8)


@pytest.mark.parametrize("noise", ["isotropic", "shared", "component"])
def test_the_metric_of_the_own_region_is_dense(noise: str) -> None:
    params, step = make_params(noise), rows(K)
    problem = make_problem(params, draws(params, list(range(K))))
    flat, pull = problem.flat(step), problem.pull(step)
    for i, k in enumerate(problem.region.tolist()):
        expected = np.linalg.solve(covariance(params, k), step[i].numpy())
        np.testing.assert_allclose(pull[i].numpy(), expected, atol=1e-8)
        assert float(flat[i].square().sum()) == pytest.approx(float(step[i].numpy() @ expected))


@pytest.mark.parametrize("noise", ["isotropic", "shared", "component"])
@pytest.mark.parametrize("multiplier", [0.0, 0.4, 30.0])
def test_the_matrix_of_the_quadratic_problem_is_dense(noise: str, multiplier: float) -> None:
    params, vectors = make_params(noise), torch.stack([rows(K), rows(K, seed=4)], -1)
    x = draws(params, list(range(K)))
    problem = make_problem(params, x)
    at = problem.gradient(torch.zeros_like(x))
    solved = problem.solve(vectors, torch.full((K,), multiplier).double(), at)
    for i, k in enumerate(problem.region.tolist()):
        inside = int(at.within[i].argmax())
        share = max(1 - multiplier * float(at.without[i, k]), 0.1)
        inverses = [np.linalg.inv(covariance(params, j)) for j in (k, inside)]
        matrix = share * inverses[0] + multiplier * inverses[1]
        np.testing.assert_allclose(solved[i].numpy(), np.linalg.solve(matrix, vectors[i].numpy()), rtol=1e-6, atol=1e-6)


def test_flat_odds_between_walls_are_no_trap() -> None:
    """Soft memberships far apart: no gradient where rows are, and a wall that a long step would leap over."""
    params = make_params("component")
    params = params._replace(means=4 * params.means)
    x, c = draws(params, [1, 2, 3] * 4), np.array([0.98, 0.05, 0.4, 0.2])
    problem = make_problem(params, x, c)
    level = float(logit(0.9))
    step, reached = solver.solve(problem.density, problem.table, level, x, log_joint(problem.density, x))
    assert bool(reached.all())
    straight = solver._to_a_mean(problem._replace(level=level))
    length = problem.flat(step).square().sum(-1)
    assert bool((length <= straight.length * (1 + 1e-9)).all()) and float((length / straight.length).median()) < 0.9


def test_pieces_are_solved_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    params = make_params()
    x = draws(params, [0, 2, 3] * 3)
    problem = make_problem(params, x, np.array([0.0, 1.0, 0.0, 0.0]))
    joint = log_joint(problem.density, x)
    whole = solver.solve(problem.density, problem.table, 1.0, x, joint)
    monkeypatch.setattr(solver, "_PIECE_BYTES", 1)
    assert solver._piece(problem.density) == 1
    pieces = solver.solve(problem.density, problem.table, 1.0, x, joint)
    torch.testing.assert_close(whole[0], pieces[0], rtol=1e-5, atol=1e-5)
    assert torch.equal(whole[1], pieces[1])
