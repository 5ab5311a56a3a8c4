"""What a pass over the rows gives: exact, truncated to candidates, or soft, against dense oracles."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from mixture_oracles import (
    STRUCTURES,
    as_arrays,
    dense_log_joint,
    dense_log_prob,
    dense_posterior,
    dense_responsibilities,
    random_params,
    random_rows,
)

from mfa_sklearn import MFA
from mfa_sklearn.mixture import _passes, _soft
from mfa_sklearn.mixture._arrays import Batches, Conditioner
from mfa_sklearn.mixture._candidates import Closeness, with_some_tried
from mfa_sklearn.mixture._em import Statistics
from mfa_sklearn.mixture._fit import EMSolver
from mfa_sklearn.mixture._lookup import Lookup
from mfa_sklearn.mixture._model import MFAParams, prepare
from mfa_sklearn.mixture._passes import ExactPass, Parts, TruncatedPass, best_pass, expected_statistics
from mfa_sklearn.mixture._soft import soft_statistics

CPU = torch.device("cpu")
MANY = (120, 6, 2)


def batches_of(X: np.ndarray, weights: np.ndarray | None = None, dtype=torch.float64, **options) -> Batches:
    """Rows as they are: the conditioner does nothing."""
    D = X.shape[1]
    unit = Conditioner(torch.zeros(D, dtype=torch.float64), torch.ones(D, dtype=torch.float64))
    return Batches(X, unit, dtype, CPU, weights, **options)


def dense_statistics(params: MFAParams, X: np.ndarray, weights: np.ndarray, temperature: float) -> dict:
    """The statistics of `_em`, row by row and component by component."""
    _, means, loadings, _ = as_arrays(params)
    r = weights[:, None] * dense_responsibilities(params, X, temperature)
    z, cov = dense_posterior(params, X)
    e = X[:, None] - means - np.einsum("kdq,nkq->nkd", loadings, z)
    mass = r.sum(0)
    spread = np.einsum("kdp,kpq->kdq", loadings, cov)
    return {
        "mass": mass,
        "residual": np.einsum("nk,nkd->kd", r, e),
        "score": np.einsum("nk,nkq->kq", r, z),
        "cross": np.einsum("nk,nkd,nkq->kdq", r, e, z) - mass[:, None, None] * spread,
        "scatter": np.einsum("nk,nkp,nkq->kpq", r, z, z) + mass[:, None, None] * cov,
        "square": np.einsum("nk,nkd->kd", r, e**2) + mass[:, None] * (spread * loadings).sum(-1),
        "log_likelihood": weights @ dense_log_prob(params, X),
        "weight": weights.sum(),
    }


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


# --- soft statistics ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("size", [(4, 5, 2), (3, 4, 0), (1, 3, 1)])
@pytest.mark.parametrize("weighted", [False, True])
def test_soft_statistics_are_those_of_the_definition(name, size, weighted, monkeypatch):
    params = random_params(STRUCTURES[name], size)
    X = random_rows(params, 200)
    weights = np.random.default_rng(0).uniform(0, 2, 200) if weighted else np.ones(200)
    monkeypatch.setattr(_soft, "_CHUNK_BYTES", {"cpu": 1})  # chunks of the least size
    got = soft_statistics(params, batches_of(X, weights if weighted else None), None, 3.0)
    assert_statistics(got, dense_statistics(params, X, weights, 3.0), 1e-10)


def test_soft_statistics_of_some_rows_in_single_precision():
    params, X = overlapping(0)
    rows = np.arange(3, 1500, 7)
    got = soft_statistics(params, batches_of(X, dtype=torch.float32, keep=True), rows, 4.0)
    assert_statistics(got, dense_statistics(params, X[rows], np.ones(len(rows)), 4.0), 1e-3)


def test_parts_go_round_all_rows():
    parts = Parts(100, 30, np.random.RandomState(0))
    first = [parts.next() for _ in range(3)]
    np.testing.assert_array_equal(np.sort(np.concatenate(first)), np.arange(100))
    np.testing.assert_array_equal(parts.next(), first[0])
    assert all((np.diff(part) > 0).all() for part in first)
    assert Parts(100, 60, np.random.RandomState(0)).next() is None


def test_soft_passes_go_over_other_rows_each_time(monkeypatch):
    monkeypatch.setattr(_passes, "_LEAST_ROWS", 1)
    monkeypatch.setattr(_passes, "_ROWS_PER_COLUMN", 1)
    params, X = overlapping(0)
    hot = ExactPass(params, batches_of(X), np.random.RandomState(0), soft_above=2.0)
    weights = [float(hot(params, 8.0).weight) for _ in range(4)]
    assert sum(weights) == 1500
    assert float(hot(params, 2.0).weight) == 1500, "sharp passes are over all rows"


# --- candidates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["UCU", "UUU"])
@pytest.mark.parametrize("n_factors", [0, 2])
def test_lookup_gives_the_candidates_log_joint_densities(name, n_factors):
    params = random_params(STRUCTURES[name], (7, 4, n_factors))
    X = random_rows(params, 90)
    rng = np.random.default_rng(1)
    candidates = torch.tensor(rng.integers(7, size=(3, 4)))
    group = torch.tensor(rng.integers(3, size=90))
    lookup = Lookup(prepare(params), candidates)
    want = dense_log_joint(params, X)
    seen = np.zeros(90, dtype=int)
    for block in lookup.evaluate(torch.tensor(X), group):
        for g, m in block.filled.nonzero().tolist():
            row = int(block.numbers[g, m])
            assert block.groups[g] == group[row]
            chosen = candidates[group[row]].numpy()
            first = np.array([np.flatnonzero(chosen == c)[0] == i for i, c in enumerate(chosen)])
            got = block.joint[g, m].numpy()
            np.testing.assert_allclose(got[first], want[row, chosen[first]], rtol=1e-9)
            assert (got[~first] == -np.inf).all()
            seen[row] += 1
    assert (seen == 1).all()


def test_tried_candidates_are_components_and_the_first_is_the_home():
    neighbours = torch.arange(50)[:, None].repeat(1, 24)
    found = with_some_tried(neighbours, np.random.RandomState(0))
    assert found.shape == (50, 28)
    assert int(found.min()) >= 0 and int(found.max()) < 50
    assert torch.equal(found[:, 0], torch.arange(50))
    assert torch.equal(with_some_tried(neighbours[:20], np.random.RandomState(0)), neighbours[:20])


def test_neighbours_are_those_that_hold_most():
    candidates = torch.tensor([[0, 1, 2, 3], [1, 0, 2, 3], [2, 3, 0, 1], [3, 2, 1, 0]])
    closeness = Closeness(candidates, temperature=1.0)
    closeness.add(torch.tensor([0, 0]), torch.tensor([[0.0, -9.0, -1.0, -5.0], [0.0, -9.0, -2.0, -5.0]]))
    best = closeness.best()
    assert best[0].tolist() == [0, 2, 3, 1]
    assert best[2].tolist() == [2, 3, 0, 1], "a home without rows keeps the order it had"
    again = Closeness(torch.tensor([[0, 0, 1, 2], [1, 1, 2, 0], [2, 2, 0, 1]]), temperature=1.0)
    again.add_block(
        torch.tensor([0]),
        torch.tensor([[[0.0, -torch.inf, -3.0, -2.0], [0.0, -torch.inf, 9.0, -2.0]]]),
        torch.tensor([[True, False]]),
    )
    assert again.best()[0].tolist()[:3] == [0, 2, 1], "padding does not count, nor does the home a second time"


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
