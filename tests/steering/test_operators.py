"""The moves of activations, against dense formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from move_cases import K, as_mfa, covariance, make_params, rows
from scipy.stats import multivariate_normal

from mfa_sklearn.steering import _operators as ops
from mfa_sklearn.steering._move import Mixture, Move


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
