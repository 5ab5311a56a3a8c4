"""What a pass over the rows gives: exact, truncated to candidates, or soft, against dense oracles."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from mixture_oracles import (
    STRUCTURES,
    dense_responsibilities,
    random_params,
    random_rows,
)

from mfa_sklearn import MFA
from mfa_sklearn.mixture import _passes
from mfa_sklearn.mixture._arrays import Batches, Conditioner
from mfa_sklearn.mixture._em import Statistics
from mfa_sklearn.mixture._fit import EMSolver
from mfa_sklearn.mixture._model import MFAParams
from mfa_sklearn.mixture._passes import ExactPass, TruncatedPass, best_pass, expected_statistics

CPU = torch.device("cpu")
MANY = (120, 6, 2)


def batches_of(X: np.ndarray, weights: np.ndarray | None = None, dtype=torch.float64, **options) -> Batches:
    """Rows as they are: the conditioner does nothing."""
    D = X.shape[1]
    unit = Conditioner(torch.zeros(D, dtype=torch.float64), torch.ones(D, dtype=torch.float64))
    return Batches(X, unit, dtype, CPU, weights, **options)


def assert_statistics(got: Statistics, want: dict, tolerance: float) -> None:
    for name, value in want.items():
        np.testing.assert_allclose(
            getattr(got, name).numpy(),
            value,
            rtol=tolerance,
            atol=tolerance * np.abs(value).max(initial=0),
            err_msg=name,
        )


def overlapping(seed: int, n_rows: int = 1500, size: tuple[int, int, int] = MANY) -> tuple[MFAParams, np.ndarray]:
    """A mixture of many components and rows that it did not make."""
    params = random_params(STRUCTURES["UCU"], size, seed)
    return params, random_rows(params, n_rows, seed + 1)


def test_soft_passes_go_over_other_rows_each_time(monkeypatch):
    monkeypatch.setattr(_passes, "_LEAST_ROWS", 1)
    monkeypatch.setattr(_passes, "_ROWS_PER_COLUMN", 1)
    params, X = overlapping(0)
    hot = ExactPass(params, batches_of(X), np.random.RandomState(0), soft_above=2.0)
    weights = [float(hot(params, 8.0).weight) for _ in range(4)]
    assert sum(weights) == 1500
    assert float(hot(params, 2.0).weight) == 1500, "sharp passes are over all rows"


# --- truncated passes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_first_truncated_pass_is_exact(weighted, temperature):
    params, X = overlapping(0)
    weights = np.random.default_rng(0).uniform(0, 2, len(X)) if weighted else None
    batches = batches_of(X, weights)
    got = TruncatedPass(params, batches, np.random.RandomState(0), 2.0)(params, temperature)
    want = expected_statistics(params, batches, temperature)._asdict()
    assert_statistics(got, {name: value.numpy() for name, value in want.items()}, 1e-9)


def test_truncated_statistics_weigh_every_row_once_and_bound_the_likelihood():
    params, X = overlapping(0, size=(120, 3, 1))
    batches = batches_of(X)
    near = TruncatedPass(params, batches, np.random.RandomState(0), 1.0)
    exact = float(near(params).log_likelihood)
    for _ in range(3):
        got = near(params)
        assert float(got.mass.sum()) == pytest.approx(len(X), rel=1e-12)
        assert float(got.log_likelihood) <= exact + 1e-8 * abs(exact)
        assert float(got.log_likelihood) == pytest.approx(exact, abs=0.01 * len(X))


def test_small_batches_of_a_memory_map_change_nothing(tmp_path):
    params, X = overlapping(1)
    on_disk = np.memmap(tmp_path / "rows", dtype=np.float64, mode="w+", shape=X.shape)
    on_disk[:] = X
    got = TruncatedPass(params, batches_of(on_disk, batch_rows=97), np.random.RandomState(0), 1.0)
    want = TruncatedPass(params, batches_of(X, keep=True), np.random.RandomState(0), 1.0)
    for _ in range(3):
        assert_statistics(got(params), {n: v.numpy() for n, v in want(params)._asdict().items()}, 1e-9)
    assert all(torch.equal(a, b) for a, b in zip(got.state[:3], want.state[:3], strict=True))


def test_only_pairs_that_matter_are_remembered():
    """They once piled up: what had mattered in any pass was looked at in all later ones."""
    params, X = overlapping(2)
    near = TruncatedPass(params, batches_of(X), np.random.RandomState(0), 64.0)
    near(params, 64.0)
    counts = []
    for _ in range(5):
        near(params)
        counts.append(len(near.state.rows))
    r = dense_responsibilities(params, X)
    assert max(counts) <= ((r > 1e-18).sum() - len(X))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("acceleration", [False, True])
def test_the_bound_never_falls_at_temperature_one(seed, dtype, acceleration):
    params, X = overlapping(seed)
    weights = np.random.default_rng(seed).uniform(0.5, 2, len(X)) if seed else None
    rows = TruncatedPass(params, batches_of(X, weights, dtype, keep=True), np.random.RandomState(seed), 1.0)
    solver = EMSolver(params, rows, STRUCTURES["UCU"], 1e-3, acceleration=acceleration, row_weight=1.0)
    steps = [solver.step() for _ in range(40)]
    # A revival may lower the bound, and says so.
    compared = [s.bound for s in steps if s.comparable]
    assert len(compared) > 20
    gains = np.diff([s.bound for s in steps[11:]])
    assert (gains >= -(2e-5 if dtype == torch.float32 else 1e-10)).all()
    assert compared[-1] > compared[0] + 0.1


def test_many_components_end_where_exact_em_ends():
    """Well apart, so that both have one place to go."""
    rng = np.random.default_rng(0)
    places = rng.uniform(-60, 60, (100, 5))
    X = np.repeat(places, 30, 0) + rng.standard_normal((3000, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truncated = MFA(100, 1, init=places, tol=0, max_iter=30, acceleration=False).fit(X)
    exact = MFA.from_params(truncated.weights_, truncated.means_, truncated.loadings_, truncated.noise_variance_)
    assert truncated.lower_bound_ == pytest.approx(exact.score(X), abs=1e-6)
    assert (truncated.predict(X) == np.repeat(np.arange(100), 30)).mean() > 0.999


@pytest.mark.parametrize(
    "n_components, missing, kind", [(83, False, ExactPass), (84, False, TruncatedPass), (84, True, ExactPass)]
)
def test_rows_that_miss_values_and_few_components_are_compared_with_all(n_components, missing, kind):
    params = random_params(STRUCTURES["UCU"], (n_components, 3, 1))
    found = best_pass(params, batches_of(random_rows(params, 100)), np.random.RandomState(0), 4.0, missing)
    assert type(found) is kind


def test_a_first_row_that_misses_values_spoils_nothing():
    """Blocks of pairs are filled up with the first row, whose NaN once reached the statistics."""
    params = random_params(STRUCTURES["UCU"], (3, 4, 1))
    X = random_rows(params, 50)
    X[0, 1] = np.nan
    statistics = expected_statistics(params, batches_of(X))
    assert all(bool(value.isfinite().all()) for value in statistics)
