"""Texts are held out whole, whatever holds the rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfa_sklearn import ActivationArray
from mfa_sklearn.evaluation._held_out import hold_out, split_texts, taken

GROUPS = np.repeat(np.arange(10), [1, 2, 3, 4, 5] * 2)
X = np.arange(60.0).reshape(30, 2)


@pytest.mark.parametrize(("test_size", "n_texts"), [(0.2, 2), (3, 3), (0.5, 5)])
def test_no_text_is_on_both_sides(test_size: float, n_texts: int) -> None:
    split = split_texts(GROUPS, test_size, 0)
    assert sorted([*split.train, *split.test]) == list(range(30))
    assert len(set(GROUPS[split.test])) == n_texts and not set(GROUPS[split.test]) & set(GROUPS[split.train])
    assert all((np.diff(rows) > 0).all() for rows in split)


def test_one_seed_gives_one_split() -> None:
    splits = [split_texts(GROUPS, 0.5, seed).test.tolist() for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]


def frame(values: np.ndarray):
    return pytest.importorskip("pandas").DataFrame(values, columns=["a", "b"])


@pytest.mark.parametrize("container", [np.array, torch.tensor, frame, np.ndarray.tolist])
def test_rows_labels_and_texts_stay_together(container) -> None:
    held = hold_out(container(X), GROUPS % 3, GROUPS, 0.3, 0)
    for part, rows in zip(held, held.split, strict=False):
        np.testing.assert_array_equal(np.asarray(part.X), X[rows])
        np.testing.assert_array_equal(part.labels, GROUPS[rows] % 3)
        np.testing.assert_array_equal(part.groups, GROUPS[rows])
    assert type(held.train.X) is type(held.test.X) in (np.ndarray, type(frame(X)))


def test_facts_of_activations_are_labels_and_texts() -> None:
    rows = {"text_index": GROUPS, "labels": ["sea"] * 29 + [None], "tokens": np.arange(30)}
    held = hold_out(ActivationArray(X, rows=rows, shared={"source": {"layer": 1}}), None, None, 0.3, 0)
    assert held.train.X.source == {"layer": 1} and len(held.train.X.tokens) == len(held.train.X)
    assert held.test.groups.tolist() == GROUPS[held.split.test].tolist()
    assert sum(label is None for part in held[:2] for label in part.labels) == 1
    other = hold_out(ActivationArray(X, rows=rows), np.arange(30), np.arange(30), 0.3, 0)
    assert len(other.test.groups) == 9 and other.test.labels.tolist() == other.split.test.tolist()


def test_rows_without_texts_are_texts() -> None:
    held = hold_out(X, None, None, 0.5, 0)
    assert len(held.split.test) == 15 and held.train.labels is None


def test_rows_on_disk_are_read(tmp_path) -> None:
    np.save(tmp_path / "rows.npy", X)
    held = hold_out(tmp_path / "rows.npy", None, GROUPS, 0.3, 0)
    np.testing.assert_array_equal(held.test.X, X[held.split.test])
    np.testing.assert_array_equal(taken(np.load(tmp_path / "rows.npy", mmap_mode="r"), np.array([1, 5])), X[[1, 5]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.zeros(30)}, "all 30 rows are of one text"),
        ({"groups": [1, 2]}, r"groups must hold one entry per row: got shape \(2,\)"),
        ({"labels": [1, 2]}, r"labels must hold one entry per row"),
        ({"test_size": 10}, "test_size=10"),
        ({"test_size": 1.5}, "test_size=1.5"),
    ],
)
def test_refusals(change: dict, message: str) -> None:
    given = {"X": X, "labels": None, "groups": GROUPS, "test_size": 0.2, "random_state": 0, **change}
    with pytest.raises(ValueError, match=message):
        hold_out(**given)
