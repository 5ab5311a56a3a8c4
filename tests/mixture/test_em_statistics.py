"""Statistics and M-steps against dense oracles and perturbation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import (
    STRUCTURES,
    assert_same_statistics,
    dense_log_prob,
    dense_statistics,
    expected_complete_log_likelihood,
    random_params,
)
from statistics_cases import problem, statistics_of

from mfa_sklearn.mixture._em.statistics import m_step, rebase, zero_statistics
from mfa_sklearn.mixture._model import blocks
from mfa_sklearn.mixture._model.params import MFAParams, tie

FLOOR = 1e-9


@pytest.mark.parametrize("name", ["UUU", "CCC"])
def test_statistics_add_over_batches(name):
    params, X, weights = problem(name)
    parts = zero_statistics(params)
    for rows in torch.arange(len(X)).split(7):
        parts = parts + statistics_of(params, X[rows], weights[rows])
    assert_same_statistics(parts, statistics_of(params, X, weights), 1e-12)


@pytest.mark.parametrize("name", STRUCTURES)
def test_rebased_statistics_are_those_taken_about_the_other_parameters(name):
    params, X, weights = problem(name)
    other = random_params(STRUCTURES[name], (3, 5, 2), seed=5)
    found = rebase(statistics_of(params, X, weights), params, other)
    assert_same_statistics(found, dense_statistics(params, other, X.numpy(), weights.numpy()), 1e-9)


def perturbed(params: MFAParams, step: float, rng: np.random.Generator) -> MFAParams:
    """Parameters moved at random by `step`, with their ties kept: what is equal among components stays equal."""
    loadings, noise = params.loadings, params.noise_variance

    def draw(*shape: int) -> torch.Tensor:
        return torch.tensor(step * rng.standard_normal(shape))

    common = len(loadings) > 1 and bool((loadings == loadings[:1]).all())
    isotropic = bool((noise == noise[:, :1]).all())
    return MFAParams(
        (params.log_weights + draw(*params.log_weights.shape)).log_softmax(0),
        params.means + draw(*params.means.shape),
        loadings + draw(1 if common else len(loadings), *loadings.shape[1:]),
        noise * draw(len(noise), 1 if isotropic else noise.shape[1]).exp(),
    )


@pytest.mark.parametrize("size", [(3, 5, 2), (2, 4, 0), (2, 6, 1)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_m_step_is_the_maximizer(name, size):
    """No small change, whichever its direction, raises the expected complete-data log-likelihood."""
    params, X, weights = problem(name, size, n_rows=80)
    rows, w = X.numpy(), weights.numpy()
    best = m_step(params, statistics_of(params, X, weights), STRUCTURES[name], FLOOR)
    assert best.noise_variance.shape == params.noise_variance.shape
    top = expected_complete_log_likelihood(best, params, rows, w)
    assert top > expected_complete_log_likelihood(params, params, rows, w)
    rng = np.random.default_rng(0)
    for step in (1e-2, 1e-4, 1e-5):
        for _ in range(20):
            moved = perturbed(best, step, rng)
            opposite = MFAParams(*(2 * a - b for a, b in zip(best, moved, strict=True)))
            opposite = opposite._replace(log_weights=opposite.log_weights.log_softmax(0))
            for other in (moved, opposite):
                assert expected_complete_log_likelihood(other, params, rows, w) <= top + 1e-11 * abs(top)


@pytest.mark.parametrize("name", STRUCTURES)
def test_m_step_keeps_the_ties(name):
    structure = STRUCTURES[name]
    params, X, _ = problem(name)
    found = m_step(params, statistics_of(params, X), structure, FLOOR)
    same = [len(torch.unique(t, dim=0)) == 1 for t in (found.loadings, found.noise_variance)]
    assert same == [structure.common_loadings, structure.shared_noise]
    assert (found.noise_variance == found.noise_variance[:, :1]).all() == structure.isotropic_noise
    assert float(found.log_weights.exp().sum()) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("name", STRUCTURES)
def test_em_is_monotone(name, temperature):
    """From wherever it starts; at a higher temperature it is so once the temperature is down."""
    params, X, weights = problem(name, (3, 6, 2), n_rows=100)
    bounds = []
    for _ in range(40):
        if temperature == 1:
            bounds.append(weights.numpy() @ dense_log_prob(params, X.numpy()))
        params = m_step(params, statistics_of(params, X, weights, temperature), STRUCTURES[name], FLOOR)
        temperature = max(1.0, 0.6 * temperature)
    assert np.all(np.diff(bounds) >= -1e-9)
    assert bounds[-1] > bounds[0] + 1


@pytest.mark.parametrize("name", STRUCTURES)
def test_noise_floor_holds(name):
    params, X, _ = problem(name)
    X[:, 0] = 3.0  # no variance at all
    for _ in range(30):
        params = m_step(params, statistics_of(params, X), STRUCTURES[name], 1e-3)
    assert float(params.noise_variance.min()) >= 1e-3
    assert all(torch.isfinite(t).all() for t in params)
    if not STRUCTURES[name].isotropic_noise:
        assert (params.noise_variance[:, 0] == 1e-3).all()


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_component_without_rows_stays_where_it_is(name):
    params, X, _ = problem(name)
    params = params._replace(means=params.means.clone())
    params.means[1] = 1e4
    found = m_step(params, statistics_of(params, X), STRUCTURES[name], FLOOR)
    assert all(torch.isfinite(t).all() for t in found)
    assert torch.equal(found.means[1], params.means[1])
    assert float(found.log_weights[1]) < -100
    if not STRUCTURES[name].common_loadings:
        assert torch.equal(found.loadings[1], params.loadings[1])
    # The others are those of the mixture without it.
    rest = [0, 2]
    fewer = MFAParams(*(t[rest] if len(t) == 3 else t for t in params))
    fewer = fewer._replace(log_weights=fewer.log_weights.log_softmax(0))
    alone = m_step(fewer, statistics_of(fewer, X), STRUCTURES[name], FLOOR)
    torch.testing.assert_close(found.means[rest], alone.means)
    torch.testing.assert_close(found.loadings[rest], alone.loadings)
    noise = found.noise_variance if len(found.noise_variance) == 1 else found.noise_variance[rest]
    torch.testing.assert_close(noise, alone.noise_variance)


@pytest.mark.parametrize("name", STRUCTURES)
def test_m_step_does_not_depend_on_the_unit_of_the_weights(name):
    params, X, weights = problem(name)
    statistics = statistics_of(params, X, weights)
    expected = m_step(params, statistics, STRUCTURES[name], FLOOR)
    for unit in (1e-15, 1e15):
        found = m_step(params, statistics.scaled(unit), STRUCTURES[name], FLOOR)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", STRUCTURES)
def test_everything_is_made_where_the_parameters_are(name):
    """The default device here is one that holds no numbers: what does not name its own ends there, or fails."""
    params, X, weights = problem(name)
    X[3:5, 0] = torch.nan
    other = random_params(STRUCTURES[name], (3, 5, 2), seed=5)

    def results():
        statistics = statistics_of(params, X, weights) + zero_statistics(params)
        unweighted = statistics_of(params, X)
        new = m_step(params, unweighted, STRUCTURES[name], FLOOR)
        return [*statistics, *unweighted, *new, *tie(other, STRUCTURES[name]), *rebase(statistics, params, other)]

    here = results()
    with torch.device("meta"):
        again = results()
    for found, expected in zip(again, here, strict=True):
        assert found.device.type == "cpu"
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", STRUCTURES)
def test_components_a_few_at_a_time_are_all_of_them(name, monkeypatch):
    params, X, weights = problem(name)
    whole = statistics_of(params, X, weights)
    best = m_step(params, whole, STRUCTURES[name], FLOOR)
    monkeypatch.setitem(blocks._BLOCK_BYTES, "cpu", 1)
    pieces = statistics_of(params, X, weights)
    assert_same_statistics(pieces, whole, 1e-12)
    for found, expected in zip(m_step(params, pieces, STRUCTURES[name], FLOOR), best, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
