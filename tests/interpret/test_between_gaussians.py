"""Distances between Gaussians against dense algebra, torch's divergences and sampling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.distributions import LowRankMultivariateNormal, kl_divergence

from mfa_sklearn.interpret._between import gaussians as module
from mfa_sklearn.interpret._between.gaussians import Gaussians, bhattacharyya_parts, symmetric_kl, with_factors


def drawn(K: int = 4, D: int = 5, q: int = 2, seed: int = 0, noise: str = "component") -> Gaussians:
    rng = np.random.default_rng(seed)
    shape = {"component": (K, D), "shared": (1, D), "isotropic": (K, 1), "one": (1, 1)}[noise]
    psi = np.broadcast_to(rng.uniform(0.2, 2, shape), (K, D))
    return Gaussians(2 * rng.normal(size=(K, D)), rng.normal(size=(K, D, q)), psi)


def dense(given: Gaussians, k: int) -> np.ndarray:
    return given.loadings[k] @ given.loadings[k].T + np.diag(given.noise[k])


def dense_parts(first: Gaussians, second: Gaussians) -> np.ndarray:
    out = np.empty((2, len(first.means), len(second.means)))
    for k, j in np.ndindex(out.shape[1:]):
        covs = [dense(first, k), dense(second, j)]
        middle, d = sum(covs) / 2, second.means[j] - first.means[k]
        dets = [np.linalg.slogdet(cov)[1] for cov in (middle, *covs)]
        out[:, k, j] = d @ np.linalg.solve(middle, d) / 8, (dets[0] - (dets[1] + dets[2]) / 2) / 2
    return out


def torch_kl(first: Gaussians, second: Gaussians) -> np.ndarray:
    """Both directions added, by torch's own formula for normals of low rank."""
    shape = (len(first.means), len(second.means))
    rows, columns = ([torch.tensor(part) for part in given] for given in (first, second))
    one = LowRankMultivariateNormal(*(part[:, None] for part in rows)).expand(shape)
    other = LowRankMultivariateNormal(*columns).expand(shape)
    return (kl_divergence(one, other) + kl_divergence(other, one)).numpy()


@pytest.mark.parametrize("noise", ["component", "shared", "isotropic", "one"])
@pytest.mark.parametrize("q", [0, 1, 3])
@pytest.mark.parametrize("block", [1, 2**20])
def test_one_mixture_against_dense_algebra(noise: str, q: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", block)
    given = drawn(q=q, noise=noise)
    found, expected = np.array(bhattacharyya_parts(given)), dense_parts(given, given)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert (found >= 0).all() and not np.einsum("ikk->ik", found).any()
    np.testing.assert_array_equal(found, found.transpose(0, 2, 1))
    divergences = symmetric_kl(given)
    if q:  # torch has no normals of rank zero
        np.testing.assert_allclose(divergences, torch_kl(given, given), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(divergences, dense_kl(given, given), rtol=1e-9, atol=1e-10)
    assert not np.diagonal(divergences).any()


def dense_kl(first: Gaussians, second: Gaussians) -> np.ndarray:
    out = np.empty((len(first.means), len(second.means)))
    for k, j in np.ndindex(out.shape):
        covs, d = (dense(first, k), dense(second, j)), second.means[j] - first.means[k]
        traces = np.trace(np.linalg.solve(covs[1], covs[0])) + np.trace(np.linalg.solve(covs[0], covs[1]))
        out[k, j] = (traces - 2 * len(d) + d @ np.linalg.solve(covs[0], d) + d @ np.linalg.solve(covs[1], d)) / 2
    return out


def test_two_mixtures_of_other_sizes_and_factors() -> None:
    first, second = drawn(3, q=1), drawn(5, q=3, seed=1, noise="shared")
    found = np.array(bhattacharyya_parts(first, second))
    np.testing.assert_allclose(found, dense_parts(first, second), rtol=1e-9)
    np.testing.assert_allclose(symmetric_kl(first, second), torch_kl(first, second), rtol=1e-9)
    back = np.array(bhattacharyya_parts(second, first))
    np.testing.assert_allclose(back.transpose(0, 2, 1), found, rtol=1e-9)


def test_overlap_by_sampling() -> None:
    """The mean of ``sqrt(q / p)`` under p is the integral of ``sqrt(p q)``."""
    given = drawn(2, D=3, q=1, seed=3)
    p, r = (multivariate_normal(given.means[k] / 3, dense(given, k)) for k in range(2))
    X = p.rvs(200_000, random_state=0)
    ratios = np.exp((r.logpdf(X) - p.logpdf(X)) / 2)
    mean, covariance = bhattacharyya_parts(given._replace(means=given.means / 3))
    error = 4 * ratios.std() / np.sqrt(len(X))
    assert np.exp(-mean - covariance)[0, 1] == pytest.approx(ratios.mean(), abs=error)


def test_huge_means_do_not_cancel() -> None:
    given = drawn(4)
    moved = given._replace(means=np.round(given.means * 16) / 16)
    far = moved._replace(means=moved.means + 2.0**40)
    np.testing.assert_array_equal(bhattacharyya_parts(far)[0], bhattacharyya_parts(moved)[0])
    np.testing.assert_array_equal(symmetric_kl(far), symmetric_kl(moved))


@pytest.mark.parametrize("noise", [1e-6, 1e-13, 1e-20])
def test_signal_far_above_the_noise(noise: float) -> None:
    """Components that differ in their means only, along a factor: the noise has no say in their distance.

    Where W = w e_1 and d = c e_1, ``mean = c^2 / (8 (w^2 + noise))`` and both divergences are ``c^2 / (w^2 + noise)``.
    """
    means, loadings = np.zeros((3, 4)), np.zeros((3, 4, 1))
    means[1, 0], loadings[:, 0, 0] = 3e3, 1e3
    given = Gaussians(means, loadings, np.full((3, 4), noise))
    mean, covariance = bhattacharyya_parts(given)
    assert mean[0, 1] == pytest.approx(9 / 8) and mean[0, 2] == 0
    assert covariance.max() == pytest.approx(0, abs=1e-6)
    assert symmetric_kl(given)[0] == pytest.approx([0, 9, 0], abs=1e-3)


def test_both_ways_to_a_pair_agree() -> None:
    given = drawn(6, q=2)
    one = given.select(np.array([2]))
    plain, careful = module._by_gram(one, given), module._by_decomposition(one, given)
    for found, expected in zip(plain, careful, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_more_factors_that_load_on_nothing() -> None:
    given = drawn(q=1)
    wide = with_factors(given, 3)
    assert wide.loadings.shape[2] == 3 and not wide.loadings[:, :, 1:].any()
    assert with_factors(wide, 2).loadings.shape == wide.loadings.shape
    np.testing.assert_allclose(bhattacharyya_parts(wide), bhattacharyya_parts(given), rtol=1e-9, atol=1e-12)


def test_rounding_makes_no_distance_negative() -> None:
    given = drawn(30, D=20, q=3)
    copy = Gaussians(*(part.copy() for part in given))
    for found in (*bhattacharyya_parts(given, copy), symmetric_kl(given, copy)):
        assert (found >= 0).all() and np.diagonal(found).max() < 1e-11
