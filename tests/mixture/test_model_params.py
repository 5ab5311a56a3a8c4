"""Parameters: moments and draws, the number that is free, and ties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, as_arrays, dense_covariances, dense_log_joint, random_params

from mfa_sklearn.mixture._model.density import prepare
from mfa_sklearn.mixture._model.pairs import exact_log_joint, posterior_pairs
from mfa_sklearn.mixture._model.params import (
    MFAParams,
    check_params,
    mixture_moments,
    n_parameters,
    sample,
    tie,
    to_params,
)


@pytest.mark.parametrize("name", STRUCTURES)
def test_mixture_moments(name):
    params = random_params(STRUCTURES[name], (3, 5, 2))
    weights, means, _, _ = as_arrays(params)
    mean = weights @ means
    second = np.einsum("k,kde->de", weights, dense_covariances(params) + means[:, :, None] * means[:, None, :])
    found_mean, found_variance = mixture_moments(params)
    np.testing.assert_allclose(found_mean, mean, atol=1e-13)
    np.testing.assert_allclose(found_variance, np.diag(second) - mean**2, rtol=1e-12)


@pytest.mark.parametrize("name", ["UUU", "CCC"])
@pytest.mark.parametrize("size", [(3, 4, 2), (1, 3, 0)])
def test_draws_have_the_components_moments(name, size):
    params = random_params(STRUCTURES[name], size)
    X, components = sample(params, 60_000, torch.Generator().manual_seed(0))
    weights, means, _, _ = as_arrays(params)
    assert (components.diff() >= 0).all()
    np.testing.assert_allclose(np.bincount(components) / len(X), weights, atol=0.01)
    for k, covariance in enumerate(dense_covariances(params)):
        rows = X[components == k].numpy()
        deviation = np.sqrt(np.diag(covariance) / len(rows))
        assert np.all(np.abs(rows.mean(0) - means[k]) < 4.5 * deviation)
        size_of_entries = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / len(rows))
        assert np.all(np.abs(np.cov(rows.T, bias=True) - covariance) < 5 * size_of_entries)


def test_draws_repeat_under_the_same_generator():
    params = random_params(STRUCTURES["UUU"], (3, 4, 2))
    first, again, other = (sample(params, 9, torch.Generator().manual_seed(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_component_of_no_weight_is_never_drawn_and_gives_no_nan():
    params = random_params(STRUCTURES["UUU"], (3, 4, 2))
    params = params._replace(log_weights=torch.tensor([np.log(0.5), -np.inf, np.log(0.5)]))
    X, components = sample(params, 50, torch.Generator().manual_seed(0))
    assert set(components.tolist()) == {0, 2}
    joint = exact_log_joint(prepare(params), X)
    assert torch.isneginf(joint[:, 1]).all()
    np.testing.assert_allclose(joint[:, [0, 2]], _without_second(params, X), atol=1e-11)
    assert torch.isfinite(posterior_pairs(prepare(params), X)[2]).all()


def _without_second(params, X):
    kept = [0, 2]
    return dense_log_joint(MFAParams(*(t[kept] if len(t) == 3 else t for t in params)), X.numpy())


def test_parameters_move_to_a_device_and_to_a_precision():
    params = random_params(STRUCTURES["UUU"], (3, 5, 2))
    assert [t.dtype for t in params.to(torch.float32)] == [torch.float32] * 4
    assert [t.device.type for t in params.to(device="meta")] == ["meta"] * 4
    assert [t.dtype for t in params.to(device="meta")] == [torch.float64] * 4


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


GIVEN = (np.array([0.25, 0.75]), np.zeros((2, 3)), np.ones((2, 3, 1)), np.ones(3))


@pytest.mark.parametrize("noise", [np.full(3, 2.0), np.full((2, 3), 2.0)])
@pytest.mark.parametrize("kind", [np.array, torch.tensor, lambda a: a.tolist(), lambda a: a.astype(np.float32)])
def test_parameters_from_arrays(noise, kind):
    found = check_params(*(kind(part) for part in (*GIVEN[:3], noise)))
    assert all(part.dtype == torch.float64 for part in found)
    np.testing.assert_allclose(found.log_weights.exp(), GIVEN[0])
    assert found.noise_variance.shape == ((1, 3) if noise.ndim == 1 else (2, 3))
    for part, expected in zip(found, to_params(*GIVEN[:3], noise), strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("read", [check_params, to_params])
@pytest.mark.parametrize("kind", [lambda a: a.astype(np.float32), lambda a: torch.tensor(a, dtype=torch.float32)])
def test_parameters_in_single_precision_are_worked_on_in_double(read, kind):
    found = read(*map(kind, GIVEN))
    assert all(part.dtype == torch.float64 for part in found)
    assert torch.equal(found.log_weights, torch.tensor(GIVEN[0], dtype=torch.float64).log())


def test_one_component_one_feature_no_factor_and_a_weight_of_zero_are_a_mixture():
    smallest = check_params(np.ones(1), np.zeros((1, 1)), np.zeros((1, 1, 0)), np.ones(1))
    assert [tuple(part.shape) for part in smallest] == [(1,), (1, 1), (1, 1, 0), (1, 1)]
    assert check_params(np.array([0.0, 1.0]), *GIVEN[1:]).log_weights.tolist() == [-np.inf, 0.0]


@pytest.mark.parametrize("size", [(0, 3), (2, 0)])
def test_no_component_and_no_feature_are_refused(size):
    K, D = size
    parts = np.full(K, 1 / max(K, 1)), np.zeros((K, D)), np.zeros((K, D, 1)), np.ones(D)
    with pytest.raises(ValueError, match="shapes do not fit together"):
        check_params(*parts)


def test_arrays_that_may_not_be_written_to_are_read_without_a_warning(recwarn):
    parts = [part.copy() for part in GIVEN]
    for part in parts:
        part.flags.writeable = False
    check_params(*parts)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("place", "value", "error", "message"),
    [
        (0, np.ones((2, 1)) / 2, ValueError, r"shapes do not fit together: weights \(2, 1\), means \(2, 3\)"),
        (0, np.array([0.5, 0.6]), ValueError, "weights must not be negative and sum to one; got 0.5 and a sum of 1.1"),
        (0, np.array([1.5, -0.5]), ValueError, "weights must not be negative .* got -0.5"),
        (1, np.zeros(3), ValueError, "shapes do not fit together"),
        (1, np.full((2, 3), np.nan), ValueError, "means holds NaN or infinity"),
        (1, np.empty((0, 3)), ValueError, "shapes do not fit together"),
        (2, np.ones((2, 4, 1)), ValueError, r"loadings \(2, 4, 1\)"),
        (2, np.full((2, 3, 1), np.inf), ValueError, "loadings holds NaN or infinity"),
        (2, None, TypeError, "loadings must be an array of numbers, got NoneType"),
        (2, np.full((2, 3, 1), "1"), TypeError, "loadings must be an array of numbers, got ndarray of dtype <U1"),
        (3, np.ones((1, 3)), ValueError, r"noise_variance \(1, 3\)"),
        (3, np.array([1.0, 0.0, 1.0]), ValueError, "noise_variance must be positive; the least is 0.0"),
    ],
)
def test_what_is_no_mixture_is_refused(place, value, error, message):
    with pytest.raises(error, match=message):
        check_params(*(value if i == place else part for i, part in enumerate(GIVEN)))
