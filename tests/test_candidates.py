"""Lookups, and the neighborhoods that are learned from them, against loops over rows and dense densities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, dense_log_joint, random_params, random_rows
from scipy.special import softmax

from mfa_sklearn.mixture._em.candidates import Lookup
from mfa_sklearn.mixture._em.neighbors import N_NEIGHBORS, N_TRIED, Closeness, pays, with_some_tried
from mfa_sklearn.mixture._model import blocks
from mfa_sklearn.mixture._model.density import prepare

# Groups (H, g) of candidates among six components; some stand there twice.
TABLES = {
    "one group of all": [[0, 1, 2, 3, 4, 5]],
    "each its own": [[k, (k + 1) % 6, (k + 3) % 6] for k in range(6)],
    "repeated": [[0, 1, 0, 1], [1, 1, 1, 1], [2, 3, 4, 3], [3, 0, 5, 5]],
    "one candidate": [[4], [2]],
}


def looked_up(params, X, table, group, dtype=torch.float64):
    """Log joint densities (n, g) that a lookup gives, NaN where it gives none, and all that it evaluated."""
    rows = torch.tensor(X, dtype=dtype)
    lookup = Lookup(prepare(params, dtype), torch.tensor(table))
    found = np.full((len(X), len(table[0])), np.nan)
    times = np.zeros(len(X), dtype=int)
    evaluated = list(lookup.evaluate(rows, torch.tensor(group)))
    for block in evaluated:
        for i, g in enumerate(block.groups.tolist()):
            filled = block.filled[i]
            numbers = block.numbers[i][filled].numpy()
            assert (np.asarray(group)[numbers] == g).all()
            assert block.candidates[i].tolist() == table[g]
            torch.testing.assert_close(block.rows[i][filled], rows[numbers], rtol=0, atol=0)
            found[numbers] = block.joint[i][filled].numpy()
            times[numbers] += 1
    assert (times == 1).all()
    return found, evaluated


def expected_joint(params, X, table, group):
    """The same from dense covariances; a candidate counts where it stands first."""
    chosen = np.array(table)[group]
    joint = np.take_along_axis(dense_log_joint(params, X), chosen, 1)
    repeated = [[c in row[:i] for i, c in enumerate(row)] for row in chosen.tolist()]
    return np.where(repeated, -np.inf, joint)


@pytest.mark.parametrize("block_bytes", [200, 2**21])
@pytest.mark.parametrize("size", [(6, 5, 2), (6, 3, 0), (6, 1, 0)])
@pytest.mark.parametrize("name", ["UUU", "UUC", "UCU", "CCC"])
@pytest.mark.parametrize("kind", TABLES)
def test_lookups_are_log_joint_densities(kind, name, size, block_bytes, monkeypatch):
    monkeypatch.setitem(blocks._BLOCK_BYTES, "cpu", block_bytes)
    params, table = random_params(STRUCTURES[name], size), TABLES[kind]
    X = random_rows(params, 50)
    group = np.random.default_rng(0).integers(len(table), size=50) ** 2 % len(table)  # uneven, some without rows
    found, _ = looked_up(params, X, table, group)
    np.testing.assert_allclose(found, expected_joint(params, X, table, group), rtol=1e-10, atol=1e-10)


def test_single_precision_lookups_are_within_the_error_they_state():
    params, table = random_params(STRUCTURES["UUU"], (6, 5, 2)), TABLES["each its own"]
    X = random_rows(params, 200).astype(np.float32)
    group = np.random.default_rng(0).integers(6, size=200)
    _, evaluated = looked_up(params, X, table, group, torch.float32)
    expected = expected_joint(params, X.astype(float), table, group)
    for block in evaluated:
        off = np.abs(block.joint.numpy() - expected[block.numbers])
        assert (off <= block.error.numpy())[block.filled.numpy()].all()
        assert block.error.max() < 0.1


def test_projections_are_whitened_scores_and_the_means_part():
    params, table = random_params(STRUCTURES["UUU"], (6, 5, 2)), TABLES["each its own"]
    X = random_rows(params, 20)
    density = prepare(params)
    _, evaluated = looked_up(params, X, table, np.arange(20) % 6)
    for block in evaluated:
        for i, row in enumerate(block.candidates.tolist()):
            for c, k in enumerate(row):
                u = (block.rows[i] - params.means[k]) @ density.cov.basis[k]
                torch.testing.assert_close(block.projections[i, :, :-1, c], u, rtol=1e-10, atol=1e-10)
                linear = block.rows[i] @ (params.means[k] / params.noise_variance[k])
                torch.testing.assert_close(block.projections[i, :, -1, c], linear, rtol=1e-10, atol=1e-10)


def test_repeated_are_all_but_the_first():
    lookup = Lookup(prepare(random_params(STRUCTURES["UUU"], (6, 5, 2))), torch.tensor(TABLES["repeated"]))
    F, T = False, True
    assert lookup.repeated.tolist() == [[F, F, T, T], [F, T, T, T], [F, F, F, T], [F, F, F, T]]


def test_tried_are_neighbors_of_neighbors_and_a_few_at_random():
    K, g = 200, N_NEIGHBORS
    neighbors = (torch.arange(K)[:, None] + torch.arange(g)) % K
    found = with_some_tried(neighbors, np.random.RandomState(0))
    assert found.shape == (K, g + N_TRIED)
    assert torch.equal(found[:, :g], neighbors)
    n_random = N_TRIED // 4
    steps = (found[:, g:] - torch.arange(K)[:, None]) % K
    assert (steps[:, :-n_random] <= 2 * (g - 1)).all()
    assert (steps[:, :-n_random] >= g).any()
    assert len(found[:, -n_random:].unique()) > K // 3
    assert not torch.equal(with_some_tried(neighbors, np.random.RandomState(1)), found)


def test_nothing_is_tried_where_all_are_neighbors():
    neighbors = torch.arange(5).expand(5, 5)
    assert torch.equal(with_some_tried(neighbors, np.random.RandomState(0)), neighbors)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_closest_are_those_that_hold_most(temperature):
    """One by one, or in blocks of which only what is filled counts."""
    rng = np.random.default_rng(0)
    K, g, n = 60, 30, 500
    candidates = np.stack([np.r_[k, rng.permutation(np.delete(np.arange(K), k))[: g - 1]] for k in range(K)])
    home, joint = rng.integers(K, size=n), 3 * rng.standard_normal((n, g))
    share = np.zeros((K, g))
    np.add.at(share, home, softmax(joint / temperature, axis=1))
    share[:, 0] = np.inf
    expected = np.take_along_axis(candidates, np.argsort(-share, axis=1)[:, :N_NEIGHBORS], 1)
    one_by_one = Closeness(torch.tensor(candidates), temperature)
    one_by_one.add(torch.tensor(home), torch.tensor(joint))
    np.testing.assert_array_equal(one_by_one.best(), expected)
    most = np.bincount(home).max()
    padded, filled = 3 * rng.standard_normal((K, most, g)), np.zeros((K, most), dtype=bool)
    for k in range(K):
        own = home == k
        padded[k, : own.sum()], filled[k, : own.sum()] = joint[own], True
    in_blocks = Closeness(torch.tensor(candidates), temperature)
    in_blocks.add_block(torch.arange(K), torch.tensor(padded), torch.tensor(filled))
    np.testing.assert_array_equal(in_blocks.best(), expected)


def test_a_component_without_rows_keeps_its_neighbors_in_order():
    rng = np.random.default_rng(0)
    K = 100
    neighbors = np.stack([np.r_[k, rng.permutation(np.delete(np.arange(K), k))[: N_NEIGHBORS - 1]] for k in range(K)])
    candidates = with_some_tried(torch.tensor(neighbors), np.random.RandomState(0))
    closeness = Closeness(candidates, 2.0)
    with_rows = torch.arange(0, K, 2)
    closeness.add(with_rows, torch.tensor(rng.standard_normal((len(with_rows), candidates.shape[1]))))
    best = closeness.best()
    assert torch.equal(best[1::2], torch.tensor(neighbors)[1::2])
    assert torch.equal(best[:, 0], torch.arange(K))
    assert not torch.equal(best[::2], torch.tensor(neighbors)[::2])


def test_neighbors_stay_distinct_whatever_is_tried():
    """A home among what was tried once took a second place, and kept it for good."""
    params = random_params(STRUCTURES["UCC"], (100, 6, 1))
    X, rng = torch.tensor(random_rows(params, 400)), np.random.RandomState(0)
    density = prepare(params)
    home = torch.tensor(dense_log_joint(params, X.numpy()).argmax(1))
    neighbors = (torch.arange(100)[:, None] + torch.arange(N_NEIGHBORS)) % 100
    for _ in range(10):
        lookup = Lookup(density, with_some_tried(neighbors, rng))
        closeness = Closeness(lookup.candidates, 1.0)
        for block in lookup.evaluate(X, home):
            closeness.add_block(block.groups, block.joint, block.filled)
        neighbors = closeness.best()
        assert all(len(set(row)) == N_NEIGHBORS for row in neighbors.tolist())
        assert torch.equal(neighbors[:, 0], torch.arange(100))


def test_few_components_are_all_compared():
    assert not pays(N_NEIGHBORS + N_TRIED)
    assert not pays(3 * (N_NEIGHBORS + N_TRIED) - 1)
    assert pays(3 * (N_NEIGHBORS + N_TRIED))
