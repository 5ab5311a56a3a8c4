"""Strings and labels of rows that are read, as codes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest

from mfa_sklearn._base import coded
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn._base.coded import Coded, compact_fact, short_fact
from mfa_sklearn._base.labels import is_missing
from mfa_sklearn._base.lazy_rows import Index
from mfa_sklearn._base.row_views import RowRange

N_ROWS = 50
rng = np.random.default_rng(0)
IDS = rng.integers(0, 7, N_ROWS) * 3
NAMES = np.array(["cat", "dog", "owl", " the", "", "x", "dog"])  # two ids are written alike
LABELS = np.array([None if i % 4 == 0 else f"label {i % 3}" for i in range(N_ROWS)], dtype=object)
LATE = np.array([None if 20 < i < 23 else f"label {i % 3}" for i in range(N_ROWS)], dtype=object)


class Stored(RowRange):
    """Stands for a store; counts what is read of each fact at once."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(AnnotatedArray(np.zeros((N_ROWS, 2)), rows=facts), 0, N_ROWS)
        self.asked: list[tuple[str, int]] = []

    def read_facts(self, index: Index, names: Collection[str]) -> dict[str, np.ndarray]:
        found = super().read_facts(index, names)
        self.asked += [(name, len(fact)) for name, fact in found.items()]
        # As a part without a missing label reads: strings, not objects.
        return {n: fact if any(x is None for x in fact) else np.array(fact.tolist()) for n, fact in found.items()}


@pytest.fixture(autouse=True)
def _chunks_of_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded, "_ROWS", 8)


@pytest.mark.parametrize("labels", [LABELS, LATE, LABELS[1:2].repeat(N_ROWS), np.full(N_ROWS, None)])
def test_labels_are_those_that_were_there(labels: np.ndarray) -> None:
    stored = Stored(labels=labels)
    found = compact_fact(stored, "labels")
    assert isinstance(found, Coded) and len(found) == N_ROWS and found.shape == (N_ROWS,)
    assert list(found) == np.asarray(found).tolist() == labels.tolist()
    assert found[3:9].tolist() == labels[3:9].tolist() and found[np.array([7, 0])].tolist() == labels[[7, 0]].tolist()
    known = [label for label in labels if label is not None]
    assert found.values.tolist() == list(dict.fromkeys(known))  # as they first come
    assert dict(zip(found.values.tolist(), found.counts.tolist(), strict=True)) == {x: known.count(x) for x in known}
    assert max(count for _, count in stored.asked) <= 8 and found.codes.itemsize == 4


def test_tokens_are_told_apart_by_their_ids() -> None:
    stored = Stored(token_ids=IDS, tokens=NAMES[IDS // 3])
    found = compact_fact(stored, "tokens")
    assert isinstance(found, Coded)
    assert np.asarray(found).tolist() == NAMES[IDS // 3].tolist()
    assert len(found.values) == len(np.unique(IDS)) > len(np.unique(NAMES[IDS // 3]))
    assert (np.equal.outer(found.codes, found.codes) == np.equal.outer(IDS, IDS)).all()
    assert sum(count for name, count in stored.asked if name == "tokens") == len(np.unique(IDS))


def test_a_fact_is_gone_through_once() -> None:
    stored = Stored(labels=LABELS)
    first = compact_fact(stored, "labels")
    n_read = len(stored.asked)
    assert compact_fact(stored, "labels") is first and len(stored.asked) == n_read


def test_other_facts_and_tables_in_memory_are_as_they_are() -> None:
    array = AnnotatedArray(np.zeros((N_ROWS, 2)), rows={"labels": LABELS, "positions": IDS})
    assert compact_fact(array, "labels") is array.rows["labels"]
    assert isinstance(compact_fact(Stored(positions=IDS), "positions"), np.ndarray)
    assert compact_fact(Stored(positions=IDS), "labels") is None and compact_fact(np.eye(2), "labels") is None


@pytest.mark.parametrize("labels", [rng.integers(0, 5, N_ROWS), rng.integers(0, 5, N_ROWS) / 2])
def test_labels_that_are_numbers(labels: np.ndarray) -> None:
    found = compact_fact(Stored(labels=labels), "labels")
    assert found is not None and found.dtype == labels.dtype
    np.testing.assert_array_equal(np.asarray(found), labels)


@pytest.mark.parametrize("labels", [["x", "", "y", " "], [1.0, np.nan, 2.0, np.nan], ["x", np.nan, 3, None]])
def test_labels_that_are_missing_in_any_form_are_none(labels: list[Any]) -> None:
    kind = object if None in labels else None
    facts = AnnotatedArray(np.eye(40, 2), rows={"labels": np.array(labels * 10, dtype=kind)})
    found = compact_fact(RowRange(facts, 0, 40), "labels")
    assert isinstance(found, Coded)
    assert list(found) == [None if is_missing(label) else label for label in labels * 10]
    assert found.values.tolist() == [labels[0], labels[2]] and found.counts.tolist() == [10, 10]


@pytest.mark.parametrize(
    ("numbers", "itemsize"),
    [(IDS, 4), (IDS - 10, 4), (IDS + 2**31, 8), (IDS.astype(np.uint64) + 2**40, 8), (IDS / 2, 8)],
)
def test_whole_numbers_are_as_short_as_they_may_be(numbers: np.ndarray, itemsize: int) -> None:
    stored = Stored(positions=numbers)
    found = short_fact(stored, "positions")
    assert found is not None and found.itemsize == itemsize
    np.testing.assert_array_equal(found, numbers)
    assert short_fact(stored, "positions") is found and short_fact(stored, "starts") is None
    array = AnnotatedArray(np.zeros((N_ROWS, 2)), rows={"positions": numbers})
    assert short_fact(array, "positions") is array.rows["positions"]
