"""EM over passes, exact and truncated: bounds that never fall, annealing, and extrapolations that are dropped."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, as_they_are, dense_log_prob, dense_statistics, random_params, random_rows
from passes_cases import FLOOR, many, moved, pass_of, row_weights

from mfa_sklearn import MFA
from mfa_sklearn.mixture._em.exact import ExactPass, expected_statistics
from mfa_sklearn.mixture._em.solver import EMSolver
from mfa_sklearn.mixture._em.statistics import m_step
from mfa_sklearn.mixture._em.truncated import TruncatedPass


@pytest.mark.parametrize("acceleration", [False, True])
@pytest.mark.parametrize(("dtype", "seed", "weighted"), [
    (torch.float64, 0, False), (torch.float64, 1, True), (torch.float32, 2, False), (torch.float32, 3, True),
])  # fmt: skip
@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
def test_bounds_never_fall_at_temperature_one(kind, dtype, seed, weighted, acceleration, monkeypatch):
    """From parameters far from the rows' own, so that rows change places all the time."""
    monkeypatch.setattr(TruncatedPass, "slow_gain", math.inf)  # extrapolate from the first step on
    params, X = many(1.0, seed=seed)
    weights = row_weights(len(X)) if weighted else None
    batches = as_they_are(X, dtype, weights=weights, keep=True)
    rows = pass_of(kind, params, batches, seed)
    # Components without rows are not revived here: that does lower the likelihood.
    solver = EMSolver(moved(params, 1.0), rows, STRUCTURES["UCU"], FLOOR, acceleration=acceleration, row_weight=0.0)
    steps = [solver.step() for _ in range(21)]
    bounds = np.array([step.bound for step in steps])
    assert np.all(np.diff(bounds) >= (-1e-11 if dtype == torch.float64 else -2e-6))
    assert bounds[-1] > bounds[0] + 0.5
    final, bound = solver.finish()
    assert bound >= bounds[-1] - (1e-11 if dtype == torch.float64 else 2e-6)
    exact = np.average(dense_log_prob(final, X), weights=weights)
    assert bound - 1e-4 <= exact <= bound + 0.05


def test_progress_is_judged_from_look_to_look():
    params, X = many(0.8)
    rows = pass_of(TruncatedPass, params, as_they_are(X, keep=True))
    solver = EMSolver(moved(params, 0.5), rows, STRUCTURES["UCU"], FLOOR, acceleration=False, row_weight=0.0)
    assert [solver.step().comparable for _ in range(6)] == [True, False, False, False, True, False]


@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
def test_em_steps_are_dense_em_steps(kind, always_looking):
    """A few components, without acceleration: the parameters of each step are those of the textbook."""
    params = random_params(STRUCTURES["UCU"], (3, 5, 2))
    X = random_rows(params, 150)
    rows = pass_of(kind, params, as_they_are(X, keep=True))
    solver = EMSolver(params, rows, STRUCTURES["UCU"], FLOOR, acceleration=False)
    for _ in range(4):
        assert solver.step().bound == pytest.approx(dense_log_prob(params, X).mean(), rel=1e-12)
        statistics = dense_statistics(params, params, X, np.ones(len(X)))
        params = m_step(params, statistics, STRUCTURES["UCU"], FLOOR)
    for found, expected in zip(solver.finish()[0], params, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
def test_em_from_a_temperature_ends_at_one_and_reports_its_own_bound(kind):
    params, X = many(1.5, n_rows=600)
    rows = pass_of(kind, params, as_they_are(X, keep=True), 0, 2.0)
    solver = EMSolver(moved(params, 1.0), rows, STRUCTURES["UCU"], FLOOR, temperature=8.0)
    steps = [solver.step() for _ in range(14)]
    assert [s.note for s in steps[:3]] == ["temperature 8.00", "temperature 4.00", "temperature 2.00"]
    assert not any(s.comparable for s in steps[:3])
    final, bound = solver.finish()
    exact = expected_statistics(final, as_they_are(X)).log_likelihood / len(X)
    assert bound - 1e-9 <= float(exact) <= bound + 0.05
    assert float(exact) == pytest.approx(dense_log_prob(final, X).mean(), rel=1e-9)


def test_an_interrupted_anneal_has_a_bound_without_any_places():
    """Finished while hot: a truncated pass then looks at all components."""
    params, X = many()
    rows = pass_of(TruncatedPass, params, as_they_are(X, keep=True), 0, 2.0)
    solver = EMSolver(params, rows, STRUCTURES["UCU"], FLOOR, temperature=8.0)
    solver.step()
    assert solver._memory is None
    final, bound = solver.finish()
    assert bound == pytest.approx(dense_log_prob(final, X).mean(), rel=1e-9)


def test_a_dropped_extrapolation_puts_the_places_back():
    params, X = many()
    rows = pass_of(TruncatedPass, params, as_they_are(X, keep=True))
    solver = EMSolver(moved(params, 0.5), rows, STRUCTURES["UCU"], FLOOR)
    for _ in range(20):
        solver.step()
        if solver._safe is not None:
            break
    safe = solver._safe
    assert safe is not None, "no extrapolation was tried"
    solver._params = moved(solver._params, 20.0)  # no extrapolation is as bad as this
    step = solver.step()
    assert (step.bound, step.comparable, step.note) == (safe.bound, False, "extrapolation dropped")
    assert solver._memory is safe.memory
    assert solver.step().bound >= safe.bound


def overlapping(seed: int, n_rows: int, n_features: int, n_components: int, scale: float) -> np.ndarray:
    """Rows of clusters that overlap, where EM is slow."""
    rng = np.random.default_rng(seed)
    centers = scale * rng.uniform(size=(n_components, n_features))
    labels = rng.choice(n_components, n_rows, p=rng.dirichlet(np.ones(n_components)))
    return centers[labels] + rng.standard_normal((n_rows, n_features)) * rng.uniform(0.5, 1.2, n_features)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_accelerated_fit_that_has_converged_has_little_left_to_gain(seed, weighted):
    """Read as one series, gains of extrapolated and of plain steps said so hundreds of tolerances too early."""
    X = overlapping(seed, 300, 4, 2, 3.0)
    weights = 1e30 * np.random.default_rng(seed).uniform(size=300) if weighted else None
    mfa = MFA(2, 1, random_state=0, max_iter=300).fit(X, sample_weight=weights)
    if mfa.converged_:
        reached = mfa.lower_bound_
        mfa.set_params(warm_start=True, tol=1e-7, max_iter=300).fit(X, sample_weight=weights)
        assert mfa.lower_bound_ - reached < 1e-3


def test_plain_steps_start_from_the_last_point_that_was_judged():
    params, X = many()
    solver = EMSolver(params, pass_of(ExactPass, params, as_they_are(X, keep=True)), STRUCTURES["UCU"], FLOOR)
    for _ in range(20):
        solver.step()
        if solver._safe is not None:
            break
    safe = solver._safe
    assert not solver.plain
    solver.plain = True
    assert solver._params is safe.params
    bounds = [solver.step().bound for _ in range(4)]
    assert solver._safe is None
    plain = EMSolver(safe.params, solver._pass, STRUCTURES["UCU"], FLOOR, acceleration=False)
    np.testing.assert_allclose(bounds, [plain.step().bound for _ in range(4)], rtol=1e-12)
