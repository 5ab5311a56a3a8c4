"""Rotation of loadings: against scikit-learn's factor analysis, and against what a rotation must leave alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from mixture_cases import X_MADE, quick
from mixture_oracles import STRUCTURES, estimator_arguments
from scipy.stats import ortho_group
from sklearn.datasets import load_digits, load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.decomposition._factor_analysis import _ortho_rotation
from sklearn.exceptions import ConvergenceWarning

from mfa_sklearn import MFA
from mfa_sklearn.mixture._model import rotation
from mfa_sklearn.mixture._model.rotation import canonical, rotate

METHODS = ["varimax", "quartimax"]


def make_loadings(n_components: int, n_features: int, n_factors: int, shared: bool = False, seed: int = 0):
    rng = np.random.default_rng(seed)
    loadings = rng.standard_normal((n_components, n_features, n_factors)) * 3.0 ** -np.arange(n_factors)
    noise = rng.uniform(0.1, 3.0, (1 if shared else n_components, n_features))
    return torch.tensor(loadings), torch.tensor(noise)


def random_rotations(n_components: int, n_factors: int, seed: int) -> torch.Tensor:
    draws = ortho_group(n_factors, seed=seed).rvs(n_components) if n_factors > 1 else -np.ones((n_components, 1, 1))
    return torch.tensor(draws).reshape(n_components, n_factors, n_factors)


def criterion(loadings: np.ndarray, method: str) -> float:
    """The variance (or sum) of squared loadings that the rotation maximizes, written as a statistician would."""
    squares = loadings**2
    return float(squares.var(axis=0).sum() if method == "varimax" else (squares**2).sum())


def up_to_order_and_sign(loadings: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Columns of `loadings` matched to those of `reference`."""
    scalar = reference.T @ loadings
    best = np.abs(scalar).argmax(1)
    assert sorted(best) == list(range(len(best)))
    return loadings[:, best] * np.sign(scalar[np.arange(len(best)), best])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", [(1, 4, 1), (3, 6, 2), (5, 20, 7)])
def test_canonical_form_is_diagonal_and_decreasing(shape, shared):
    loadings, noise = make_loadings(*shape, shared=shared)
    turned = canonical(loadings @ random_rotations(shape[0], shape[2], seed=1), noise)
    gram = (turned.mT @ (turned / noise[:, :, None])).numpy()
    diagonal = np.diagonal(gram, axis1=1, axis2=2)
    np.testing.assert_allclose(gram, diagonal[:, :, None] * np.eye(shape[2]), atol=1e-12 * gram.max())
    assert (np.diff(diagonal, axis=1) <= 0).all()


def test_canonical_form_of_a_matrix_worked_by_hand():
    # Columns (0, 1) and (3, 0) with unit noise: the gram matrix is diag(1, 9), so they change places.
    loadings = torch.tensor([[[0.0, -3.0], [1.0, 0.0], [0.0, 0.0]]], dtype=torch.float64)
    turned = canonical(loadings, torch.ones(1, 3, dtype=torch.float64))
    np.testing.assert_allclose(turned[0], [[3, 0], [0, 1], [0, 0]], atol=1e-15)


@pytest.mark.parametrize("method", [None, *METHODS])
@pytest.mark.parametrize("shape", [(4, 5, 0), (4, 5, 1), (3, 9, 4)])
def test_covariance_is_unchanged(method, shape):
    loadings, noise = make_loadings(*shape)
    turned = rotate(loadings, noise, method)
    assert turned.shape == loadings.shape
    np.testing.assert_allclose(turned @ turned.mT, loadings @ loadings.mT, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", [None, *METHODS])
@pytest.mark.parametrize("n_factors", [1, 2, 5])
def test_result_depends_on_the_density_alone(method, n_factors):
    loadings, noise = make_loadings(3, 12, n_factors)
    expected = rotate(loadings, noise, method)
    other = rotate(loadings @ random_rotations(3, n_factors, seed=2), noise, method)
    np.testing.assert_allclose(other, expected, atol=1e-7)
    np.testing.assert_allclose(rotate(expected, noise, method), expected, atol=1e-7)


def test_canonical_form_follows_the_units_of_features():
    loadings, noise = make_loadings(3, 8, 3)
    unit = torch.logspace(-20, 20, 8, dtype=torch.float64)
    scaled = canonical(loadings * unit[:, None], noise * unit.square())
    np.testing.assert_allclose(scaled / unit[:, None], canonical(loadings, noise), rtol=1e-9, atol=1e-12)


def test_sign_is_that_of_the_largest_entry_and_of_the_first_of_equals():
    noise = torch.ones(1, 4, dtype=torch.float64)
    column = torch.tensor([0.5, -1.0, 1.0 + 1e-12, 0.0], dtype=torch.float64)[None, :, None]
    np.testing.assert_allclose(canonical(column, noise)[0, :, 0], [-0.5, 1, -1, 0], atol=1e-11)
    np.testing.assert_allclose(canonical(-column, noise)[0, :, 0], [-0.5, 1, -1, 0], atol=1e-11)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("load, n_factors", [(load_wine, 3), (load_digits, 6)])
def test_agrees_with_scikit_learn(method, load, n_factors):
    X = load().data
    X = (X - X.mean(0)) / np.where(X.std(0) > 0, X.std(0), 1)
    plain = FactorAnalysis(n_factors, svd_method="lapack", tol=1e-8, max_iter=5000).fit(X)
    reference = _ortho_rotation(plain.components_.T, method, tol=1e-14, max_iter=10000).T
    loadings, noise = torch.tensor(plain.components_.T)[None], torch.tensor(plain.noise_variance_)[None]
    ours = rotate(loadings, noise, method)[0].numpy()
    assert criterion(ours, method) >= criterion(reference, method) * (1 - 1e-9)
    np.testing.assert_allclose(up_to_order_and_sign(ours, reference), reference, atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_no_plane_can_be_turned_to_a_better_criterion(method):
    loadings, noise = make_loadings(1, 15, 4)
    best = rotate(loadings, noise, method)[0].numpy()
    for i, j in zip(*np.triu_indices(4, 1), strict=True):
        for angle in np.linspace(-np.pi / 2, np.pi / 2, 41):
            turned = best.copy()
            turned[:, [i, j]] = best[:, [i, j]] @ [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            assert criterion(turned, method) <= criterion(best, method) * (1 + 1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_simple_structure_is_found_from_a_saddle_point(method):
    """Two groups of features of equal strength, turned by 45 degrees: there the criterion's gradient is zero."""
    simple = np.repeat(np.eye(2), [3, 3], axis=0)
    turned = torch.tensor(simple @ [[1, 1], [1, -1]] / np.sqrt(2))[None]
    found = rotate(turned, torch.ones(1, 6, dtype=torch.float64), method)[0].numpy()
    np.testing.assert_allclose(up_to_order_and_sign(found, simple), simple, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_flat_criterion_turns_nothing(method):
    """Rows at eighths of a turn: every rotation has the same criterion, so the canonical form stays."""
    angles = np.arange(8) * np.pi / 4
    loadings = torch.tensor(np.stack([np.cos(angles), np.sin(angles)], axis=1))[None]
    noise = torch.linspace(0.5, 2.0, 8, dtype=torch.float64)[None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        turned = rotate(loadings, noise, method)
    np.testing.assert_allclose(turned, canonical(loadings, noise), atol=1e-12)


@pytest.mark.parametrize("method", [None, *METHODS])
def test_columns_of_zeros_stay_last_and_zero(method):
    loadings, noise = make_loadings(3, 7, 4)
    loadings[0, :, [0, 2]] = 0.0
    loadings[1] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        turned = rotate(loadings, noise, method)
    assert torch.isfinite(turned).all()
    np.testing.assert_array_equal(turned[0, :, 2:], 0)
    np.testing.assert_allclose(turned[1], 0, atol=0)
    alone = rotate(loadings[:1, :, [1, 3]], noise[:1], method)
    np.testing.assert_allclose(turned[0, :, :2], alone[0], atol=1e-7)


@pytest.mark.parametrize("method", [None, *METHODS])
@pytest.mark.parametrize("shared", [False, True])
def test_common_loadings_stay_common(method, shared):
    loadings, noise = make_loadings(4, 8, 3, shared=shared)
    turned = rotate(loadings[:1].expand(4, -1, -1), noise, method, common=True).numpy()
    assert (turned == turned[0]).all()
    if method is None:
        precision = (1 / noise.numpy()).mean(0)
        gram = turned[0].T @ (precision[:, None] * turned[0])
        np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-12)


def test_many_factors_and_extreme_sizes():
    loadings, noise = make_loadings(2, 40, 21)
    for size in (1e-120, 1e120):
        turned = rotate(loadings * size, noise, "varimax") / size
        np.testing.assert_allclose(turned @ turned.mT, loadings @ loadings.mT, rtol=1e-10, atol=1e-10)


def test_rotation_that_does_not_settle_is_told(monkeypatch):
    monkeypatch.setattr(rotation, "_MOST_SWEEPS", 1)
    loadings, noise = make_loadings(2, 20, 5)
    with pytest.warns(ConvergenceWarning, match="the rotation of 2 of 2 components still moved after 1 sweeps"):
        turned = rotate(loadings, noise, "varimax")
    np.testing.assert_allclose(turned @ turned.mT, loadings @ loadings.mT, atol=1e-12)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="rotation='promax' is not known; use one of"):
        rotate(*make_loadings(1, 3, 2), "promax")


@pytest.mark.parametrize("structure", [{}, {"noise": "component"}, {"loading_type": "common", "noise": "component"}])
def test_estimator_rotates_without_changing_a_density(structure):
    X = load_wine().data
    common = structure.get("loading_type") == "common"
    settings = {"n_components": 2, "n_factors": 3, "max_iter": 15, "tol": 0, "random_state": 0, **structure}
    plain = MFA(**settings).fit(X)
    noise = torch.tensor(np.atleast_2d(plain.noise_variance_))
    expected = canonical(torch.tensor(plain.loadings_), noise, common)
    np.testing.assert_allclose(plain.loadings_, expected, rtol=1e-9, atol=1e-12)
    for method in METHODS:
        rotated = MFA(rotation=method, **settings).fit(X)
        np.testing.assert_allclose(rotated.score_samples(X), plain.score_samples(X), rtol=1e-11)
        assert np.abs(rotated.loadings_ - plain.loadings_).max() > 1e-3
        assert not common or (rotated.loadings_ == rotated.loadings_[0]).all()


@pytest.mark.parametrize("method", ["varimax", "quartimax"])
@pytest.mark.parametrize("structure", ["UUU", "CCC"])
def test_rotation_changes_no_density(method, structure):
    arguments = estimator_arguments(STRUCTURES[structure])
    plain, rotated = quick(**arguments), quick(rotation=method, **arguments)
    assert not np.allclose(plain.loadings_, rotated.loadings_)
    np.testing.assert_allclose(rotated.score_samples(X_MADE), plain.score_samples(X_MADE), rtol=1e-10)
    for k in range(3):
        np.testing.assert_allclose(rotated.get_covariance(k), plain.get_covariance(k), atol=1e-9)
