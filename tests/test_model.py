"""The mixture's density, its exact evaluation, its moments and draws, against scipy, torch and dense oracles."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from mixture_oracles import (
    SIZES,
    STRUCTURES,
    as_arrays,
    dense_covariances,
    dense_log_joint,
    dense_log_prob,
    dense_posterior,
    dense_responsibilities,
    random_params,
    random_rows,
)

from mfa_sklearn.mixture._gradient.ascent import constrain, unconstrain
from mfa_sklearn.mixture._model.density import log_joint, prepare
from mfa_sklearn.mixture._model.pairs import (
    _CHUNK_BYTES,
    _TEMPERED_MARGIN,
    Pairs,
    best_components,
    chunk_rows,
    exact_log_joint,
    posterior_pairs,
    residuals,
)
from mfa_sklearn.mixture._model.params import MFAParams, mixture_moments, sample

TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5}
DTYPES = [torch.float64, torch.float32]


def problem(name: str, size: tuple[int, int, int], dtype: torch.dtype = torch.float64, n_rows: int = 20):
    """Parameters, and rows as a tensor and as the same numbers in double precision."""
    params = random_params(STRUCTURES[name], size, dtype=dtype)
    X = torch.tensor(random_rows(params, n_rows), dtype=dtype)
    return params, X, X.double().numpy()


@pytest.mark.parametrize("evaluate", [log_joint, exact_log_joint])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", STRUCTURES)
def test_log_joint_is_that_of_dense_gaussians(name, size, dtype, evaluate):
    params, X, rows = problem(name, size, dtype)
    found = evaluate(prepare(params), X)
    assert found.dtype == dtype
    # The plain evaluation expands squares: in single precision only to the size of what cancels.
    tolerance = 2e-4 if dtype == torch.float32 and evaluate is log_joint else TOLERANCE[dtype]
    expected = dense_log_joint(params, rows)
    if evaluate is log_joint:
        np.testing.assert_allclose(found.double(), expected, rtol=tolerance, atol=tolerance)
    else:  # exact where it matters, within the plain one's error elsewhere
        np.testing.assert_allclose(found.double(), expected, rtol=2e-4 if dtype == torch.float32 else 1e-11, atol=1e-3)
        best = np.arange(len(rows)), expected.argmax(1)
        np.testing.assert_allclose(found.double()[best], expected[best], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["UUU", "CCC"])
@pytest.mark.parametrize("size", [(2, 4, 2), (2, 3, 0), (1, 1, 0)])
def test_log_joint_gradients(name, size):
    """In the leaves of the gradient solver and in the rows."""
    structure, floor = STRUCTURES[name], 1e-3
    params, X, _ = problem(name, size, n_rows=4)
    leaves = unconstrain(params, structure, floor, torch.float64)

    def total(X, *values):
        whole = iter(values)
        parts = [next(whole) if t.numel() else t for t in leaves]
        return log_joint(prepare(constrain(type(leaves)(*parts), floor)), X)

    inputs = [X, *(t for t in leaves if t.numel())]
    assert torch.autograd.gradcheck(total, [t.detach().clone().requires_grad_() for t in inputs])


@pytest.mark.parametrize("temperature", [1.0, 5.0])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["UUU", "CCC"])
def test_posterior_pairs_are_the_dense_posterior(name, size, dtype, temperature):
    params, X, rows = problem(name, size, dtype)
    pairs, responsibility, log_prob = posterior_pairs(prepare(params), X, temperature)
    close = {"rtol": TOLERANCE[dtype], "atol": 20 * TOLERANCE[dtype]}
    np.testing.assert_allclose(log_prob.double(), dense_log_prob(params, rows), **close)

    dense = torch.zeros(len(rows), size[0], dtype=torch.float64)
    dense[pairs.rows, pairs.components] = responsibility.double()
    atol = size[0] * np.exp(-_TEMPERED_MARGIN) if temperature > 1 else close["atol"]  # of the components left out
    np.testing.assert_allclose(dense, dense_responsibilities(params, rows, temperature), rtol=0, atol=atol)

    scores = dense_posterior(params, rows)[0][pairs.rows, pairs.components]
    np.testing.assert_allclose(pairs.scores.double(), scores, **close)
    assert (pairs.components.diff() >= 0).all()
    assert pairs.counts == torch.bincount(pairs.components, minlength=size[0]).tolist()


def test_pairs_of_separate_components_are_few():
    params = random_params(STRUCTURES["UCU"], (50, 8, 2))._replace(log_weights=torch.full((50,), -np.log(50.0)))
    params = params._replace(means=100 * params.means)
    X = params.means.repeat_interleave(3, dim=0)
    pairs, responsibility, _ = posterior_pairs(prepare(params), X)
    assert len(pairs.rows) == len(X)
    assert (pairs.components[pairs.rows.argsort()] == torch.arange(50).repeat_interleave(3)).all()
    assert (responsibility == 1).all()


def test_residuals_are_what_the_factors_leave():
    params, X, rows = problem("UUU", (3, 6, 2))
    _, means, loadings, _ = as_arrays(params)
    scores = dense_posterior(params, rows)[0]
    for k in range(3):
        z, e = (t[0] for t in residuals(prepare(params), X[None], torch.tensor([k])))
        np.testing.assert_allclose(z, scores[:, k], atol=1e-12)
        np.testing.assert_allclose(e, rows - means[k] - scores[:, k] @ loadings[k].T, atol=1e-12)


@pytest.mark.parametrize("shift", [0.0, 30.0])
@pytest.mark.parametrize("size", [(3, 6, 2), (5, 40, 4), (2, 5, 0)])
@pytest.mark.parametrize("name", ["UUU", "UCU"])
def test_exact_log_joint_in_single_precision(name, size, shift):
    """Evaluated in float32 it is that of float64 for the same float32 rows, also far off the origin."""
    params = random_params(STRUCTURES[name], size)
    params = params._replace(means=params.means + shift)
    X = torch.tensor(random_rows(params, 50)).float()
    single = exact_log_joint(prepare(params, torch.float32), X).double().numpy()
    double = exact_log_joint(prepare(params), X.double()).numpy()
    matters = double >= double.max(1, keepdims=True) - 20
    np.testing.assert_allclose(single[matters], double[matters], rtol=1e-5, atol=1e-4)
    assert (single.argmax(1) == double.argmax(1)).all()


def test_a_tight_component_far_from_the_origin_is_not_lost_in_single_precision():
    """Screening expands squares, with an error in proportion to a component's own precision, not to the winner's."""
    means = torch.tensor([[30.0, -30.0], [30.0, -30.0], [-30.0, 30.0]]).double()
    noise = torch.tensor([[1.0], [1e-6], [1.0]]).double().expand(3, 2).contiguous()
    params = MFAParams(torch.full((3,), np.log(1 / 3)).double(), means, torch.zeros(3, 2, 1).double(), noise)
    generator = torch.Generator().manual_seed(0)
    X = (means[1] + 1e-3 * torch.randn(200, 2, generator=generator, dtype=torch.float64)).float()
    double = posterior_pairs(prepare(params), X.double())[2]
    single = posterior_pairs(prepare(params, torch.float32), X)[2].double()
    torch.testing.assert_close(single, double, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(2, 4, 1), (500, 768, 10), (2000, 4000, 50)])
def test_chunks_stay_within_their_budget(size):
    """What a chunk makes, (n, K q) projections beside two (n, K) tables, fits the budget, or it is 16 rows."""
    K, _, q = size

    class Shapes:
        basis_offset = torch.empty(K * q, device="meta")
        constant = torch.empty(K, device="meta")

    rows = chunk_rows(Shapes, 4)
    assert 16 <= rows <= 8192
    assert rows == 16 or rows * 4 * K * (q + 2) <= _CHUNK_BYTES


@pytest.mark.parametrize("name", STRUCTURES)
def test_mixture_moments(name):
    params = random_params(STRUCTURES[name], (3, 5, 2))
    weights, means, _, _ = as_arrays(params)
    mean = weights @ means
    second = np.einsum("k,kde->de", weights, dense_covariances(params) + means[:, :, None] * means[:, None, :])
    found_mean, found_variance = mixture_moments(params)
    np.testing.assert_allclose(found_mean, mean, atol=1e-13)
    np.testing.assert_allclose(found_variance, np.diag(second) - mean**2, rtol=1e-12)


@pytest.mark.parametrize("name", ["UUU", "CCC"])
@pytest.mark.parametrize("size", [(3, 4, 2), (1, 3, 0)])
def test_draws_have_the_components_moments(name, size):
    params = random_params(STRUCTURES[name], size)
    X, components = sample(params, 60_000, torch.Generator().manual_seed(0))
    weights, means, _, _ = as_arrays(params)
    assert (components.diff() >= 0).all()
    np.testing.assert_allclose(np.bincount(components) / len(X), weights, atol=0.01)
    for k, covariance in enumerate(dense_covariances(params)):
        rows = X[components == k].numpy()
        deviation = np.sqrt(np.diag(covariance) / len(rows))
        assert np.all(np.abs(rows.mean(0) - means[k]) < 4.5 * deviation)
        size_of_entries = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / len(rows))
        assert np.all(np.abs(np.cov(rows.T, bias=True) - covariance) < 5 * size_of_entries)


def test_draws_repeat_under_the_same_generator():
    params = random_params(STRUCTURES["UUU"], (3, 4, 2))
    first, again, other = (sample(params, 9, torch.Generator().manual_seed(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_component_of_no_weight_is_never_drawn_and_gives_no_nan():
    params = random_params(STRUCTURES["UUU"], (3, 4, 2))
    params = params._replace(log_weights=torch.tensor([np.log(0.5), -np.inf, np.log(0.5)]))
    X, components = sample(params, 50, torch.Generator().manual_seed(0))
    assert set(components.tolist()) == {0, 2}
    joint = exact_log_joint(prepare(params), X)
    assert torch.isneginf(joint[:, 1]).all()
    np.testing.assert_allclose(joint[:, [0, 2]], _without_second(params, X), atol=1e-11)
    assert torch.isfinite(posterior_pairs(prepare(params), X)[2]).all()


def _without_second(params, X):
    kept = [0, 2]
    return dense_log_joint(MFAParams(*(t[kept] if len(t) == 3 else t for t in params)), X.numpy())


@pytest.mark.parametrize("size", [(3, 5, 2), (2, 3, 0)])
def test_everything_is_made_where_the_parameters_are(size):
    """The default device here is one that holds no numbers: what does not name its own ends there, or fails."""
    params, X, _ = problem("UUU", size)
    X[3:5, 0] = torch.nan

    def results():
        density = prepare(params, torch.float32)
        pairs, *rest = posterior_pairs(density, X.float())
        drawn = sample(params, 20, generator)
        joints = log_joint(prepare(params), X[:3]), exact_log_joint(prepare(params), X)
        return [
            *density.params,
            *density.cov,
            *(getattr(density, f.name) for f in dataclasses.fields(density)[2:]),
            density.basis,
            pairs.scores,
            *rest,
            *drawn,
            *joints,
            *mixture_moments(params),
        ]

    generator = torch.Generator().manual_seed(0)
    here = results()
    generator.manual_seed(0)
    with torch.device("meta"):
        again = results()
    for found, expected in zip(again, here, strict=True):
        assert found.device.type == "cpu"
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_parameters_move_to_a_device_and_to_a_precision():
    params = random_params(STRUCTURES["UUU"], (3, 5, 2))
    assert [t.dtype for t in params.to(torch.float32)] == [torch.float32] * 4
    assert [t.device.type for t in params.to(device="meta")] == ["meta"] * 4
    assert [t.dtype for t in params.to(device="meta")] == [torch.float64] * 4


def test_the_best_component_is_the_first_of_equals():
    rows, components = torch.tensor([0, 2, 0, 2, 0]), torch.tensor([0, 0, 1, 2, 3])
    joint = torch.tensor([-1.0, -5.0, -0.5, -5.0, -0.5])
    pairs = Pairs(rows, components, [2, 1, 1, 1], joint, torch.zeros(5, 0))
    assert best_components(pairs, 3).tolist() == [1, 4, 0]
