"""Passes, exact and truncated, and EM over them, against dense densities and statistics."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from mixture_oracles import (
    STRUCTURES,
    as_they_are,
    assert_same_statistics,
    dense_log_joint,
    dense_log_prob,
    dense_responsibilities,
    dense_statistics,
    random_params,
    random_rows,
)

from mfa_sklearn.mixture._em import exact
from mfa_sklearn.mixture._em import truncated as truncated_module
from mfa_sklearn.mixture._em.exact import ExactPass, expected_statistics
from mfa_sklearn.mixture._em.neighbors import N_NEIGHBORS
from mfa_sklearn.mixture._em.passes import best_pass, nominal_seconds
from mfa_sklearn.mixture._em.solver import EMSolver
from mfa_sklearn.mixture._em.statistics import m_step
from mfa_sklearn.mixture._em.truncated import TruncatedPass
from mfa_sklearn.mixture._model import pairs as pairs_module
from mfa_sklearn.mixture._model.density import log_joint, prepare
from mfa_sklearn.mixture._model.pairs import find_pairs, normalize, refine
from mfa_sklearn.mixture._model.params import MFAParams

FLOOR = 1e-6
MANY = 90


def many(spread: float = 2.0, n_rows: int = 900, name: str = "UCU", seed: int = 0) -> tuple[MFAParams, np.ndarray]:
    """Many components in six dimensions, and some ten rows for each."""
    params = random_params(STRUCTURES[name], (MANY, 6, 1), seed)
    params = params._replace(means=spread * params.means)
    return params, random_rows(params, n_rows, seed)


def row_weights(n_rows: int) -> np.ndarray:
    """Weights, some of them zero."""
    weights = np.random.default_rng(1).uniform(0.2, 3.0, n_rows)
    weights[::9] = 0
    return weights


def truncated(params, batches, seed: int = 0, soft_above: float = 1.0) -> TruncatedPass:
    return TruncatedPass(params, batches, np.random.RandomState(seed), soft_above)


def moved(params: MFAParams, by: float, seed: int = 0) -> MFAParams:
    """Parameters whose means have moved at random."""
    shift = torch.tensor(np.random.default_rng(seed).standard_normal(params.means.shape))
    return params._replace(means=params.means + by * shift)


@pytest.fixture
def always_looking(monkeypatch):
    """No pass goes over known pairs only."""
    monkeypatch.setattr(truncated_module, "_REVISITS", 0)


def further_pairs(rows: TruncatedPass) -> set[tuple[int, int]]:
    assert rows.state is not None
    return set(zip(rows.state.rows.tolist(), rows.state.components.tolist(), strict=True))


def matter(params: MFAParams, X: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of more than rounding, but for those of the row's best component."""
    r = dense_responsibilities(params, X)
    r[np.arange(len(X)), r.argmax(1)] = 0
    return set(zip(*(i.tolist() for i in (r > math.exp(-40)).nonzero()), strict=True))


# --- exact passes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
@pytest.mark.parametrize("name", ["UUU", "CCC"])
def test_passes_over_few_components_are_exact(name, kind, temperature, monkeypatch, always_looking):
    """Whatever the row's home: with no more components than neighbors all are candidates."""
    monkeypatch.setattr(pairs_module, "_TEMPERED_MARGIN", 40.0)
    params = random_params(STRUCTURES[name], (5, 6, 2))
    X, weights = random_rows(params, 100), row_weights(100)
    rows = kind(params, as_they_are(X, weights=weights, keep=True), np.random.RandomState(0), 4.0)
    rows(moved(params, 3.0), temperature)
    for _ in range(3):
        expected = dense_statistics(params, params, X, weights, temperature)
        assert_same_statistics(rows(params, temperature), expected, 1e-9)
        params = moved(params, 0.3)


@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
def test_soft_passes_go_over_parts_and_sharp_ones_over_all(kind, monkeypatch):
    monkeypatch.setattr(exact, "_LEAST_ROWS", 30)
    monkeypatch.setattr(exact, "_ROWS_PER_COLUMN", 5)  # 5 (2 + 1) 3 = 45 rows at once, so two parts
    params = random_params(STRUCTURES["UUU"], (3, 6, 2))
    X, weights = random_rows(params, 100), row_weights(100)
    rows = kind(params, as_they_are(X, weights=weights), np.random.RandomState(0), 1.5)
    first, second, again = rows(params, 4.0), rows(params, 4.0), rows(params, 4.0)
    assert_same_statistics(first + second, dense_statistics(params, params, X, weights, 4.0), 1e-9)
    assert_same_statistics(first, again, 1e-12)
    assert 0 < float(first.weight) < weights.sum()
    assert_same_statistics(rows(params, 1.0), dense_statistics(params, params, X, weights), 1e-9)


@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
def test_soft_passes_take_all_rows_where_they_are_few(kind):
    params = random_params(STRUCTURES["UUU"], (3, 6, 2))
    X = random_rows(params, 100)
    found = kind(params, as_they_are(X), np.random.RandomState(0), 1.5)(params, 4.0)
    assert_same_statistics(found, dense_statistics(params, params, X, np.ones(100), 4.0), 1e-9)


def test_the_kind_of_pass_is_the_cheaper_that_can():
    params, X = many()
    few = random_params(STRUCTURES["UUU"], (3, 6, 2))
    batches, rng = as_they_are(X), np.random.RandomState(0)
    assert type(best_pass(params, batches, rng, 8.0, missing=False)) is TruncatedPass
    assert type(best_pass(few, batches, rng, 8.0, missing=False)) is ExactPass
    # Dense products know nothing of missing values: no temperature is soft enough for them.
    X[0, 0] = np.nan
    found = best_pass(params, as_they_are(X), rng, 8.0, missing=True)
    assert type(found) is ExactPass
    for temperature in (1.0, 50.0):
        assert float(found(params, temperature).log_likelihood.isfinite())


def test_the_nominal_time_is_that_of_the_products():
    batches = as_they_are(np.zeros((1000, 50)))
    assert nominal_seconds(batches, 10, 4) == pytest.approx(2 * 2 * 1000 * 50 * 10 * 5 / 5e10)
    assert nominal_seconds(batches, 10_000, 4) == nominal_seconds(batches, 100, 4) < nominal_seconds(batches, 80, 4)


# --- truncated passes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["UUU", "UUC", "UCU", "CCC"])
def test_the_first_truncated_pass_is_exact(name):
    params, X = many(name=name)
    weights = row_weights(len(X))
    found = truncated(params, as_they_are(X, weights=weights, keep=True))(params)
    assert_same_statistics(found, dense_statistics(params, params, X, weights), 1e-8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_bound_is_below_the_likelihood_and_close_to_it(dtype, seed, always_looking):
    params, X = many(seed=seed)
    weights = row_weights(len(X))
    rows = truncated(params, as_they_are(X, dtype, weights=weights, keep=True), seed)
    rounding = 1e-9 if dtype == torch.float64 else 1e-4
    for n in range(5):
        statistics = rows(params)
        below = weights @ dense_log_prob(params, X) / weights.sum() - float(statistics.log_likelihood / weights.sum())
        assert -rounding <= below < 0.02
        assert float(statistics.weight) == pytest.approx(weights.sum())
        assert float(statistics.mass.sum()) == pytest.approx(
            weights.sum(), rel=1e-5 if dtype == torch.float32 else 1e-12
        )
        params = moved(params, 0.5, n)


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
    rows = kind(params, batches, np.random.RandomState(seed), 1.0)
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


def test_every_step_raises_the_likelihood_of_what_the_candidates_are(always_looking):
    """Without candidates of the pass before, the neighborhoods alone lose what rows had: the bound would fall."""
    params, X = many(0.6)
    rows = truncated(params, as_they_are(X, keep=True))
    last = -math.inf
    for _ in range(6):
        statistics = rows(params)
        assert float(statistics.log_likelihood) >= last - 1e-8
        last = float(statistics.log_likelihood)
        params = m_step(params, statistics, STRUCTURES["UCU"], FLOOR)


def test_pairs_that_mattered_are_looked_at_again():
    """All of those of the first pass, although few of them are neighbors."""
    params, X = many(0.8)
    rows = truncated(params, as_they_are(X, keep=True))
    rows(params)
    expected = matter(params, X)
    assert further_pairs(rows) == expected
    assert len(expected) > N_NEIGHBORS * len(X)
    place = rows.state.rows
    assert (place.diff() >= 0).all()
    rows(params)
    assert further_pairs(rows) == expected


def test_pairs_that_matter_no_longer_are_dropped(always_looking):
    """They once were kept for ever, and each pass took longer than the one before."""
    params, X = many(0.8)
    rows = truncated(params, as_they_are(X, keep=True))
    rows(params)
    before = len(further_pairs(rows))
    apart = params._replace(noise_variance=params.noise_variance / 20, loadings=params.loadings / 20)
    for _ in range(2):
        rows(apart)
        assert further_pairs(rows) <= matter(apart, X)
    assert len(further_pairs(rows)) < before / 4


@pytest.mark.parametrize("seed", range(2))
def test_true_homes_are_found_where_components_are_well_apart(seed, always_looking):
    """From parameters that had many rows at home elsewhere."""
    params, X = many(3.0, seed=seed)
    rows = truncated(params, as_they_are(X, keep=True), seed)
    rows(moved(params, 5.0, seed))
    best = dense_log_joint(params, X).argmax(1)
    assert (rows.state.home.numpy() != best).mean() > 0.1
    for _ in range(5):
        rows(params)
    np.testing.assert_array_equal(rows.state.home, best)


def test_homes_are_best_after_a_pass_over_all():
    params, X = many()
    rows = truncated(params, as_they_are(X, keep=True))
    rows(params)
    np.testing.assert_array_equal(rows.state.home, dense_log_joint(params, X).argmax(1))
    assert rows.state.neighbors.shape == (MANY, N_NEIGHBORS)


def test_neighbors_are_distinct_and_a_home_is_its_own_first(always_looking):
    params, X = many()
    rows = truncated(params, as_they_are(X, keep=True))
    for n in range(12):
        rows(params)
        params = moved(params, 0.3, n)
    assert all(len(set(row)) == N_NEIGHBORS for row in rows.state.neighbors.tolist())
    assert torch.equal(rows.state.neighbors[:, 0], torch.arange(MANY))


def test_candidates_that_are_tried_twice_count_once(monkeypatch, always_looking):
    """No pair is there twice, so that the rows' responsibilities sum to one, and the bound is no more than it is."""
    monkeypatch.setattr(truncated_module, "with_some_tried", lambda neighbors, _: torch.cat([neighbors, neighbors], 1))
    params, X = many()
    rows = truncated(params, as_they_are(X, keep=True))
    rows(params)
    places = rows.state
    density = prepare(params)
    search = truncated_module._Near(density, places, np.random.RandomState(0), 1.0)
    found, components = search(slice(0, len(X)), torch.tensor(X), 1.0)
    pairs = torch.stack([found, components], 1)
    assert len(pairs.unique(dim=0)) == len(pairs)
    assert (components.diff() >= 0).all()
    r, _ = normalize(refine(density, torch.tensor(X), found, components), len(X))
    np.testing.assert_allclose(np.bincount(found, r, minlength=len(X)), 1, rtol=1e-12)
    total = float(rows(params).log_likelihood)
    assert total == pytest.approx(dense_log_prob(params, X).sum(), rel=1e-9)


def test_a_state_put_back_gives_at_least_the_bound_of_what_it_holds(always_looking):
    """Candidates are drawn anew, so a call is not repeated to the last digit; what mattered is there again."""
    params, X = many(0.8)
    rows = truncated(params, as_they_are(X, keep=True))
    rows(params)
    rows(moved(params, 0.5, 1))
    bound = float(rows(params).log_likelihood)
    held, kept = rows.state, [t.clone() for t in rows.state[:4]]
    pairs = further_pairs(rows)
    for n in range(2):
        rows(moved(params, 3.0, n))
    assert all(torch.equal(a, b) for a, b in zip(held[:4], kept, strict=True)), "states are never changed in place"
    rows.state = held
    assert float(rows(params).log_likelihood) >= bound - 1e-9
    assert further_pairs(rows) >= pairs


def test_the_same_seed_gives_the_same_statistics():
    params, X = many()
    one, other = (truncated(params, as_they_are(X, keep=True), seed=3) for _ in range(2))
    for n in range(3):
        assert_same_statistics(one(params), other(params), 0.0)
        params = moved(params, 0.5, n)


def test_a_row_that_is_nothing_like_the_others_is_evaluated():
    params, X = many()
    X[5] = 1e4
    rows = truncated(params, as_they_are(X, torch.float32, keep=True))
    for _ in range(3):
        statistics = rows(params)
        assert all(bool(t.isfinite().all()) for t in statistics)
        assert float(statistics.log_likelihood) == pytest.approx(dense_log_prob(params, X).sum(), rel=1e-5)


# --- passes over known pairs ----------------------------------------------------------------------------------------


def test_after_a_look_three_passes_go_over_what_it_found():
    params, X = many(0.8)
    weights = row_weights(len(X))
    rows = truncated(params, as_they_are(X, weights=weights, keep=True))
    looked, known = [], []
    for n in range(9):
        rows(moved(params, 0.1, n))
        looked.append(rows.looked)
        known.append(rows.state.home)
    assert looked == [True, False, False, False] * 2 + [True]
    assert [a is b for a, b in itertools.pairwise(known)] == [True, True, True, False] * 2


def test_a_pass_over_known_pairs_is_exact_for_these():
    """Statistics are those of a posterior over the pairs that mattered at the last look, and no others."""
    params, X = many(20.0)
    weights = row_weights(len(X))
    rows = truncated(params, as_they_are(X, weights=weights, keep=True))
    rows(params)
    mattered = further_pairs(rows) | set(enumerate(rows.state.home.tolist()))
    later = moved(params, 10.0)
    found = rows(later)
    assert not rows.looked
    joint = dense_log_joint(later, X)
    known = np.full(joint.shape, -np.inf)
    place = tuple(np.array(sorted(mattered)).T)
    known[place] = joint[place]
    log_prob = np.logaddexp.reduce(known, axis=1)
    r = weights[:, None] * np.exp(known - log_prob[:, None])
    assert float(found.log_likelihood) == pytest.approx(weights @ log_prob, rel=1e-9)
    assert float(found.log_likelihood) < weights @ dense_log_prob(later, X) - 1
    np.testing.assert_allclose(found.mass, r.sum(0), rtol=1e-8, atol=1e-12)


def test_while_posteriors_cool_every_pass_looks():
    params, X = many(0.8)
    rows = truncated(params, as_they_are(X, keep=True), soft_above=8.0)
    for temperature in (16.0, 8.0, 4.0, 2.0, 1.0):
        rows(params, temperature)
        assert rows.looked
    rows(params)
    assert not rows.looked


def test_progress_is_judged_from_look_to_look():
    params, X = many(0.8)
    rows = truncated(params, as_they_are(X, keep=True))
    solver = EMSolver(moved(params, 0.5), rows, STRUCTURES["UCU"], FLOOR, acceleration=False, row_weight=0.0)
    assert [solver.step().comparable for _ in range(6)] == [True, False, False, False, True, False]


# --- rows that are not kept -----------------------------------------------------------------------------------------


@pytest.fixture
def on_disk(tmp_path):
    """Writes rows and maps them."""

    def write(X):
        X.tofile(tmp_path / "rows.bin")
        return np.memmap(tmp_path / "rows.bin", dtype=X.dtype, mode="r", shape=X.shape)

    return write


@pytest.mark.parametrize("batch_rows", [1, 97, 900])
@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
def test_streamed_rows_give_the_statistics_of_kept_ones(kind, batch_rows, on_disk, monkeypatch):
    monkeypatch.setattr(exact, "_LEAST_ROWS", 50)
    monkeypatch.setattr(exact, "_ROWS_PER_COLUMN", 0)
    params, X = many(1.0, n_rows=900 if batch_rows > 1 else 60)
    weights = row_weights(len(X))
    kept, streamed = (
        kind(params, batches, np.random.RandomState(0), 2.0)
        for batches in (
            as_they_are(X, weights=weights, keep=True),
            as_they_are(on_disk(X), weights=weights, batch_rows=batch_rows),
        )
    )
    for n, temperature in enumerate((4.0, 4.0, 2.0, 1.0, 1.0, 1.0)):
        assert_same_statistics(streamed(params, temperature), kept(params, temperature), 1e-9)
        params = moved(params, 0.2, n)
    if kind is TruncatedPass:
        assert torch.equal(kept.state.home, streamed.state.home)
        assert further_pairs(kept) == further_pairs(streamed)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("numbers", [None, np.array([0, 3, 4, 11]), np.array([], dtype=int)])
def test_chunks_say_where_their_rows_are(numbers, keep, on_disk):
    X, weights = np.random.default_rng(0).standard_normal((12, 3)), np.arange(12.0)
    batches = as_they_are(on_disk(X), weights=weights, batch_rows=5, keep=keep)
    asked = np.arange(12) if numbers is None else numbers
    chunks = list(batches.chunks(numbers))
    assert len(chunks) == -(-len(asked) // (12 if keep else 5))
    places = [np.arange(12)[place] for place, _, _ in chunks]
    np.testing.assert_array_equal(np.concatenate([[], *places]), asked)
    for place, rows, w in chunks:
        np.testing.assert_array_equal(rows, X[place])
        np.testing.assert_array_equal(w, weights[place])
    assert all(w is None for _, _, w in as_they_are(X).chunks(numbers))


@pytest.mark.parametrize("watched", [False, True])
def test_pairs_are_found_and_all_densities_shown(watched, monkeypatch):
    monkeypatch.setattr(pairs_module, "_CHUNK_BYTES", 1)  # the least: 16 rows at once
    params, X = many(1.0, n_rows=50)
    density, rows, seen = prepare(params), torch.tensor(X), []
    found = find_pairs(
        density, rows, 1.0, (lambda place, joint: seen.append((place, joint.clone()))) if watched else None
    )
    r = dense_responsibilities(params, X)
    assert set(zip(*(i.tolist() for i in found), strict=True)) >= set(
        zip(*(i.tolist() for i in (r > 1e-17).nonzero()), strict=True)
    )
    assert (found[1].diff() >= 0).all()
    if watched:
        assert [(p.start, p.stop) for p, _ in seen] == [(0, 16), (16, 32), (32, 48), (48, 50)]
        torch.testing.assert_close(torch.cat([j for _, j in seen]), log_joint(density, rows), rtol=1e-12, atol=1e-12)


# --- EM over passes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ExactPass, TruncatedPass])
def test_em_steps_are_dense_em_steps(kind, always_looking):
    """A few components, without acceleration: the parameters of each step are those of the textbook."""
    params = random_params(STRUCTURES["UCU"], (3, 5, 2))
    X = random_rows(params, 150)
    rows = kind(params, as_they_are(X, keep=True), np.random.RandomState(0), 1.0)
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
    rows = kind(params, as_they_are(X, keep=True), np.random.RandomState(0), 2.0)
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
    rows = truncated(params, as_they_are(X, keep=True), soft_above=2.0)
    solver = EMSolver(params, rows, STRUCTURES["UCU"], FLOOR, temperature=8.0)
    solver.step()
    assert rows.state is None
    final, bound = solver.finish()
    assert bound == pytest.approx(dense_log_prob(final, X).mean(), rel=1e-9)


def test_a_dropped_extrapolation_puts_the_places_back():
    params, X = many()
    rows = truncated(params, as_they_are(X, keep=True))
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
    assert rows.state is safe.state
    assert solver.step().bound >= safe.bound
