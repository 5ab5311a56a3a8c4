"""Duplicates and degeneracies: finite, and right where right is known."""

from __future__ import annotations

import numpy as np
import pytest
from mixture_oracles import STRUCTURES, dense_covariances, dense_log_prob, estimator_arguments, params_of
from robustness_cases import LABELS, ROWS, SOLVERS, assert_sound, quick
from sklearn.datasets import load_iris, load_wine

from mfa_sklearn import MFA
from mfa_sklearn.mixture._em.exact import ExactPass
from mfa_sklearn.mixture._em.solver import EMSolver
from mfa_sklearn.mixture._fit.problem import Known, pose

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _low_rank() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((100, 2)) @ rng.standard_normal((2, 8))


def _constant_columns() -> np.ndarray:
    X = ROWS[:150].copy()
    X[:, 0], X[:, 5] = 3.3, 0.0
    return X


DEGENERATE = {
    "one row again and again": np.tile(ROWS[:1], (50, 1)),
    "zeros": np.zeros((50, 8)),
    "duplicated rows": np.repeat(ROWS[:10], 20, axis=0),
    "three distinct rows": np.repeat(ROWS[:3], [1, 10, 100], axis=0),
    "constant columns": _constant_columns(),
    "nearly constant column": np.column_stack([ROWS[:, :7], 1e6 + 1e-9 * ROWS[:, 7]]),
    "duplicated columns": np.column_stack([ROWS[:, :4], ROWS[:, :4]]),
    "exactly of low rank": _low_rank(),
    "almost of low rank": _low_rank() + 1e-9 * ROWS[:100],
    "as many rows as components": ROWS[:3],
    "a component to a row more": ROWS[:4],
    "fewer rows than features": ROWS[:6],
    "one far row": np.concatenate([ROWS[:100], 1e6 * np.ones((1, 8))]),
    "two values": (ROWS[:200] > 0).astype(float),
    "a column of one exception": np.column_stack([ROWS[:, :7], np.arange(400) == 5]),
    "heavy tails": np.random.default_rng(0).standard_cauchy((200, 8)) ** 3,
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_rows(kind, solver, noise, dtype):
    X = DEGENERATE[kind].astype(dtype)
    assert_sound(quick(X, solver=solver, noise=noise), X)


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_rows_in_every_structure(kind, name):
    X = DEGENERATE[kind]
    mfa = quick(X, annealing=1, noise_prior=None, **estimator_arguments(STRUCTURES[name]))
    assert_sound(mfa, X)
    if not mfa.n_reseeded_:
        bounds = np.array(mfa.lower_bounds_)
        assert np.all(np.diff(bounds) >= -1e-9 * np.maximum(1, np.abs(bounds[1:])))
    # The log density that is reported is that of the parameters that are reported, where a dense inverse can tell.
    params = params_of(mfa)
    if np.linalg.cond(dense_covariances(params)).max() < 1e8:
        assert mfa.lower_bound_ == pytest.approx(dense_log_prob(params, X).mean(), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("n_rows", [10, 1000, 100_000])
@pytest.mark.parametrize("value", [0.0, 0.1, 3.3, -1e9 / 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_constant_column_has_the_floor_whatever_its_value(value, n_rows, weighted):
    """The sum of a value that binary fractions do not hold has rounding; that is not its unit."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((n_rows, 3)), np.full(n_rows, value)])
    weights = rng.uniform(size=n_rows) if weighted else None
    mfa = MFA(1, 1, max_iter=2, tol=0).fit(X, sample_weight=weights)
    assert mfa.noise_variance_[3] == pytest.approx(1e-6, rel=1e-12)
    assert mfa.means_[0, 3] == pytest.approx(value, rel=1e-15)
    assert mfa.loadings_[0, 3, 0] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random_from_data", "random"])
@pytest.mark.parametrize("kind", ["zeros", "three distinct rows", "as many rows as components", "one far row"])
def test_degenerate_rows_from_every_start(kind, init):
    X = DEGENERATE[kind]
    assert_sound(quick(X, init=init), X)


def test_every_row_a_component():
    X = load_iris().data[:20]
    mfa = quick(X, n_components=20, n_factors=1, noise="component")
    assert_sound(mfa, X)
    assert (np.bincount(mfa.predict(X), minlength=20) <= 3).all()


def test_clusters_of_one_row():
    """Labels that name single rows: those components are at their rows, and no likelihood is infinite."""
    X = load_wine().data
    labels = np.zeros(178, int)
    labels[[3, 90]] = 1, 2
    for noise in ("shared", "component"):
        mfa = quick(X, init=labels, noise=noise)
        assert_sound(mfa, X)


@pytest.mark.parametrize("acceleration", [False, True])
def test_a_component_that_loses_its_rows_is_given_others(acceleration):
    """A center nowhere near the rows holds none; it is given half of a heavy component, and that is reported."""
    centers = np.concatenate([ROWS[LABELS == 0][:1], ROWS[LABELS == 1][:1], np.full((1, 8), 1e5)])
    mfa = quick(ROWS, init=centers, annealing=1, max_iter=40, acceleration=acceleration)
    assert mfa.n_reseeded_ >= 1
    assert mfa.weights_.min() > 0.05
    assert_sound(mfa, ROWS)


def test_a_revival_is_not_undone_by_the_acceleration(monkeypatch):
    """Half of a heavy component has a lower likelihood at first: that is no reason to go back."""
    labels = np.where(np.arange(400) < 5, 2, LABELS % 2)
    problem = pose(MFA(3, 2), ROWS, ROWS, None, Known(np.random.RandomState(0)))
    params = problem.start.from_labels(labels)
    rows = ExactPass(params, problem.batches, problem.rng, 1.0)
    solver = EMSolver(params, rows, STRUCTURES["UCU"], 1e-6)
    for _ in range(4):
        solver.step()
    assert solver.reseeded == 0
    monkeypatch.setattr("mfa_sklearn.mixture._em.solver._DEAD_ROWS", 200.0)  # the smallest of three now counts as dead
    before = solver.step().bound
    assert solver.reseeded >= 1
    monkeypatch.undo()
    after = solver.step()
    assert after.bound < before, "the case is one where the likelihood falls"
    assert after.note == ""


def test_a_single_weighted_row_among_many():
    weights = np.zeros(400)
    weights[7] = 1.0
    mfa = MFA(1, 1, max_iter=5, tol=0).fit(ROWS, sample_weight=weights)
    np.testing.assert_allclose(mfa.means_[0], ROWS[7], atol=1e-6)
    assert np.isfinite(mfa.score_samples(ROWS)).all()


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_a_stream_of_degenerate_batches(noise):
    mfa = MFA(3, 2, noise=noise, random_state=0).partial_fit(ROWS[:100])
    for batch in (ROWS[:1], np.tile(ROWS[:1], (30, 1)), np.zeros((5, 8)), 1e6 * np.ones((1, 8)), ROWS[100:]):
        mfa.partial_fit(batch)
        assert np.isfinite(mfa.score_samples(ROWS)).all()
        assert np.isfinite(mfa.noise_variance_).all()
