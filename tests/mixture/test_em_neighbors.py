"""Neighborhoods that are learned from lookups, and what is tried beside them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, dense_log_joint, random_params, random_rows
from scipy.special import softmax

from mfa_sklearn.mixture._em.candidates import Lookup
from mfa_sklearn.mixture._em.neighbors import N_NEIGHBORS, N_TRIED, Closeness, pays, with_some_tried
from mfa_sklearn.mixture._model.density import prepare


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
