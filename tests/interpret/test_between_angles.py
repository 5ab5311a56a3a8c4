"""`subspace_angles` against scipy's, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from interpret_fixtures import mixture

from mfa_sklearn.interpret import subspace_angles


def with_loadings(loadings: np.ndarray):
    mfa = mixture(n_components=len(loadings), n_features=loadings.shape[1])
    mfa.loadings_ = loadings
    return mfa


def drawn(K: int, D: int, q: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(K, D, q))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equals_scipy(dtype: type) -> None:
    first, second = drawn(3, 7, 2).astype(dtype), drawn(4, 7, 4, seed=1).astype(dtype)
    found = subspace_angles(with_loadings(first), with_loadings(second))
    assert found.shape == (3, 4, 2) and found.dtype == np.float64
    for k, j in np.ndindex(3, 4):
        pair = first[k].astype(float), second[j].astype(float)
        np.testing.assert_allclose(found[k, j], scipy.linalg.subspace_angles(*pair)[::-1], atol=1e-7)


def test_one_mixture_with_itself() -> None:
    loadings = drawn(4, 6, 3)
    loadings[2] = loadings[1] @ drawn(1, 3, 3, seed=2)[0]  # another basis of the same subspace
    found = subspace_angles(with_loadings(loadings))
    np.testing.assert_array_equal(found, found.transpose(1, 0, 2))
    assert not found[np.arange(4), np.arange(4)].any() and found[1, 2].max() < 1e-7
    assert (np.diff(found, axis=2) >= 0).all() and (found <= np.pi / 2).all()
    for k, j in ((0, 1), (3, 2)):
        np.testing.assert_allclose(found[k, j], scipy.linalg.subspace_angles(loadings[k], loadings[j])[::-1], atol=1e-7)
    some = subspace_angles(with_loadings(loadings), components=[0, 3])
    np.testing.assert_allclose(some, found[np.ix_([0, 3], [0, 3])], atol=1e-12)


def test_fewer_dimensions_than_factors() -> None:
    loadings = drawn(3, 6, 2)
    loadings[1, :, 1] = 0  # a component of fewer factors
    loadings[2] = 0  # and one of none
    found = subspace_angles(with_loadings(loadings))
    assert np.isnan(found).sum(2).tolist() == [[0, 1, 2], [1, 1, 2], [2, 2, 2]]
    expected = scipy.linalg.subspace_angles(loadings[0], loadings[1][:, :1])
    np.testing.assert_allclose(found[0, 1, :1], expected, atol=1e-7)


@pytest.mark.parametrize("q", [0, 5, 7])
def test_no_factors_and_all(q: int) -> None:
    found = subspace_angles(with_loadings(drawn(2, 5, q)))
    assert found.shape == (2, 2, min(q, 5))
    assert found.size == 0 or found.max() < 1e-6


def test_refusals() -> None:
    with pytest.raises(ValueError, match="5 and 4 features"):
        subspace_angles(mixture(), mixture(n_features=4))
