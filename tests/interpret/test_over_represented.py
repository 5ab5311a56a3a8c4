"""What some rows of a component hold more often than its others, against scipy's contingency tables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.interpret._over_represented import Items, OverRepresented


def by_loops(codes: np.ndarray, components: np.ndarray, rows: np.ndarray, k: int) -> list[tuple[float, int, int]]:
    """(ratio, count, item) of each item over-represented among the rows, the best first."""
    own = np.flatnonzero((components == k) & (codes >= 0))
    inside = np.isin(own, rows)
    found = []
    for item in np.unique(codes[own]):
        holds = codes[own] == item
        cells = [[np.sum(side & holds), np.sum(side & ~holds)] for side in (inside, ~inside)]
        if not (np.sum(cells, axis=0).all() and np.sum(cells, axis=1).all()):
            continue
        test = chi2_contingency(cells, correction=False, lambda_="log-likelihood")
        if cells[0][0] > test.expected_freq[0, 0]:
            found.append((test.statistic, cells[0][0], item))
    return sorted(found, key=lambda line: (-round(line[0], 6), -line[1], line[2]))


@pytest.mark.parametrize("n_most", [1, 3, 9])
def test_items_are_those_of_contingency_tables(n_most: int) -> None:
    rng = np.random.default_rng(0)
    codes, components = rng.integers(-1, 7, size=300), rng.integers(4, size=300)
    rows = rng.choice(300, 60, replace=False)
    rows = rows[components[rows] != 3]  # a component without any of them
    found = OverRepresented(Items(codes, list("abcdefg")), components, 5).among(rows, n_most)
    assert len(found) == 5 and not len(found[3]) and not len(found[4])
    for k in range(3):
        assert found[k].tolist() == [item for _, _, item in by_loops(codes, components, rows, k)][:n_most]


def test_all_rows_of_a_component_stand_out_from_nothing() -> None:
    compared = OverRepresented(Items(np.arange(6) % 2, ["a", "b"]), np.zeros(6, dtype=int), 1)
    assert compared.names(np.arange(6), 2) == [""]
    assert compared.names(np.array([0, 2]), 2) == ["a"]
    assert OverRepresented(Items(np.full(3, -1), []), np.zeros(3, dtype=int), 1).names(np.arange(2), 2) == [""]


def test_tokens_and_labels_as_they_are_shown() -> None:
    rows = {"tokens": np.array([" cat", "\n", " cat", " the"]), "labels": ["x", None, "y\t", "x"]}
    X = AnnotatedArray(np.zeros((4, 2)), rows=rows)
    tokens, labels = Items.of_tokens(X, None, ["THE"], "here"), Items.of_labels(X, None, "here")
    assert tokens is not None and labels is not None
    assert [tokens.names[code] for code in tokens.codes] == ["cat", "\\n", "cat", "the"]
    assert tokens.listed[tokens.codes].tolist() == [True, True, True, False]
    assert labels.codes.tolist() == [0, -1, 1, 0] and labels.names[0] == "x" and "\t" not in labels.names[1]
    assert Items.of_tokens(np.zeros((4, 2)), None, None, "here") is None
    assert Items.of_labels(X, [None] * 4, "here") is None
    unnamed = OverRepresented(tokens, np.zeros(4, dtype=int), 1)
    assert unnamed.names(np.array([3]), 2) == [""]
