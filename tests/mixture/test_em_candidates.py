"""Lookups of candidates against loops over rows and dense densities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, dense_log_joint, random_params, random_rows
from precision_cases import long_mixture, rows_near, wide_log_joint

from mfa_sklearn.mixture._em.candidates import Lookup
from mfa_sklearn.mixture._model import blocks
from mfa_sklearn.mixture._model.density import prepare

# Groups (H, g) of candidates among six components; some stand there twice.
TABLES = {
    "one group of all": [[0, 1, 2, 3, 4, 5]],
    "each its own": [[k, (k + 1) % 6, (k + 3) % 6] for k in range(6)],
    "repeated": [[0, 1, 0, 1], [1, 1, 1, 1], [2, 3, 4, 3], [3, 0, 5, 5]],
    "one candidate": [[4], [2]],
}


def looked_up(params, X, table, group, dtype=torch.float64):
    """Log joint densities (n, g) that a lookup gives, NaN where it gives none, and all that it evaluated."""
    rows = torch.tensor(X, dtype=dtype)
    lookup = Lookup(prepare(params, dtype), torch.tensor(table))
    found = np.full((len(X), len(table[0])), np.nan)
    times = np.zeros(len(X), dtype=int)
    evaluated = list(lookup.evaluate(rows, torch.tensor(group)))
    for block in evaluated:
        for i, g in enumerate(block.groups.tolist()):
            filled = block.filled[i]
            numbers = block.numbers[i][filled].numpy()
            assert (np.asarray(group)[numbers] == g).all()
            assert block.candidates[i].tolist() == table[g]
            torch.testing.assert_close(block.rows[i][filled], rows[numbers], rtol=0, atol=0)
            found[numbers] = block.joint[i][filled].numpy()
            times[numbers] += 1
    assert (times == 1).all()
    return found, evaluated


def expected_joint(params, X, table, group):
    """The same from dense covariances; a candidate counts where it stands first."""
    chosen = np.array(table)[group]
    joint = np.take_along_axis(dense_log_joint(params, X), chosen, 1)
    repeated = [[c in row[:i] for i, c in enumerate(row)] for row in chosen.tolist()]
    return np.where(repeated, -np.inf, joint)


@pytest.mark.parametrize("block_bytes", [200, 2**21])
@pytest.mark.parametrize("size", [(6, 5, 2), (6, 3, 0), (6, 1, 0)])
@pytest.mark.parametrize("name", ["UUU", "UUC", "UCU", "CCC"])
@pytest.mark.parametrize("kind", TABLES)
def test_lookups_are_log_joint_densities(kind, name, size, block_bytes, monkeypatch):
    monkeypatch.setitem(blocks._BLOCK_BYTES, "cpu", block_bytes)
    params, table = random_params(STRUCTURES[name], size), TABLES[kind]
    X = random_rows(params, 50)
    group = np.random.default_rng(0).integers(len(table), size=50) ** 2 % len(table)  # uneven, some without rows
    found, _ = looked_up(params, X, table, group)
    np.testing.assert_allclose(found, expected_joint(params, X, table, group), rtol=1e-10, atol=1e-10)


def test_single_precision_lookups_are_within_the_error_they_state():
    params, table = random_params(STRUCTURES["UUU"], (6, 5, 2)), TABLES["each its own"]
    X = random_rows(params, 200).astype(np.float32)
    group = np.random.default_rng(0).integers(6, size=200)
    _, evaluated = looked_up(params, X, table, group, torch.float32)
    expected = expected_joint(params, X.astype(float), table, group)
    for block in evaluated:
        off = np.abs(block.joint.numpy() - expected[block.numbers])
        assert (off <= block.error.numpy())[block.filled.numpy()].all()
        assert block.error.max() < 0.1


def test_projections_are_whitened_scores_and_the_means_part():
    params, table = random_params(STRUCTURES["UUU"], (6, 5, 2)), TABLES["each its own"]
    X = random_rows(params, 20)
    density = prepare(params)
    _, evaluated = looked_up(params, X, table, np.arange(20) % 6)
    for block in evaluated:
        for i, row in enumerate(block.candidates.tolist()):
            for c, k in enumerate(row):
                u = (block.rows[i] - params.means[k]) @ density.cov.basis[k]
                torch.testing.assert_close(block.projections[i, :, :-1, c], u, rtol=1e-10, atol=1e-10)
                linear = block.rows[i] @ (params.means[k] / params.noise_variance[k])
                torch.testing.assert_close(block.projections[i, :, -1, c], linear, rtol=1e-10, atol=1e-10)


def test_repeated_are_all_but_the_first():
    lookup = Lookup(prepare(random_params(STRUCTURES["UUU"], (6, 5, 2))), torch.tensor(TABLES["repeated"]))
    F, T = False, True
    assert lookup.repeated.tolist() == [[F, F, T, T], [F, T, T, T], [F, F, F, T], [F, F, F, T]]


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_the_error_holds_what_a_long_component_cancels(noise):
    mfa = long_mixture(1e5, 40, 6, noise)
    X = rows_near(mfa, 60, np.float32)
    lookup = Lookup(prepare(mfa._params(), torch.float32), torch.tensor(TABLES["one group of all"]))
    expected = wide_log_joint(mfa, X).astype(float)
    for block in lookup.evaluate(torch.tensor(X), torch.zeros(60, dtype=torch.int64)):
        off = np.abs(block.joint.double().numpy() - expected[block.numbers])
        assert (off <= block.error.numpy() + 1e-3)[block.filled.numpy()].all()
