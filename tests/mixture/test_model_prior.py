"""The prior of the noise against distributions of torch, and its mode against the derivative."""

from __future__ import annotations

import pytest
import torch
from mixture_oracles import STRUCTURES
from statistics_cases import problem, statistics_of
from torch.distributions import Normal, kl_divergence

from mfa_sklearn.mixture._em.statistics import m_step
from mfa_sklearn.mixture._model.prior import NoisePrior, n_effective

POOLED = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
NOISE = torch.tensor([[0.4, 1.5, 3.0], [0.5, 1.0, 4.0]], dtype=torch.float64)


def test_the_log_density_is_a_divergence_from_the_pooled_noise_times_the_rows():
    divergence = kl_divergence(Normal(0, POOLED.sqrt()), Normal(0, NOISE.sqrt())).sum()
    assert NoisePrior(7.0, POOLED).log_density(NOISE) == pytest.approx(-7 * float(divergence), rel=1e-12)
    assert NoisePrior(7.0, POOLED).log_density(POOLED[None]) == 0
    assert NoisePrior(0.0, POOLED).log_density(NOISE) == NoisePrior(7.0).log_density(NOISE) == 0


def test_the_mode_is_where_likelihood_and_prior_are_highest():
    left, mass = torch.tensor([[3.0, 8.0, 20.0], [1.0, 0.2, 9.0]]).double(), torch.tensor([[6.0], [2.0]]).double()
    prior = NoisePrior(5.0, POOLED)
    noise = prior.mode(left, mass).requires_grad_()
    (-0.5 * (mass * noise.log() + left / noise).sum() + prior.log_density_of(noise)).backward()
    assert noise.grad is not None
    torch.testing.assert_close(noise.grad, torch.zeros_like(noise), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", [name for name, s in STRUCTURES.items() if not s.shared_noise])
def test_the_m_step_lends_rows_of_the_pooled_noise(name):
    structure = STRUCTURES[name]
    params, X, weights = problem(name)
    s = statistics_of(params, X, weights)
    found = m_step(params, s, structure, 1e-9, NoisePrior(4.0, torch.full((5,), 2.0).double()))
    if structure.common_loadings:  # then the noise weighs the components in the loadings
        assert not torch.allclose(found.loadings, m_step(params, s, structure, 1e-9).loadings)
        return
    own, mass = m_step(params, s, structure, 1e-9).noise_variance, s.mass[:, None]
    torch.testing.assert_close(found.noise_variance, (mass * own + 4 * 2.0) / (mass + 4))
    shared = m_step(params, s, structure._replace(shared_noise=True), 1e-9).noise_variance
    pooled = m_step(params, s, structure, 1e-9, NoisePrior(4.0)).noise_variance
    torch.testing.assert_close(pooled, (mass * own + 4 * shared) / (mass + 4))
    most = m_step(params, s, structure, 1e-9, NoisePrior(1e12)).noise_variance
    torch.testing.assert_close(most, shared.expand(3, -1))


@pytest.mark.parametrize("name", ["UCU", "CCU"])
def test_shared_noise_is_lent_rows_as_well(name):
    params, X, weights = problem(name)
    s = statistics_of(params, X, weights)
    own = m_step(params, s, STRUCTURES[name], 1e-9).noise_variance
    found = m_step(params, s, STRUCTURES[name], 1e-9, NoisePrior(4.0, torch.full((5,), 2.0).double())).noise_variance
    torch.testing.assert_close(found, (s.mass.sum() * own + 4 * 2.0) / (s.mass.sum() + 4))


def test_between_none_and_all_noise_variances_are_free():
    rows = torch.tensor([10.0, 30.0, 60.0])
    assert n_effective(0.0, rows) == 3
    assert n_effective(1e9, rows) == pytest.approx(1, abs=1e-6)
    assert n_effective(20.0, rows) == pytest.approx(10 / 30 + 30 / 50 + 60 / 80 + 1)
    assert n_effective(1e-3, rows) == 3
