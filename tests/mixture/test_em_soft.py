"""Statistics of soft posteriors by dense products, on all rows or parts of them, against the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import (
    SIZES,
    STRUCTURES,
    as_they_are,
    assert_same_statistics,
    dense_statistics,
    random_params,
    random_rows,
)
from precision_cases import few_rows

from mfa_sklearn.mixture._em import soft
from mfa_sklearn.mixture._em.soft import soft_statistics
from mfa_sklearn.mixture._em.statistics import m_step


def problem(name: str, size: tuple[int, int, int] = (3, 5, 2), n_rows: int = 70):
    """Parameters, rows, and a weight for each row, some of them zero."""
    params = random_params(STRUCTURES[name], size)
    weights = np.random.default_rng(1).uniform(0.2, 3.0, n_rows)
    weights[::7] = 0
    return params, random_rows(params, n_rows), weights


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("name", "size"), [(name, (3, 5, 2)) for name in STRUCTURES] + [(n, s) for n in ("UUU", "UCC") for s in SIZES]
)
def test_soft_statistics_are_their_definitions(name, size, weighted):
    params, X, weights = problem(name, size)
    found = soft_statistics(params, as_they_are(X, weights=weights if weighted else None), None, 3.0)
    expected = dense_statistics(params, params, X, weights if weighted else np.ones(len(X)), 3.0)
    assert_same_statistics(found, expected, 1e-9)


@pytest.mark.parametrize("temperature", [1.0, 30.0])
def test_temperature_flattens_the_posterior_and_not_the_likelihood(temperature):
    params, X, weights = problem("UUU")
    found = soft_statistics(params, as_they_are(X, weights=weights), None, temperature)
    assert_same_statistics(found, dense_statistics(params, params, X, weights, temperature), 1e-9)


@pytest.mark.parametrize("name", ["UUU", "CCC"])
def test_single_precision_is_good_enough_for_a_search(name):
    params, X, weights = problem(name, (4, 30, 6), 300)
    X = X.astype(np.float32)
    found = soft_statistics(params, as_they_are(X, torch.float32, weights=weights), None, 4.0)
    expected = dense_statistics(params, params, X.astype(float), weights, 4.0)
    assert all(t.dtype == torch.float64 for t in found)
    for name, a, b in zip(found._fields, found, expected, strict=True):
        assert float((a - b).abs().max()) <= 1e-3 * float(b.abs().max()), name


@pytest.mark.parametrize("batch_rows", [1, 33, None])
@pytest.mark.parametrize("keep", [False, True])
def test_chunks_make_no_difference(batch_rows, keep, monkeypatch):
    params, X, weights = problem("UUU", n_rows=200)
    whole = soft_statistics(params, as_they_are(X, weights=weights), None, 3.0)
    monkeypatch.setitem(soft._CHUNK_BYTES, "cpu", 1)  # the least: 64 rows at once
    rows = as_they_are(X, weights=weights, batch_rows=batch_rows, keep=keep)
    assert_same_statistics(soft_statistics(params, rows, None, 3.0), whole, 1e-11)


@pytest.mark.parametrize("keep", [False, True])
def test_only_the_rows_that_were_asked_for_count(keep):
    params, X, weights = problem("UCU")
    rows = np.array([0, 3, 4, 20, 69])
    batches = as_they_are(X, weights=weights, batch_rows=2, keep=keep)
    expected = dense_statistics(params, params, X[rows], weights[rows], 2.0)
    assert_same_statistics(soft_statistics(params, batches, rows, 2.0), expected, 1e-9)


@pytest.mark.parametrize("n_delicate", [0, 1, 3, 5])
@pytest.mark.parametrize("temperature", [1.5, 8.0])
@pytest.mark.parametrize("seed", range(3))
def test_components_of_a_few_rows_keep_their_loadings_in_single_precision(n_delicate, temperature, seed):
    """Where rows do not span a factor, what is left of its scatter is a posterior variance below the sums' rounding."""
    params, X = few_rows(n_delicate, seed=seed)
    X = X.astype(np.float32)
    single = soft_statistics(params, as_they_are(X, torch.float32), None, temperature)
    double = soft_statistics(params, as_they_are(X.astype(float)), None, temperature)
    assert_same_statistics(
        double, dense_statistics(params, params, X.astype(float), np.ones(len(X)), temperature), 1e-6
    )
    found, expected = (m_step(params, s, STRUCTURES["UUU"], 1e-6) for s in (single, double))
    off = (found.loadings - expected.loadings).abs().amax()
    assert float(off) <= 0.02 * float(expected.loadings.abs().amax())


def test_ordinary_components_are_summed_in_the_precision_of_the_rows():
    for n_delicate, dtypes in {0: [torch.float32], 2: [torch.float32, torch.float64], 5: [torch.float64]}.items():
        sums = soft.SoftSums(few_rows(n_delicate)[0], torch.float32, 2.0)
        assert [part._firsts.dtype for part in sums._parts] == dtypes
    assert len(soft.SoftSums(few_rows(2)[0], torch.float64, 2.0)._parts) == 1
