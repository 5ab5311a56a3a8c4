"""The E-step's statistics against their definitions and autograd."""

from __future__ import annotations

import pytest
import torch
from mixture_oracles import (
    SIZES,
    STRUCTURES,
    assert_same_statistics,
    dense_statistics,
    e_step,
    random_params,
    random_rows,
)
from precision_cases import few_rows
from statistics_cases import problem, statistics_of

from mfa_sklearn.mixture._em.statistics import m_step
from mfa_sklearn.mixture._model import pairs
from mfa_sklearn.mixture._model.density import log_joint, prepare
from mfa_sklearn.mixture._model.params import MFAParams


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["UUU", "CCC"])
def test_statistics_are_their_definitions(name, size, temperature, monkeypatch):
    monkeypatch.setattr(pairs, "_TEMPERED_MARGIN", 40.0)  # while the posterior is tempered, less is enough
    params, X, weights = problem(name, size)
    expected = dense_statistics(params, params, X.numpy(), weights.numpy(), temperature)
    assert_same_statistics(statistics_of(params, X, weights, temperature), expected, 1e-10)


@pytest.mark.parametrize("name", STRUCTURES)
def test_fisher_identity(name):
    """The gradient of the log-likelihood is that of the expected complete-data one: closed in the statistics."""
    params, X, weights = problem(name, n_rows=60)
    s = statistics_of(params, X, weights)
    psi = params.noise_variance
    noise_gradient = s.square / (2 * psi**2) - s.mass[:, None] / (2 * psi)
    expected = [
        s.mass - params.log_weights.exp() * s.weight,
        s.residual / psi,
        s.cross / psi[:, :, None],
        noise_gradient.sum(0, keepdim=True) if len(psi) == 1 else noise_gradient,
    ]
    leaves = [t.clone().requires_grad_() for t in params]
    leaves[0] = params.log_weights.clone().requires_grad_()
    density = prepare(MFAParams(leaves[0].log_softmax(0), *leaves[1:]))
    total = weights @ log_joint(density, X).logsumexp(1)
    for found, wanted in zip(torch.autograd.grad(total, leaves), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-8)
    torch.testing.assert_close(total, s.log_likelihood, rtol=1e-12, atol=1e-9)


def test_a_weight_counts_as_that_many_rows():
    params, X, _ = problem("UUU")
    counts = torch.arange(len(X)) % 3
    repeated = statistics_of(params, X.repeat_interleave(counts, dim=0))
    weighted = statistics_of(params, X, counts.double())
    assert_same_statistics(weighted, repeated, 1e-12)
    assert_same_statistics(statistics_of(params, X, 4 * counts.double()), repeated.scaled(4), 1e-12)


def test_single_precision_statistics():
    params, X, weights = problem("UUU", (4, 30, 6), 200)
    X = X.float()
    single = statistics_of(params, X, weights)
    assert all(t.dtype == torch.float64 for t in single)
    assert_same_statistics(single, statistics_of(params, X.double(), weights), 2e-4)


def test_masses_are_summed_in_double_precision():
    """In single precision 2^24 + 3 is not a number."""
    params = random_params(STRUCTURES["UUU"], (1, 4, 1))
    weights = torch.tensor([2.0**24, 1, 1, 1]).double()
    for hole in (0.0, torch.nan):
        X = torch.tensor(random_rows(params, 4)).float()
        X[:, 0] += hole
        assert float(statistics_of(params, X, weights).mass[0]) == 2**24 + 3


@pytest.mark.parametrize("n_delicate", [1, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_components_that_lost_their_rows_keep_their_loadings_in_single_precision(n_delicate, seed):
    """Scatter and cross moments divide by one another: both are to be those of the scores that were computed."""
    params, X = few_rows(n_delicate, seed=seed)
    # As it is before the loadings are turned: long and short directions in every column.
    turn = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).Q
    params = params._replace(loadings=(params.loadings * torch.tensor([1.0, 0.3, 0.1, 0.03])) @ turn)
    rows = torch.tensor(X, dtype=torch.float32)
    single, double = (e_step(prepare(params, r.dtype), r)[0] for r in (rows, rows.double()))
    found, expected = (m_step(params, s, STRUCTURES["UUU"], 1e-6) for s in (single, double))
    off = (found.loadings - expected.loadings).abs().amax()
    assert float(off) <= 0.02 * float(expected.loadings.abs().amax())
