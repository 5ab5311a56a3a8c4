"""The gradient from pairs against automatic differentiation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, random_params, random_rows

from mfa_sklearn.mixture._gradient import fisher
from mfa_sklearn.mixture._gradient.fisher import sharp_gradient
from mfa_sklearn.mixture._model.density import log_joint, prepare, scores_and_log_joint
from mfa_sklearn.mixture._model.params import MFAParams


def _free(params: MFAParams) -> MFAParams:
    """The parameters as leaves of automatic differentiation."""
    return MFAParams(*(t.clone().requires_grad_() for t in params))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("size", [(20, 6, 2), (20, 5, 0), (1, 4, 1)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_the_gradient_from_pairs_is_that_of_automatic_differentiation(name, size, soft):
    """To rounding, whether few pairs matter or all."""
    params = random_params(STRUCTURES[name], size)
    params = params if soft else params._replace(means=20 * params.means)
    X = torch.tensor(random_rows(params, 40))
    weights = torch.tensor(np.random.default_rng(0).uniform(0, 2, 40))
    mean, found, n_pairs = sharp_gradient(params, X, weights)
    assert n_pairs > 200 if soft and size[0] > 1 else n_pairs < 60
    free = _free(params)
    value = weights @ log_joint(prepare(free), X).logsumexp(1)
    value.backward()
    assert float(mean) == pytest.approx(float(value.detach()), rel=1e-10)
    for given, leaf in zip(found, free, strict=True):
        torch.testing.assert_close(given, leaf.grad, rtol=1e-8, atol=1e-10 * float(leaf.grad.norm()))


def test_the_gradient_from_pairs_is_as_exact_in_single_precision():
    """Deviations are taken before they are squared: noise far below the signal costs no digits."""
    params = random_params(STRUCTURES["UUU"], (20, 6, 2))
    params = params._replace(means=20 * params.means, noise_variance=1e-3 * params.noise_variance)
    X = torch.tensor(random_rows(params, 40))
    weights = torch.full((40,), 1 / 40, dtype=torch.float64)
    exact = sharp_gradient(params, X, weights)[1]
    single = sharp_gradient(params.to(torch.float32), X.float(), weights.float())[1]
    for found, given in zip(single, exact, strict=True):
        assert float((found - given).norm() / given.norm()) < 1e-4


def _ten_bits(t: torch.Tensor) -> torch.Tensor:
    """Rounded as TF32 rounds the factors of a product."""
    return ((t.contiguous().view(torch.int32) + 2**12) & -(2**13)).view(torch.float32)


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "matmul"), reason="this version of torch cannot round")
def test_a_coarse_product_finds_the_same_pairs(monkeypatch):
    """What TF32 does to the product on a GPU, done here by hand: the densities stay, the gradient to three digits."""
    params = random_params(STRUCTURES["UUU"], (20, 30, 3)).to(torch.float32)
    params = params._replace(noise_variance=0.05 * params.noise_variance)
    X = torch.tensor(random_rows(params, 60)).float()
    weights = torch.full((60,), 1 / 60)
    mean, exact, _ = sharp_gradient(params, X, weights)

    def coarse(density, rows):
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
        axes = density.cov._replace(basis=_ten_bits(density.cov.basis))
        rounded = dataclasses.replace(density, cov=axes, cross=_ten_bits(density.cross))
        return scores_and_log_joint(rounded, _ten_bits(rows))

    before = torch.backends.mkldnn.matmul.fp32_precision
    monkeypatch.setattr(fisher, "_may_be_coarse", lambda rows: True)
    monkeypatch.setattr(fisher, "scores_and_log_joint", coarse)
    found_mean, found, _ = sharp_gradient(params, X, weights)
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    assert float(found_mean) == pytest.approx(float(mean), rel=1e-5)
    for given, other in zip(found, exact, strict=True):
        assert float((given - other).norm() / other.norm()) < 3e-3
