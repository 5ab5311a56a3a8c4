"""Rows of components by their density."""

from __future__ import annotations

import numpy as np
import pytest
from atlas_data_cases import known_mixture
from interpret_fixtures import mixture

from mfa_sklearn.atlas._ordered import OrderedRows
from mfa_sklearn.interpret._own_rows import OwnRows
from mfa_sklearn.interpret._scan import scan


def test_rows_and_quantiles_are_those_of_plain_loops() -> None:
    mfa, X = known_mixture(), mixture(1.0).sample(60, np.random.default_rng(0))
    own = OwnRows(mfa, 60)
    scan(mfa, X, own)
    complete = np.arange(60) % 7 > 0
    ordered = OrderedRows(own, complete)
    for k in range(4):
        rows = [row for row in range(60) if own.components[row] == k and complete[row]]
        assert ordered.rows(k).tolist() == sorted(rows, key=lambda row: own.log_density[row])
        assert ordered.sizes[k] == len(rows)
        for value in (-1e9, *own.log_density[rows[:3]], 1e9):
            assert ordered.score(k, value) == pytest.approx(100 * np.mean(own.log_density[rows] <= value))


def test_a_component_without_rows_scores_nothing() -> None:
    mfa = known_mixture()
    own = OwnRows(mfa, 1)
    scan(mfa, mfa.means_[2:3], own)
    ordered = OrderedRows(own, np.ones(1, dtype=bool))
    assert ordered.sizes.tolist() == [0, 0, 1, 0] and ordered.score(0, [0.0, 1.0]).tolist() == [0, 0]
