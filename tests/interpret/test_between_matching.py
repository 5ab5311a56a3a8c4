"""`match_components` against every possible pairing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from interpret_fixtures import annotated, mixture, nothing_is_evaluated

from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.interpret import match_components
from mfa_sklearn.interpret._between.matching import shared_rows


def test_permuted_components_are_found() -> None:
    mfa, order = mixture(n_components=5), np.array([3, 0, 4, 1, 2])
    X = annotated(mfa)
    other = mixture(n_components=5)
    for name in ("weights_", "means_", "loadings_"):
        setattr(other, name, getattr(mfa, name)[order])
    table = match_components(mfa, other, X)
    assert order[table["other"]].tolist() == table["component"].tolist()
    assert (table["jaccard"] == 1).all() and (table["shared"] == table["size"]).all()
    assert table["shared"].is_monotonic_decreasing and table["shared"].sum() == len(X)


def test_best_of_all_pairings() -> None:
    first, second = mixture(0.8, n_components=4), mixture(0.8, n_components=3, seed=7)
    X = annotated(first)
    assigned = [mfa.log_joint(X).argmax(1) for mfa in (first, second)]
    counts = shared_rows(*assigned, (4, 3))
    for k, j in np.ndindex(4, 3):
        assert counts[k, j] == np.sum((assigned[0] == k) & (assigned[1] == j))
    best = max(sum(counts[list(pick), range(3)]) for pick in itertools.permutations(range(4), 3))
    table = match_components(first, second, X)
    assert table["shared"].sum() == best and table["component"].is_unique and table["other"].is_unique
    for line in table.itertuples():
        either = np.sum((assigned[0] == line.component) | (assigned[1] == line.other))
        assert line.jaccard == pytest.approx(line.shared / either)
        assert line.size == np.sum(assigned[0] == line.component)
        assert line.other_size == np.sum(assigned[1] == line.other)


def test_two_places_of_the_same_tokens() -> None:
    first = mixture(n_components=3, n_features=5)
    second = mixture(n_components=3, n_features=8)
    X = annotated(first)
    moved = X @ np.random.default_rng(0).normal(size=(5, 8))
    table = match_components(first, second, X, AnnotatedArray(np.asarray(moved), rows=X.rows))
    assert 0 < table["shared"].sum() <= len(X)


def test_refusals() -> None:
    mfa = nothing_is_evaluated(mixture())
    X = annotated(mixture())
    with pytest.raises(ValueError, match="150 rows and X_other 149"):
        match_components(mfa, mfa, X, X[1:])
    other = AnnotatedArray(np.asarray(X), rows={**X.rows, "tokens": np.roll(X.rows["tokens"], 1)})
    with pytest.raises(ValueError, match=r"different tokens, first in row \d+ "):
        match_components(mfa, mfa, X, other)


def test_components_without_rows_in_common_are_left_out() -> None:
    mfa = mixture(30.0, n_components=3)
    table = match_components(mfa, mfa, annotated(mfa)[:1])
    assert len(table) == 1 and table["jaccard"].tolist() == [1]
