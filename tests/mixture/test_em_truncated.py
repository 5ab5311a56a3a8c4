"""Truncated passes against dense densities and statistics."""

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
)
from passes_cases import FLOOR, MANY, further_pairs, many, moved, row_weights, truncated

from mfa_sklearn.mixture._em import truncated as truncated_module
from mfa_sklearn.mixture._em.neighbors import N_NEIGHBORS
from mfa_sklearn.mixture._em.statistics import m_step
from mfa_sklearn.mixture._model.density import prepare
from mfa_sklearn.mixture._model.pairs import normalize, refine
from mfa_sklearn.mixture._model.params import MFAParams


def matter(params: MFAParams, X: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of more than rounding, but for those of the row's best component."""
    r = dense_responsibilities(params, X)
    r[np.arange(len(X)), r.argmax(1)] = 0
    return set(zip(*(i.tolist() for i in (r > math.exp(-40)).nonzero()), strict=True))


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
    place = rows.memory.rows
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
    assert (rows.memory.home.numpy() != best).mean() > 0.1
    for _ in range(5):
        rows(params)
    np.testing.assert_array_equal(rows.memory.home, best)


def test_homes_are_best_after_a_pass_over_all():
    params, X = many()
    rows = truncated(params, as_they_are(X, keep=True))
    rows(params)
    np.testing.assert_array_equal(rows.memory.home, dense_log_joint(params, X).argmax(1))
    assert rows.memory.neighbors.shape == (MANY, N_NEIGHBORS)


def test_neighbors_are_distinct_and_a_home_is_its_own_first(always_looking):
    params, X = many()
    rows = truncated(params, as_they_are(X, keep=True))
    for n in range(12):
        rows(params)
        params = moved(params, 0.3, n)
    assert all(len(set(row)) == N_NEIGHBORS for row in rows.memory.neighbors.tolist())
    assert torch.equal(rows.memory.neighbors[:, 0], torch.arange(MANY))


def test_candidates_that_are_tried_twice_count_once(monkeypatch, always_looking):
    """No pair is there twice, so that the rows' responsibilities sum to one, and the bound is no more than it is."""
    monkeypatch.setattr(truncated_module, "with_some_tried", lambda neighbors, _: torch.cat([neighbors, neighbors], 1))
    params, X = many()
    rows = truncated(params, as_they_are(X, keep=True))
    rows(params)
    places = rows.memory
    density = prepare(params)
    candidates = torch.cat([places.neighbors, places.neighbors], 1)
    search = truncated_module._Near(density, 1.0, 1.0, places, candidates)
    found, components = search(slice(0, len(X)), torch.tensor(X))
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
    held, kept = rows.memory, [t.clone() for t in rows.memory[:4]]
    pairs = further_pairs(rows)
    for n in range(2):
        rows(moved(params, 3.0, n))
    assert all(torch.equal(a, b) for a, b in zip(held[:4], kept, strict=True)), "states are never changed in place"
    rows.memory = held
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
        known.append(rows.memory.home)
    assert looked == [True, False, False, False] * 2 + [True]
    assert [a is b for a, b in itertools.pairwise(known)] == [True, True, True, False] * 2


def test_a_pass_over_known_pairs_is_exact_for_these():
    """Statistics are those of a posterior over the pairs that mattered at the last look, and no others."""
    params, X = many(20.0)
    weights = row_weights(len(X))
    rows = truncated(params, as_they_are(X, weights=weights, keep=True))
    rows(params)
    mattered = further_pairs(rows) | set(enumerate(rows.memory.home.tolist()))
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
