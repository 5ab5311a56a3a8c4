"""Statistics and M-steps against dense oracles, autograd and perturbation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import (
    SIZES,
    STRUCTURES,
    as_arrays,
    assert_same_statistics,
    dense_log_prob,
    dense_statistics,
    expected_complete_log_likelihood,
    random_params,
    random_rows,
)

from mfa_sklearn.mixture._em.sharp import e_step
from mfa_sklearn.mixture._em.statistics import m_step, rebase, zero_statistics
from mfa_sklearn.mixture._model import blocks, pairs
from mfa_sklearn.mixture._model.density import log_joint, prepare
from mfa_sklearn.mixture._model.params import MFAParams, n_parameters, tie

FLOOR = 1e-9


def problem(name: str, size: tuple[int, int, int] = (3, 5, 2), n_rows: int = 40):
    """Parameters, rows, and a positive weight for each row."""
    params = random_params(STRUCTURES[name], size)
    X = torch.tensor(random_rows(params, n_rows))
    weights = torch.tensor(np.random.default_rng(1).uniform(0.2, 3.0, n_rows))
    return params, X, weights


def statistics_of(params: MFAParams, X: torch.Tensor, weights: torch.Tensor | None = None, temperature: float = 1.0):
    """Statistics of the rows under these parameters."""
    return e_step(prepare(params, X.dtype), X, weights, temperature)[0]


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


@pytest.mark.parametrize("name", ["UUU", "CCC"])
def test_statistics_add_over_batches(name):
    params, X, weights = problem(name)
    parts = zero_statistics(params)
    for rows in torch.arange(len(X)).split(7):
        parts = parts + statistics_of(params, X[rows], weights[rows])
    assert_same_statistics(parts, statistics_of(params, X, weights), 1e-12)


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


def test_masses_are_summed_in_double_precision():
    """In single precision 2^24 + 3 is not a number."""
    params = random_params(STRUCTURES["UUU"], (1, 4, 1))
    weights = torch.tensor([2.0**24, 1, 1, 1]).double()
    for hole in (0.0, torch.nan):
        X = torch.tensor(random_rows(params, 4)).float()
        X[:, 0] += hole
        assert float(statistics_of(params, X, weights).mass[0]) == 2**24 + 3


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


@pytest.mark.parametrize(
    ("name", "count"),
    [("UUU", 20), ("UUC", 17), ("UCU", 16), ("UCC", 15), ("CUU", 16), ("CUC", 13), ("CCU", 12), ("CCC", 11)],
)
def test_free_parameters(name, count):
    """K = 3, D = 2, q = 1."""
    assert n_parameters(STRUCTURES[name], 3, 2, 1) == count


def test_free_parameters_of_known_models():
    free = STRUCTURES["UUU"]
    # q (q - 1) / 2 rotations; with D (D - 1) / 2 + D free entries of a covariance at the Ledermann bound: D = 6, q = 3
    assert n_parameters(free, 1, 6, 3) == 6 + 6 * 7 // 2
    assert n_parameters(free, 4, 10, 0) == 3 + 40 + 40
    assert n_parameters(STRUCTURES["UUC"], 1, 10, 3) == 10 + 30 - 3 + 1
    assert n_parameters(STRUCTURES["CUC"], 1, 10, 3) == 10 + 30 - 3 + 1
    # factors of their own number: 2 of 10 entries and one rotation, 0, 1
    assert n_parameters(free, 3, 10, [2, 0, 1]) == 2 + 30 + (19 + 0 + 10) + 30
    assert isinstance(n_parameters(free, 3, 10, (2, 0, 1)), int)


def stacked_axes(params: MFAParams, q: int) -> np.ndarray:
    """The best rank-q part of the components' average ``W_k W_k^T``, (D, D)."""
    weights, _, loadings, _ = as_arrays(params)
    values, vectors = np.linalg.eigh(np.einsum("k,kdi,kei->de", weights, loadings, loadings))
    return vectors[:, -q:] * values[-q:] @ vectors[:, -q:].T


@pytest.mark.parametrize("size", [(3, 6, 2), (2, 3, 0), (1, 4, 1)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_tying_averages_what_is_to_be_shared(name, size):
    structure, free = STRUCTURES[name], random_params(STRUCTURES["UUU"], size)
    tied = tie(free, structure)
    weights, means, loadings, noise = as_arrays(free)
    np.testing.assert_array_equal(tied.log_weights, free.log_weights)
    np.testing.assert_array_equal(tied.means, means)
    assert tied.loadings.shape == loadings.shape
    assert all(t.is_contiguous() for t in tied)
    if not structure.common_loadings or size[0] == 1 or size[2] == 0:
        np.testing.assert_array_equal(tied.loadings, loadings)
    else:
        common = tied.loadings[0].numpy()
        np.testing.assert_allclose(common @ common.T, stacked_axes(free, size[2]), atol=1e-12)
        np.testing.assert_array_equal(tied.loadings, np.broadcast_to(common, loadings.shape))
    expected = weights @ noise if structure.shared_noise else noise
    if structure.isotropic_noise:
        expected = np.broadcast_to(expected.mean(-1, keepdims=True), expected.shape)
    np.testing.assert_allclose(tied.noise_variance, np.atleast_2d(expected), rtol=1e-14)


@pytest.mark.parametrize("name", STRUCTURES)
def test_tying_what_is_tied_changes_nothing(name):
    params = random_params(STRUCTURES[name], (3, 6, 2))
    tied = tie(params, STRUCTURES[name])
    assert torch.equal(tied.loadings, params.loadings)
    torch.testing.assert_close(tied.noise_variance, params.noise_variance, rtol=1e-14, atol=0)


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
