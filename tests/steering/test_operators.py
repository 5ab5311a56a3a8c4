"""The moves of activations, against dense formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from move_cases import D, K, Q, as_mfa, make_params, rows
from scipy.linalg import sqrtm
from scipy.stats import multivariate_normal

from mfa_sklearn.mixture._model.params import MFAParams
from mfa_sklearn.steering import _operators as ops
from mfa_sklearn.steering._move import Mixture, Move


def covariance(params: MFAParams, k: int) -> np.ndarray:
    noise = params.noise_variance[k if len(params.noise_variance) > 1 else 0]
    return (params.loadings[k] @ params.loadings[k].T + noise.diag()).numpy()


def dense_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """A = S1^-1/2 (S1^1/2 S2 S1^1/2)^1/2 S1^-1/2, by Schur decompositions."""
    root = _root(source)
    return np.linalg.solve(root, np.linalg.solve(root, _root(root @ target @ root).T).T)


def _root(matrix: np.ndarray) -> np.ndarray:
    # Older versions of scipy give complex numbers of extended precision, which numpy's solvers do not take.
    return np.asarray(sqrtm(matrix).real, dtype=np.float64)


def test_centroid_local_and_two_stage_are_their_formulas() -> None:
    params, x, z = make_params(), rows(), torch.tensor([1.5, -2.0], dtype=torch.float64)
    mu, loadings = params.means[2], params.loadings[2]
    move = {
        "centroid": ops.interpolate(x, mu, 0.6),
        "local": ops.shift(x, ops.subspace_offset(loadings, z)),
        "two-stage": ops.two_stage(x, mu, 0.6, ops.subspace_offset(loadings, z)),
    }
    wz = (loadings * z).sum(1)
    expected = {"centroid": 0.4 * x + 0.6 * mu, "local": x + wz, "two-stage": 0.4 * x + 0.6 * mu + wz}
    for name, value in expected.items():
        torch.testing.assert_close(move[name], value)


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_weighted_centroid_is_the_posterior_mean_of_the_centroids(noise: str) -> None:
    params, x = make_params(noise), rows(20)
    densities = np.stack(
        [multivariate_normal(params.means[k], covariance(params, k)).pdf(x.numpy()) for k in range(K)], axis=1
    )
    joint = densities * params.log_weights.exp().numpy()
    posterior = joint / joint.sum(1, keepdims=True)
    density = ops.evaluable(params, torch.device("cpu"))
    np.testing.assert_allclose(ops.responsibilities(density, x).numpy(), posterior, atol=1e-10)
    centroid = ops.weighted_centroid(density, x[None].float())
    np.testing.assert_allclose(centroid[0].numpy(), posterior @ params.means.numpy(), rtol=1e-5, atol=1e-5)
    moved = Move(Mixture(as_mfa(params)), None, 0.3, None, "centroid", None)(x, torch.zeros(20, dtype=torch.long))
    np.testing.assert_allclose(moved.numpy(), 0.7 * x.numpy() + 0.3 * posterior @ params.means.numpy(), rtol=1e-6)


@pytest.mark.parametrize("noise", ["isotropic", "shared", "component"])
@pytest.mark.parametrize(("source", "target"), [(0, 1), (3, 2)])
def test_transport_is_the_dense_map_between_the_gaussians(noise: str, source: int, target: int) -> None:
    params, x = make_params(noise), rows()
    scale = params.noise_variance[source if noise == "component" else 0].sqrt().numpy()
    outer = np.outer(scale, scale)
    dense = dense_map(covariance(params, source) / outer, covariance(params, target) / outer)
    whitened = (x.numpy() - params.means[source].numpy()) / scale
    expected = params.means[target].numpy() + (whitened @ dense.T) * scale
    route = ops.transport_map(params, source, target)
    np.testing.assert_allclose(ops.transport(x, route, 1.0).numpy(), expected, atol=1e-8)
    np.testing.assert_allclose(ops.transport(x, route, 0.3).numpy(), 0.7 * x.numpy() + 0.3 * expected, atol=1e-8)
    if noise != "component":
        assert route.left.shape == (D, 2 * Q)


def test_transport_under_isotropic_noise_is_the_plain_euclidean_map() -> None:
    params, x = make_params("isotropic"), rows()
    dense = dense_map(covariance(params, 0), covariance(params, 1))
    expected = params.means[1].numpy() + (x - params.means[0]).numpy() @ dense.T
    np.testing.assert_allclose(ops.transport(x, ops.transport_map(params, 0, 1), 1.0).numpy(), expected, atol=1e-8)


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_transport_pushes_the_source_onto_the_target(noise: str) -> None:
    """The map is affine, so the moments of what it makes of the source are exact."""
    params = make_params(noise)
    route = ops.transport_map(params, 0, 3)
    slope = np.eye(D) + (route.left @ route.right.T).numpy()
    np.testing.assert_allclose(slope @ covariance(params, 0) @ slope.T, covariance(params, 3), atol=1e-8)
    arrived = ops.transport(params.means[:1], route, 1.0)
    torch.testing.assert_close(arrived[0], params.means[3])
