"""Pairs of rows and components that matter, against dense posteriors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import (
    SIZES,
    STRUCTURES,
    as_arrays,
    as_they_are,
    dense_log_joint,
    dense_log_prob,
    dense_posterior,
    dense_responsibilities,
    random_params,
    random_rows,
)
from model_cases import DTYPES, TOLERANCE, problem
from passes_cases import many
from precision_cases import long_mixture, rows_near, wide_log_joint

from mfa_sklearn.mixture._em.exact import expected_statistics
from mfa_sklearn.mixture._model import pairs as pairs_module
from mfa_sklearn.mixture._model.density import log_joint, prepare
from mfa_sklearn.mixture._model.pairs import (
    _CHUNK_BYTES,
    _TEMPERED_MARGIN,
    PairList,
    Pairs,
    best_components,
    chunk_rows,
    compared,
    contenders,
    evaluated,
    exact_log_joint,
    find_pairs,
    mean_log_prob,
    posterior_pairs,
    refine,
    residuals,
    rounding,
)
from mfa_sklearn.mixture._model.params import MFAParams


def test_pairs_come_by_component_whatever_room_there_was():
    rng = np.random.default_rng(0)
    pieces = [(rng.integers(99, size=n), rng.integers(7, size=n)) for n in (0, 1, 3, 50, 2)]
    pairs = PairList(0, torch.device("cpu"))
    for rows, components in pieces:
        pairs.add(torch.tensor(rows), torch.tensor(components))
    rows, components = map(np.concatenate, zip(*pieces, strict=True))
    order = components.argsort(kind="stable")
    for found, expected in zip(pairs.by_component(), (rows[order], components[order]), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len(PairList(5, torch.device("cpu")).by_component()[0]) == 0


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


def test_the_best_component_is_the_first_of_equals():
    rows, components = torch.tensor([0, 2, 0, 2, 0]), torch.tensor([0, 0, 1, 2, 3])
    joint = torch.tensor([-1.0, -5.0, -0.5, -5.0, -0.5])
    pairs = Pairs(rows, components, [2, 1, 1, 1], joint, torch.zeros(5, 0))
    assert best_components(pairs, 3).tolist() == [1, 4, 0]


def test_pairs_are_found_and_compared_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(pairs_module, "_CHUNK_BYTES", 1)  # the least: 16 rows at once
    params, X = many(1.0, n_rows=50)
    density, rows = prepare(params), torch.tensor(X)
    found = find_pairs(density, rows, 1.0)
    r = dense_responsibilities(params, X)
    assert set(zip(*(i.tolist() for i in found), strict=True)) >= set(
        zip(*(i.tolist() for i in (r > 1e-17).nonzero()), strict=True)
    )
    assert (found[1].diff() >= 0).all()
    seen = list(compared(density, rows))
    assert [(p.start, p.stop) for p, _, _ in seen] == [(0, 16), (16, 32), (32, 48), (48, 50)]
    torch.testing.assert_close(torch.cat([chunk for _, chunk, _ in seen]), rows)
    torch.testing.assert_close(torch.cat([j for _, _, j in seen]), log_joint(density, rows), rtol=1e-12, atol=1e-12)


def test_evaluated_blocks_are_the_pairs_they_say_they_are():
    """Every pair once, with its density, its factor scores and what they leave over."""
    params, X = many(1.0, n_rows=200)
    density, rows = prepare(params), torch.tensor(X)
    number, component = find_pairs(density, rows)
    pairs = refine(density, rows, number, component)
    seen = torch.zeros(len(number) + 1)
    for block in evaluated(density, rows, number, pairs.counts):
        filled = block.place < len(number)
        seen[block.place[filled]] += 1
        place = block.place[filled]
        owner = block.components[:, None].expand_as(block.place)[filled]
        assert torch.equal(component[place], owner)
        torch.testing.assert_close(block.log_joint[filled], pairs.log_joint[place], rtol=0, atol=0)
        e = (
            rows[number[place]]
            - params.means[owner]
            - (params.loadings[owner] @ block.scores[filled][..., None])[..., 0]
        )
        torch.testing.assert_close(block.residual[filled], e, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(block.squares[filled], e.square(), rtol=1e-9, atol=1e-9)
    assert (seen[:-1] == 1).all()
    dense = dense_log_joint(params, X)
    np.testing.assert_allclose(pairs.log_joint, dense[number, component], rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("holes", [False, True])
def test_the_mean_log_density_takes_no_statistics(weighted, holes):
    params, X = many(1.0, n_rows=200)
    weights = np.random.default_rng(0).uniform(0, 2, 200) if weighted else None
    if holes:
        X[::7, 2] = np.nan
    batches = as_they_are(X, weights=weights, batch_rows=33)
    expected = float(expected_statistics(params, batches).log_likelihood) / (200 if weights is None else weights.sum())
    assert mean_log_prob(prepare(params), batches) == pytest.approx(expected, rel=1e-12)
    if not holes:
        assert expected == pytest.approx(np.average(dense_log_prob(params, X), weights=weights), rel=1e-9)


@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize("length", [1e3, 1e5, 1e6])
@pytest.mark.parametrize("n_features", [10, 100, 384])
def test_expanded_squares_are_within_the_error_they_state(n_features, length, noise):
    """Where a component is long its constant and what its factors explain cancel, however small the row is."""
    mfa = long_mixture(length, n_features, 4, noise)
    X = rows_near(mfa, 60, np.float32)
    density, rows = prepare(mfa._params(), torch.float32), torch.tensor(X)
    expected = torch.tensor(wide_log_joint(mfa, X).astype(float))
    off = (log_joint(density, rows).double() - expected).abs()
    assert (off <= rounding(density, rows.square() @ density.precision).double() + 1e-3).all()
    keep = contenders(density, rows, log_joint(density, rows))
    assert keep[expected >= expected.amax(1, keepdim=True) - 10].all()


def test_the_error_of_ordinary_components_is_one_for_all_of_a_row():
    """With noise that is shared it stays a column, so that nothing of size n x K is written for it."""
    params, X, _ = problem("UCU", (4, 30, 6), torch.float32)
    density = prepare(params)
    error = rounding(density, X.square() @ density.precision)
    assert error.shape == (len(X), 1)
    assert error.max() < 0.01
