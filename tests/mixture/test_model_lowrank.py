"""The algebra of Psi + W W^T against dense matrices and torch's own low-rank Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import (
    SIZES,
    STRUCTURES,
    as_arrays,
    dense_covariances,
    dense_posterior,
    fitted,
    random_params,
    random_rows,
)
from precision_cases import wide_log_joint
from torch.distributions import LowRankMultivariateNormal

from mfa_sklearn.mixture._model import blocks, lowrank
from mfa_sklearn.mixture._model.params import MFAParams

NOISES = ["UUU", "UCU"]  # noise per component, (K, D), and shared, (1, D)
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}


def problem(name: str, size: tuple[int, int, int], dtype: torch.dtype = torch.float64):
    """Parameters, their factorization, and deviations (K, n, D) of seven rows."""
    params = random_params(STRUCTURES[name], size, dtype=dtype)
    X = torch.tensor(random_rows(params, 7), dtype=dtype)
    return params, lowrank.factorize(params.loadings, params.noise_variance), X - params.means[:, None, :]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("noise", NOISES)
def test_verbs_agree_with_dense_matrices(noise, size, dtype):
    params, cov, deviations = problem(noise, size, dtype)
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    dense = dense_covariances(params)
    np.testing.assert_allclose(cov.log_det.double(), np.linalg.slogdet(dense)[1], **close)

    precision = torch.diag_embed(1 / cov.noise_variance) - cov.basis @ cov.basis.mT
    np.testing.assert_allclose(precision.double(), np.linalg.inv(dense), **close)

    d = deviations.double().numpy()
    expected = np.einsum("knd,kde,kne->kn", d, np.linalg.inv(dense), d)
    np.testing.assert_allclose(lowrank.mahalanobis(cov, deviations).double(), expected, **close)

    mean, factor_cov = lowrank.posterior(cov, deviations)
    X = (deviations[0] + params.means[0]).double().numpy()
    expected_mean, expected_cov = dense_posterior(params, X)
    np.testing.assert_allclose(mean.double(), expected_mean.transpose(1, 0, 2), **close)
    np.testing.assert_allclose(factor_cov.double(), expected_cov, **close)


@pytest.mark.parametrize("size", [s for s in SIZES if s[2]])
@pytest.mark.parametrize("noise", NOISES)
def test_agrees_with_torch_low_rank_normal(noise, size):
    params, cov, deviations = problem(noise, size)
    other = LowRankMultivariateNormal(
        torch.zeros_like(params.means), params.loadings, params.noise_variance.expand_as(params.means)
    )
    log_prob = -0.5 * (lowrank.mahalanobis(cov, deviations).T + cov.log_det + size[1] * np.log(2 * np.pi))
    torch.testing.assert_close(log_prob, other.log_prob(deviations.transpose(0, 1)), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("noise", NOISES)
def test_scores_are_the_stationary_point(noise):
    """Mahalanobis = min over z of |d - W z|^2_Psi + |z|^2, reached at the posterior mean."""
    params, cov, deviations = problem(noise, (2, 6, 3))
    z = lowrank.scores_from_projection(cov, lowrank.whitened_scores(cov, deviations)).requires_grad_()
    residual = deviations - z @ params.loadings.mT
    value = (residual.square() / params.noise_variance[:, None, :]).sum() + z.square().sum()
    assert torch.autograd.grad(value, z)[0].abs().max() < 1e-10


@pytest.mark.parametrize("noise", NOISES)
def test_select_is_the_component_alone(noise):
    params, cov, deviations = problem(noise, (3, 5, 2))
    noise_variance = as_arrays(params)[3]
    for k in range(3):
        alone = lowrank.factorize(params.loadings[k : k + 1], torch.tensor(noise_variance[k : k + 1].copy()))
        for chosen, own in zip(lowrank.select(cov, k), alone, strict=True):
            torch.testing.assert_close(chosen, own, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(
            lowrank.mahalanobis(lowrank.select(cov, k), deviations[k : k + 1]),
            lowrank.mahalanobis(cov, deviations)[k : k + 1],
        )


@pytest.mark.parametrize("size", [(2, 4, 2), (2, 3, 0), (1, 4, 3)])
@pytest.mark.parametrize("noise", NOISES)
def test_gradients(noise, size):
    params, _, deviations = problem(noise, size)

    def everything(log_noise, d, loadings=params.loadings):
        cov = lowrank.factorize(loadings, log_noise.exp())
        outputs = cov.log_det, lowrank.mahalanobis(cov, d), *lowrank.posterior(cov, d)
        return tuple(t for t in outputs if t.numel())

    inputs = [params.noise_variance.log(), deviations[:, :3]] + [params.loadings] * (size[2] > 0)
    assert torch.autograd.gradcheck(everything, [t.clone().requires_grad_() for t in inputs])


def test_single_precision_survives_a_signal_far_above_its_noise():
    """Loadings a million times the noise deviation: the distance inside the span keeps its digits in float32."""
    rng = np.random.default_rng(0)
    loadings, z = 1e3 * rng.standard_normal((1, 20, 2)), rng.standard_normal((5, 2))
    noise = np.full((1, 20), 1e-6)
    deviations = (z @ loadings[0].T + 1e-3 * rng.standard_normal((5, 20))).astype(np.float32)[None]
    exact = lowrank.factorize(torch.tensor(loadings), torch.tensor(noise))
    # In double precision the loadings are those that single precision can hold.
    single = lowrank.factorize(torch.tensor(loadings).float(), torch.tensor(noise).float())
    held = lowrank.factorize(single.loadings.double(), single.noise_variance.double())
    assert abs(float(single.log_det[0]) - float(held.log_det[0])) < 1e-3
    assert abs(float(exact.log_det[0]) - float(held.log_det[0])) < 1e-3
    whitener = single.whitener.double().mT @ single.whitener.double()
    torch.testing.assert_close(whitener, held.whitener.mT @ held.whitener, rtol=1e-5, atol=1e-30)
    scores = lowrank.posterior(single, torch.tensor(deviations))[0].double()
    np.testing.assert_allclose(scores[0], z, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("noise", NOISES)
def test_pieces_of_components_make_the_whole(noise, dtype, monkeypatch):
    """Many components are factorized a few at a time, and rounded as they come."""
    params = random_params(STRUCTURES[noise], (7, 5, 2))
    whole = lowrank.factorize(params.loadings, params.noise_variance, dtype)
    monkeypatch.setitem(blocks._BLOCK_BYTES, "cpu", 3 * 5 * 2 * 8)
    pieces = lowrank.factorize(params.loadings, params.noise_variance, dtype)
    for found, expected in zip(pieces, whole, strict=True):
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected)
    assert pieces.log_det.dtype == torch.float64
    assert pieces.basis.dtype == dtype
    assert pieces.basis.mT.is_contiguous() and pieces.loadings.mT.is_contiguous()


def joint_at_mean(mfa) -> np.ndarray:
    """Log densities (K,) of the components at zero, where all means are."""
    return wide_log_joint(mfa, np.zeros((1, mfa.n_features_in_)))[0].astype(float) - np.log(mfa.weights_)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("signal", [1e2, 1e6, 1e9])
@pytest.mark.parametrize("twins", ["equal", "nearly equal", "apart"])
def test_long_loadings_along_one_line_are_factorized(signal, twins, dtype):
    """Their Gram matrix is singular but for rounding, and what the identity adds to it is below that."""
    rng = np.random.default_rng(0)
    apart = {"equal": 0.0, "nearly equal": 1e-9, "apart": 1.0}[twins]
    loadings = signal * (rng.standard_normal((2, 12, 1)) + apart * rng.standard_normal((2, 12, 3)))
    params = MFAParams(
        torch.tensor([0.5, 0.5]).double().log(),
        torch.zeros(2, 12, dtype=torch.float64),
        torch.tensor(loadings).to(dtype),
        torch.tensor(rng.uniform(0.5, 1.5, (2, 12))).to(dtype),
    )
    mfa = fitted(params.to(torch.float64), STRUCTURES["UUU"])
    X = (rng.standard_normal((5, 1)) * loadings[0, :, 0] + rng.standard_normal((5, 12))).astype(float)
    cov = lowrank.factorize(params.loadings, params.noise_variance)
    deviations = torch.tensor(X).to(dtype).expand(2, -1, -1)
    # In double precision the rows and loadings are those that the precision can hold.
    joint = wide_log_joint(mfa, deviations[0].double().numpy()).astype(float) - np.log(0.5)
    found = -0.5 * (lowrank.mahalanobis(cov, deviations).T + cov.log_det + 12 * np.log(2 * np.pi))
    close = {"rtol": 1e-5, "atol": 1e-4} if dtype is torch.float64 else {"rtol": 1e-2, "atol": 1 + 1e-6 * signal**2}
    np.testing.assert_allclose(found.double(), joint, **close)
    np.testing.assert_allclose(cov.log_det.double(), -2 * joint_at_mean(mfa) - 12 * np.log(2 * np.pi), rtol=1e-5)


def test_a_factorization_beyond_double_precision_has_a_finite_gradient():
    leaf = torch.full((1, 5, 2), 1e8, dtype=torch.float64, requires_grad=True)
    lowrank.factorize(leaf, torch.ones(1, 5, dtype=torch.float64)).log_det.sum().backward()
    assert leaf.grad is not None and leaf.grad.isfinite().all()


@pytest.mark.parametrize("asked", ["loadings", "noise_variance"])
def test_gradients_of_many_components(asked, monkeypatch):
    """A gradient that is asked for in one of the two alone goes through the whole, not through pieces."""
    params = random_params(STRUCTURES["UUU"], (7, 5, 2))
    inputs = {name: getattr(params, name).clone() for name in ("loadings", "noise_variance")}
    inputs[asked].requires_grad_()
    expected = torch.autograd.grad(lowrank.factorize(**inputs).log_det.sum(), inputs[asked])[0]
    monkeypatch.setitem(blocks._BLOCK_BYTES, "cpu", 3 * 5 * 2 * 8)
    found = torch.autograd.grad(lowrank.factorize(**inputs).log_det.sum(), inputs[asked])[0]
    torch.testing.assert_close(found, expected)
