"""Spread and dimension against dense covariances."""

from __future__ import annotations

import numpy as np
import pytest
from interpret_fixtures import mixture

from mfa_sklearn import MFA
from mfa_sklearn.interpret._shape import component_shapes


@pytest.mark.parametrize("shared", [True, False])
def test_shapes_are_those_of_dense_covariances(shared: bool) -> None:
    mfa = mixture(n_components=3, n_features=7)
    noise = mfa.noise_variance_ if shared else np.random.default_rng(0).uniform(0.1, 2, (3, 7))
    found = component_shapes(MFA.from_params(mfa.weights_, mfa.means_, mfa.loadings_, noise))
    for k in range(3):
        loadings = mfa.loadings_[k]
        variances = np.linalg.eigvalsh(loadings @ loadings.T + np.diag(noise if shared else noise[k]))
        assert found["spread"][k] == pytest.approx(np.sqrt(variances.sum()), rel=1e-6)
        assert found["dimension"][k] == pytest.approx(variances.sum() ** 2 / np.square(variances).sum(), rel=1e-6)
        modeled = np.sort(np.linalg.eigvalsh(loadings @ loadings.T))[::-1]
        carried = np.cumsum(modeled) / modeled.sum()
        assert found["factors_90"][k] == 1 + np.flatnonzero(carried >= 0.9)[0]


def test_dimension_counts_equal_directions() -> None:
    loadings = np.zeros((2, 6, 4))
    loadings[0, :4] = np.eye(4) * 100
    loadings[1, :1, :1] = 100
    found = component_shapes(MFA.from_params([0.5, 0.5], np.zeros((2, 6)), loadings, np.full(6, 1e-6)))
    np.testing.assert_allclose(found["dimension"], [4, 1], rtol=1e-6)
    assert found["factors_90"].tolist() == [4, 1]


def test_without_factors_only_noise_has_a_shape() -> None:
    found = component_shapes(MFA.from_params([1.0], np.zeros((1, 3)), np.zeros((1, 3, 0)), [1.0, 1.0, 2.0]))
    assert found["spread"][0] == pytest.approx(2) and found["dimension"][0] == pytest.approx(16 / 6)
    assert found["factors_90"][0] == 0


def test_another_unit_is_that_of_a_mixture_measured_in_it() -> None:
    mfa, scale = mixture(n_components=3, n_features=7), np.array([1.0, 2, 3, 0.5, 10, 100, 1])
    found = component_shapes(MFA.from_params(mfa.weights_, mfa.means_, mfa.loadings_, mfa.noise_variance_), scale)
    loadings, noise = mfa.loadings_ / scale[:, None], mfa.noise_variance_ / np.square(scale)
    expected = component_shapes(MFA.from_params(mfa.weights_, mfa.means_ / scale, loadings, noise))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)
