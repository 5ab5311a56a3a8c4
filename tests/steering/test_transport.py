"""Transport between two components, against dense maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from move_cases import D, Q, covariance, make_params, rows
from scipy.linalg import sqrtm

from mfa_sklearn.steering import _transport


def dense_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """A = S1^-1/2 (S1^1/2 S2 S1^1/2)^1/2 S1^-1/2, by Schur decompositions."""
    root = _root(source)
    return np.linalg.solve(root, np.linalg.solve(root, _root(root @ target @ root).T).T)


def _root(matrix: np.ndarray) -> np.ndarray:
    # Older versions of scipy give complex numbers of extended precision, which numpy's solvers do not take.
    return np.asarray(sqrtm(matrix).real, dtype=np.float64)


@pytest.mark.parametrize("noise", ["isotropic", "shared", "component"])
@pytest.mark.parametrize(("source", "target"), [(0, 1), (3, 2)])
def test_transport_is_the_dense_map_between_the_gaussians(noise: str, source: int, target: int) -> None:
    params, x = make_params(noise), rows()
    scale = params.noise_variance[source if noise == "component" else 0].sqrt().numpy()
    outer = np.outer(scale, scale)
    dense = dense_map(covariance(params, source) / outer, covariance(params, target) / outer)
    whitened = (x.numpy() - params.means[source].numpy()) / scale
    expected = params.means[target].numpy() + (whitened @ dense.T) * scale
    route = _transport.transport_map(params, source, target)
    np.testing.assert_allclose(_transport.transport(x, route, 1.0).numpy(), expected, atol=1e-8)
    np.testing.assert_allclose(_transport.transport(x, route, 0.3).numpy(), 0.7 * x.numpy() + 0.3 * expected, atol=1e-8)
    if noise != "component":
        assert route.left.shape == (D, 2 * Q)


def test_transport_under_isotropic_noise_is_the_plain_euclidean_map() -> None:
    params, x = make_params("isotropic"), rows()
    dense = dense_map(covariance(params, 0), covariance(params, 1))
    expected = params.means[1].numpy() + (x - params.means[0]).numpy() @ dense.T
    np.testing.assert_allclose(
        _transport.transport(x, _transport.transport_map(params, 0, 1), 1.0).numpy(), expected, atol=1e-8
    )


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_transport_pushes_the_source_onto_the_target(noise: str) -> None:
    """The map is affine, so the moments of what it makes of the source are exact."""
    params = make_params(noise)
    route = _transport.transport_map(params, 0, 3)
    slope = np.eye(D) + (route.left @ route.right.T).numpy()
    np.testing.assert_allclose(slope @ covariance(params, 0) @ slope.T, covariance(params, 3), atol=1e-8)
    arrived = _transport.transport(params.means[:1], route, 1.0)
    torch.testing.assert_close(arrived[0], params.means[3])
