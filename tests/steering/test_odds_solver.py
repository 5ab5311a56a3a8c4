"""The algebra of the solver against dense matrices and finite differences, and where it must not get lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from move_cases import K, covariance, draws, log_joints, make_params, posteriors, rows
from scipy.optimize import approx_fprime, nnls
from scipy.special import logit, logsumexp

from mfa_sklearn.mixture._model.density import log_joint
from mfa_sklearn.mixture._model.params import MFAParams
from mfa_sklearn.steering import _odds_solver as solver
from mfa_sklearn.steering._operators import evaluable

C = np.array([0.1, 1.0, 0.4, 0.0])
OUTSIDE = np.array([0, 2, 3])  # the regions that are not wholly of the concept


def make_problem(params: MFAParams, x: torch.Tensor, c: np.ndarray = C) -> solver._Problem:
    density = evaluable(params, torch.device("cpu"))
    own = log_joint(density, x).argmax(-1)
    with np.errstate(divide="ignore"):
        table = solver.Table(torch.as_tensor(np.log(c)), torch.as_tensor(np.log1p(-c)))
    return solver._Problem(
        density, table, 0.5, x, own, solver._take(density.cov, own), *torch.full((2, len(x)), 100.0).double()
    )


@pytest.mark.parametrize("noise", ["isotropic", "shared", "component"])
def test_constraints_and_their_gradients_are_those_of_the_dense_densities(noise: str) -> None:
    params = make_params(noise)
    x = draws(params, list(range(K)))
    problem = make_problem(params, x)
    at = problem.gradient(torch.zeros_like(x))

    def constraints(y: np.ndarray) -> np.ndarray:
        """That of all regions without the concept, and of each alone but the one that has no share there."""
        joint = log_joints(params, y[None])[0]
        alone = joint[OUTSIDE] + np.log1p(-C[OUTSIDE])
        return logsumexp(joint, b=C) - 0.5 - np.append(logsumexp(joint, b=1 - C), alone)

    for i, row in enumerate(x.numpy()):
        expected = constraints(row)
        order = [0, *(1 + np.argsort(expected[1:]))]
        slopes = np.stack([approx_fprime(row, lambda y, j=j: constraints(y)[j], 1e-6) for j in order], axis=1)
        np.testing.assert_allclose(at.excess[i].numpy(), expected[order], rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(at.gradient[i].numpy(), slopes, rtol=1e-4, atol=1e-4)
        posterior = posteriors(params, row[None])[0]
        outside = posterior * (1 - C) / (posterior @ (1 - C))
        regions = OUTSIDE[np.array(order[1:]) - 1]
        own = int(problem.region[i])
        np.testing.assert_allclose(at.share[i].numpy(), [outside[own], *(regions == own)], atol=1e-8)
        assert int(at.inner[i]) == (posterior * C).argmax()
        deviations = slopes[:, :1] - slopes[:, 1:]
        np.testing.assert_allclose(at.spread[i].numpy(), deviations * np.sqrt(outside[regions]), rtol=1e-3, atol=1e-3)


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
    at, share = problem.gradient(torch.zeros_like(x)), torch.tensor([0.0, 0.5, 0.95, 20.0]).double()
    solved = problem.solve(vectors, torch.full((K,), multiplier).double(), share, at)
    for i, k in enumerate(problem.region.tolist()):
        own, inside = (np.linalg.inv(covariance(params, j)) for j in (k, int(at.inner[i])))
        spread = (at.spread[i] @ at.spread[i].mT).numpy()
        matrix = max(1 - float(share[i]), 0.1) * own + multiplier * (inside + spread)
        np.testing.assert_allclose(solved[i].numpy(), np.linalg.solve(matrix, vectors[i].numpy()), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_constraints", [1, 2, 4])
def test_multipliers_are_those_of_non_negative_least_squares(n_constraints: int) -> None:
    """``|R v - R^-T b|^2 / 2`` with A = R^T R is the problem, but for a constant."""
    rng = np.random.default_rng(0)
    roots, wanted = rng.normal(size=(20, 6, n_constraints)), rng.normal(size=(20, n_constraints))
    matrix = np.einsum("nij,nik->njk", roots, roots)
    found = solver._multipliers(torch.as_tensor(matrix), torch.as_tensor(wanted)).numpy()
    for A, b, v in zip(matrix, wanted, found, strict=True):
        root = np.linalg.cholesky(A).T
        np.testing.assert_allclose(v, nnls(root, np.linalg.solve(root.T, b))[0], rtol=0.01, atol=1e-4)


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
