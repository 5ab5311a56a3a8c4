"""The moves of activations, against dense formulas."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import multivariate_normal

from mfa_sklearn.mixture._model.params import MFAParams
from mfa_sklearn.steering import _operators as ops
from mfa_sklearn.steering._move import Mixture, Move

K, D, Q = 4, 7, 2


def make_params(noise: str = "shared", seed: int = 0) -> MFAParams:
    rng = np.random.default_rng(seed)
    psi = {
        "isotropic": np.full((1, D), 0.3),
        "shared": rng.uniform(0.1, 2.0, (1, D)),
        "component": rng.uniform(0.1, 2.0, (K, D)),
    }[noise]
    parts = np.log(rng.dirichlet(np.ones(K))), rng.normal(0, 2, (K, D)), rng.normal(0, 1.5, (K, D, Q)), psi
    return MFAParams(*(torch.as_tensor(part) for part in parts))


def as_mfa(params: MFAParams) -> SimpleNamespace:
    log_weights, means, loadings, noise = (part.numpy() for part in params)
    noise = noise[0] if len(noise) == 1 else noise
    return SimpleNamespace(weights_=np.exp(log_weights), means_=means, loadings_=loadings, noise_variance_=noise)


def covariance(params: MFAParams, k: int) -> np.ndarray:
    noise = params.noise_variance[k if len(params.noise_variance) > 1 else 0]
    return (params.loadings[k] @ params.loadings[k].T + noise.diag()).numpy()


def dense_map(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """A = S1^-1/2 (S1^1/2 S2 S1^1/2)^1/2 S1^-1/2, by Schur decompositions."""
    root = sqrtm(source)
    return np.linalg.solve(root, np.linalg.solve(root, sqrtm(root @ target @ root).T).T).real


def rows(n: int = 5, dtype: torch.dtype = torch.float64, seed: int = 1) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(0, 3, (n, D))).to(dtype)


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


@pytest.mark.parametrize(("method", "component"), [("centroid", 1), ("centroid", None), ("transport", 1)])
def test_nothing_asked_for_changes_no_bit(method: str, component: int | None) -> None:
    x = torch.cat([rows(dtype=torch.float32), torch.full((1, D), -0.0)])
    z = None if component is None else np.zeros(Q)
    move = Move(Mixture(as_mfa(make_params())), component, 0.0, z, method, None)
    moved = move(x, torch.arange(len(x)))
    assert moved.numpy().tobytes() == x.numpy().tobytes()
    assert move.is_nothing
    params = make_params()
    route = ops.transport_map(params, 0, 1)
    for same in (ops.two_stage(x, params.means[1], 0.0, None), ops.transport(x, route, 0.0)):
        assert same.numpy().tobytes() == x.numpy().tobytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["centroid", "transport"])
def test_moves_keep_the_precision_of_the_activations(dtype: torch.dtype, method: str) -> None:
    x, first = rows(dtype=dtype), torch.zeros(5, dtype=torch.long)
    move = Move(Mixture(as_mfa(make_params())), 2, 0.6, {1: 2.0}, method, 0 if method == "transport" else None)
    exact, moved = move(rows(), first), move(x, first)
    assert moved.dtype == dtype
    tolerance = {torch.float16: 2e-2, torch.bfloat16: 1.5e-1, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(moved.double(), exact, atol=tolerance, rtol=tolerance)


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


def test_transport_starts_from_the_most_responsible_component_of_each_row() -> None:
    params = make_params()
    x = params.means[[0, 3, 1, 0]] + 0.01
    mixture = Mixture(as_mfa(params))
    moved = Move(mixture, 2, 0.5, None, "transport", None)(x, torch.zeros(4, dtype=torch.long))
    for row, source in enumerate([0, 3, 1, 0]):
        torch.testing.assert_close(moved[row], ops.transport(x[row], mixture.route(source, 2), 0.5))
    at_target = Move(mixture, 2, 1.0, None, "transport", None)(params.means[[2]], torch.zeros(1, dtype=torch.long))
    torch.testing.assert_close(at_target, params.means[[2]])


def test_a_component_per_row_of_the_batch() -> None:
    params, x = make_params(), rows(4)
    move = Move(Mixture(as_mfa(params)), [3, 0], 1.0, {0: 1.0}, "centroid", None)
    moved = move(x, torch.tensor([1, 0, 0, 1]))
    expected = (params.means + params.loadings[:, :, 0])[[0, 3, 3, 0]]
    torch.testing.assert_close(moved, expected)


def test_moves_are_differentiable() -> None:
    mixture = Mixture(as_mfa(make_params()))
    x = rows(3).requires_grad_()
    for component, method in [(1, "centroid"), (1, "transport"), (None, "centroid")]:
        Move(mixture, component, 0.25, None, method, None)(x, torch.zeros(3, dtype=torch.long)).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


BAD_MOVES = [
    ({"component": 4, "alpha": 1}, ValueError, r"component=4 is out of range: the mixture has 4"),
    ({"component": -1, "alpha": 1}, ValueError, "component=-1"),
    ({"component": 1.0, "alpha": 1}, TypeError, "component=1.0"),
    ({"component": True, "alpha": 1}, TypeError, "component=True"),
    ({"component": [], "alpha": 1}, TypeError, "integer"),
    ({"component": 1}, ValueError, "nothing to do"),
    ({"component": 1, "alpha": float("nan")}, ValueError, "alpha=nan"),
    ({"component": 1, "alpha": "much"}, ValueError, "alpha='much'"),
    ({"component": 1, "z": [1.0]}, ValueError, r"z has shape \(1,\), but the mixture has 2 factors"),
    ({"component": 1, "z": np.zeros((2, 1))}, ValueError, "z has shape"),
    ({"component": 1, "z": {2: 1.0}}, ValueError, "factor 2, but factors are numbered 0 to 1"),
    ({"component": 1, "z": {-1: 1.0}}, ValueError, "factor -1"),
    ({"component": 1, "z": [np.inf, 0]}, ValueError, "NaN or infinity"),
    ({"component": None, "z": [1.0, 0]}, ValueError, "give component="),
    ({"component": 1, "alpha": 1, "method": "teleport"}, ValueError, "method='teleport'"),
    ({"component": 1, "alpha": 1, "source": 0}, ValueError, "source= belongs to"),
    ({"component": None, "alpha": 1, "method": "transport"}, ValueError, "needs a target"),
    ({"component": 1, "alpha": 1.5, "method": "transport"}, ValueError, r"outside \[0, 1\]"),
    ({"component": 1, "alpha": 1, "method": "transport", "source": 9}, ValueError, "source=9"),
]


@pytest.mark.parametrize(("asked", "error", "match"), BAD_MOVES)
def test_bad_moves_are_refused(asked: dict, error: type[Exception], match: str) -> None:
    given = {"component": None, "alpha": None, "z": None, "method": "centroid", "source": None, **asked}
    with pytest.raises(error, match=match):
        Move(Mixture(as_mfa(make_params())), **given)


def test_mixtures_that_are_none_are_refused() -> None:
    with pytest.raises(TypeError, match="has no weights_"):
        Mixture(object())
    mfa = as_mfa(make_params())
    mfa.noise_variance_ = np.ones(D + 1)
    with pytest.raises(ValueError, match="shapes of the mixture's parameters disagree"):
        Mixture(mfa)
    mfa.noise_variance_ = np.full(D, np.nan)
    with pytest.raises(ValueError, match="NaN"):
        Mixture(mfa)
