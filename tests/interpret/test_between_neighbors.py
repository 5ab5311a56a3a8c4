"""`neighbors` against dense covariances and against the integral it stands for."""

from __future__ import annotations

import numpy as np
import pytest
from interpret_fixtures import ExactMixture, mixture
from scipy.stats import multivariate_normal

from mfa_sklearn.interpret import neighbors
from mfa_sklearn.interpret._between import gaussians as module


def covariance(mfa: ExactMixture, k: int) -> np.ndarray:
    noise = np.broadcast_to(mfa.noise_variance_, mfa.means_.shape)[k]
    return mfa.loadings_[k] @ mfa.loadings_[k].T + np.diag(noise)


def dense_distance(mfa: ExactMixture, i: int, j: int) -> float:
    first, second = covariance(mfa, i), covariance(mfa, j)
    middle, d = (first + second) / 2, mfa.means_[i] - mfa.means_[j]
    dets = [np.linalg.slogdet(matrix)[1] for matrix in (first, second, middle)]
    return float(d @ np.linalg.solve(middle, d) / 8 + (dets[2] - (dets[0] + dets[1]) / 2) / 2)


@pytest.mark.parametrize("own_noise", [False, True])
@pytest.mark.parametrize("n_factors", [0, 1, 3])
@pytest.mark.parametrize("block", [1, 2**26])
def test_equals_dense_algebra(own_noise: bool, n_factors: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", block)
    mfa, rng = mixture(1.0, n_components=6), np.random.default_rng(1)
    mfa.loadings_ = rng.normal(size=(6, 5, n_factors))
    if own_noise:
        mfa.noise_variance_ = rng.uniform(0.1, 2, size=(6, 5))
    table = neighbors(mfa, 9)
    assert len(table) == 6 * 5 and (table["component"] != table["neighbor"]).all()
    expected = [dense_distance(mfa, i, j) for i, j in zip(table["component"], table["neighbor"], strict=True)]
    np.testing.assert_allclose(table["distance"], expected, rtol=1e-9)
    np.testing.assert_allclose(table["overlap"], np.exp(-np.array(expected)), rtol=1e-9)
    for _, lines in table.groupby("component"):
        assert lines["distance"].is_monotonic_increasing and lines["rank"].tolist() == [1, 2, 3, 4, 5]


def test_overlap_is_the_integral_of_the_geometric_mean() -> None:
    mfa = mixture(0.7, n_components=2, n_features=2)
    grid = np.stack(np.meshgrid(*[np.linspace(-12, 12, 400)] * 2), axis=-1)
    densities = [multivariate_normal(mfa.means_[k], covariance(mfa, k)).pdf(grid) for k in range(2)]
    expected = np.sqrt(densities[0] * densities[1]).sum() * (24 / 399) ** 2
    assert neighbors(mfa)["overlap"].tolist() == pytest.approx([expected] * 2, rel=1e-6)


def test_signal_far_above_the_noise() -> None:
    """Equal components are at distance zero, also where squares a million times the result cancel."""
    mfa = mixture(1e3, n_components=2)
    mfa.noise_variance_ = np.full(5, 1e-6)
    mfa.means_[1], mfa.loadings_[1] = mfa.means_[0], mfa.loadings_[0]
    assert neighbors(mfa)["distance"].tolist() == pytest.approx([0, 0], abs=1e-9)


def test_components_and_counts() -> None:
    mfa = mixture(n_components=5)
    every = neighbors(mfa, 2)
    assert len(every) == 10
    assert neighbors(mfa, 2, components=[3]).equals(every[every["component"] == 3].reset_index(drop=True))
    assert len(neighbors(mixture(n_components=1))) == 0
    with pytest.raises(ValueError, match="n_neighbors=0"):
        neighbors(mfa, 0)
    with pytest.raises(ValueError, match="component=5"):
        neighbors(mfa, components=5)
