"""Steps of gradient ascent: constraints, finite differences, and what cannot be climbed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, dense_log_prob, random_params, random_rows

from mfa_sklearn.mixture._gradient.ascent import Ascent, constrain, unconstrain
from mfa_sklearn.mixture._gradient.fisher import sharp_pays

FLOOR = 1e-3


@pytest.mark.parametrize("size", [(3, 5, 2), (2, 4, 0), (1, 3, 1)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_constrain_undoes_unconstrain(name, size):
    params = random_params(STRUCTURES[name], size)
    back = constrain(unconstrain(params, STRUCTURES[name], FLOOR, torch.float64), FLOOR)
    for found, given in zip(back, params, strict=True):
        torch.testing.assert_close(found, given, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("noise", [0.0, 1e-9, FLOOR, FLOOR * (1 + 1e-9), 1e4, 1e12])
def test_noise_at_the_edges_stays_finite_and_above_the_floor(noise, dtype):
    params = random_params(STRUCTURES["UUU"], (2, 3, 1))
    params = params._replace(noise_variance=torch.full_like(params.noise_variance, noise))
    leaves = unconstrain(params, STRUCTURES["UUU"], FLOOR, dtype)
    assert torch.isfinite(leaves.noise).all()
    found = constrain(leaves, FLOOR).noise_variance.double()
    assert (found >= FLOOR * (1 - 1e-6)).all()
    torch.testing.assert_close(found, torch.full_like(found, max(noise, FLOOR)), rtol=2e-3, atol=0)


@pytest.mark.parametrize("name", STRUCTURES)
def test_any_real_leaves_give_valid_parameters_with_their_ties(name):
    structure = STRUCTURES[name]
    params = random_params(structure, (3, 5, 2))
    leaves = unconstrain(params, structure, FLOOR, torch.float64)
    generator = torch.Generator().manual_seed(0)
    wild = type(leaves)(*(100 * torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in leaves))
    found = constrain(wild, FLOOR)
    assert float(found.log_weights.exp().sum()) == pytest.approx(1, abs=1e-12)
    assert (found.noise_variance >= FLOOR).all()
    same = [len(torch.unique(t, dim=0)) == 1 for t in (found.loadings, found.noise_variance)]
    assert same == [structure.common_loadings, structure.shared_noise]
    assert (found.noise_variance == found.noise_variance[:, :1]).all() == structure.isotropic_noise


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_step_descends_the_weighted_mean_of_the_negative_log_likelihood(name):
    """With plain gradient descent the move is the learning rate times the gradient by finite differences."""
    structure, rate, h = STRUCTURES[name], 1e-3, 1e-5
    params = random_params(structure, (2, 3, 1))
    X = torch.tensor(random_rows(params, 12))
    weights = torch.tensor(np.random.default_rng(0).uniform(0.5, 2, 12))
    leaves = unconstrain(params, structure, FLOOR, torch.float64)

    def objective(values) -> float:
        return float(weights.numpy() @ dense_log_prob(constrain(type(leaves)(*values), FLOOR), X.numpy()) / mass)

    mass = float(weights.sum())
    before = [t.detach().clone() for t in leaves]
    total, weight = Ascent(leaves, torch.optim.SGD(list(leaves), lr=rate), FLOOR).step(X, weights)
    assert total / weight == pytest.approx(objective(before), rel=1e-12)
    assert weight == pytest.approx(mass)
    for i, leaf in enumerate(leaves):
        numeric = torch.zeros_like(before[i])
        for place in np.ndindex(*leaf.shape):
            ends = []
            for side in (h, -h):
                values = [t.clone() for t in before]
                values[i][place] += side
                ends.append(objective(values))
            numeric[place] = (ends[0] - ends[1]) / (2 * h)
        torch.testing.assert_close((leaf.detach() - before[i]) / rate, numeric, rtol=1e-5, atol=1e-6)


def test_a_minibatch_of_no_weight_changes_nothing():
    params = random_params(STRUCTURES["UUU"], (2, 3, 1))
    leaves = unconstrain(params, STRUCTURES["UUU"], FLOOR, torch.float64)
    before = [t.detach().clone() for t in leaves]
    optimizer = torch.optim.Adam(list(leaves), lr=0.1)
    X = torch.tensor(random_rows(params, 4))
    assert Ascent(leaves, optimizer, FLOOR).step(X, torch.zeros(4)) == (0.0, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(leaves, before, strict=True))


def test_a_likelihood_that_is_not_finite_is_an_error_with_a_remedy():
    params = random_params(STRUCTURES["UUU"], (2, 3, 1))
    leaves = unconstrain(params, STRUCTURES["UUU"], FLOOR, torch.float64)
    X = torch.full((2, 3), 1e200, dtype=torch.float64)
    with pytest.raises(FloatingPointError, match=r"learning_rate.*noise_floor"):
        Ascent(leaves, torch.optim.Adam(list(leaves), lr=0.1), FLOOR).step(X, None)


@pytest.mark.parametrize("name", STRUCTURES)
def test_sharp_and_soft_steps_are_one_ascent(name, monkeypatch):
    """Whichever way the gradient is found, and whatever rows miss values, the leaves move alike."""
    structure = STRUCTURES[name]
    params = random_params(structure, (20, 6, 2))
    params = params._replace(means=5 * params.means)
    X = torch.tensor(random_rows(params, 60))
    X[::7, 1] = torch.nan
    batches = [X, X[~X.isnan().any(1)], X[:20].nan_to_num()]

    def climb() -> list[torch.Tensor]:
        leaves = unconstrain(params, structure, FLOOR, torch.float64)
        ascent = Ascent(leaves, torch.optim.Adam(list(leaves), lr=1e-3), FLOOR)
        for batch in batches:
            ascent.step(batch, None)
        return [t.detach() for t in leaves]

    found = climb()
    monkeypatch.setattr("mfa_sklearn.mixture._gradient.ascent.sharp_pays", lambda *sizes: False)
    for one, other in zip(found, climb(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_pairs_are_gone_through_only_where_they_are_few(monkeypatch):
    """An ascent turns to automatic differentiation while posteriors are soft, and back."""
    params = random_params(STRUCTURES["UUU"], (40, 6, 2))
    sharp, soft = params._replace(means=50 * params.means), params._replace(means=0.01 * params.means)
    leaves = unconstrain(sharp, STRUCTURES["UUU"], FLOOR, torch.float64)
    ascent = Ascent(leaves, torch.optim.SGD(list(leaves), lr=0.0), FLOOR)
    ways = []
    for way in ("_by_pairs", "_by_autograd"):
        plain = getattr(ascent, way)
        monkeypatch.setattr(ascent, way, lambda *args, way=way, plain=plain: (ways.append(way), plain(*args))[1])
    for now in (sharp, soft, soft, sharp, sharp):
        for leaf, value in zip(leaves, unconstrain(now, STRUCTURES["UUU"], FLOOR, torch.float64), strict=True):
            leaf.data.copy_(value.detach())
        ascent.step(torch.tensor(random_rows(now, 30)), None)
    assert ways == ["_by_pairs", "_by_pairs", "_by_autograd", "_by_autograd", "_by_pairs"]
    assert not sharp_pays(1, 1, 3)


def test_a_likelihood_of_many_components_that_is_not_finite_is_the_same_error():
    params = random_params(STRUCTURES["UUU"], (20, 3, 1))
    leaves = unconstrain(params, STRUCTURES["UUU"], FLOOR, torch.float64)
    X = torch.full((2, 3), 1e200, dtype=torch.float64)
    with pytest.raises(FloatingPointError, match=r"learning_rate.*noise_floor"):
        Ascent(leaves, torch.optim.Adam(list(leaves), lr=0.1), FLOOR).step(X, None)
