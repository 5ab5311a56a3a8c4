"""The mixture's log joint densities against scipy, plain and exact, and their gradients."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from mixture_oracles import SIZES, STRUCTURES, dense_log_joint
from model_cases import DTYPES, TOLERANCE, problem

from mfa_sklearn.mixture._gradient.ascent import constrain, unconstrain
from mfa_sklearn.mixture._model.density import log_joint, prepare
from mfa_sklearn.mixture._model.pairs import exact_log_joint, posterior_pairs
from mfa_sklearn.mixture._model.params import mixture_moments, sample


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
