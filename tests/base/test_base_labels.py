"""Labels have one form, and what is missing has one, whatever they came in and on disk too."""

from __future__ import annotations

import io
from enum import Enum, IntEnum
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mfa_sklearn import ActivationArray
from mfa_sklearn._base.labels import from_disk, is_missing, label_array, to_disk

NAN = float("nan")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", None, NAN, np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), "", "  \t", "b"], ["a", *[None] * 8, "b"]),
        ([1, None, 2], [1, None, 2]),
        ([1.5, NAN], [1.5, None]),
        ([True, None], [True, None]),
        ([b"a", b" "], [b"a", None]),
        (np.array(["a", " ", "b"]), ["a", None, "b"]),
        (np.array(["a", None, NAN], dtype=object), ["a", None, None]),
        (np.array([1.5, NAN]), [1.5, None]),
        (np.ma.array(["a", "b"], mask=[False, True]), ["a", None]),
        (np.ma.array([1, 2], mask=[True, False]), [None, 2]),
        (np.ma.array([1.5, NAN], mask=[False, False]), [1.5, None]),
        (pd.Series(["a", None], index=[7, 3]), ["a", None]),
        (pd.Series(["a", pd.NA], dtype="string"), ["a", None]),
        (pd.Series([3, pd.NA], dtype="Int64"), [3, None]),
        (pd.Series(["a", None, "a"], dtype="category"), ["a", None, "a"]),
        (pd.Index([2, 1]), [2, 1]),
        ((label for label in ("a", None)), ["a", None]),
        ({"x": "a", "y": None}.values(), ["a", None]),
        (torch.tensor([2, 1]), [2, 1]),
        (range(2), [0, 1]),
        ([None, None], [None, None]),
        ([], []),
        (["a", 1, None], ["a", 1, None]),
    ],
)
def test_what_is_missing_is_none(labels: Any, expected: list[Any]) -> None:
    found = label_array(labels)
    assert found.tolist() == expected and found.ndim == 1
    assert [is_missing(label) for label in found] == [label is None for label in expected]


def test_labels_of_which_none_is_missing_have_a_plain_type() -> None:
    kinds = {"U": ["b", "a"], "i": [1, 2], "f": [1, 2.5], "b": [True, False], "S": [b"a"], "O": ["a", 1]}
    assert {kind: label_array(labels).dtype.kind for kind, labels in kinds.items()} == {kind: kind for kind in kinds}
    days = np.array(["2020-01-01", "NaT"], dtype="datetime64[ns]")
    assert label_array(days).tolist() == [days[0], None]


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        ("abc", TypeError, "one dimension, got str"),
        ({"a": 1}, TypeError, "got dict"),
        ({"a", "b"}, TypeError, "got set"),
        (3, TypeError, "got int"),
        ([["a"], ["b"]], ValueError, r"have shape \(2, 1\)"),
        ([["a"], ["b", "c"]], ValueError, r"have shape \(2, 1\)"),
        (["a", ("b", "c")], ValueError, r"have shape \(2, 2\)"),
        (np.eye(3), ValueError, r"shape \(3, 3\).*argmax\(1\)"),
        (np.array("a"), ValueError, r"shape \(\)"),
        ([np.zeros(2), np.zeros(2)], ValueError, r"shape \(2, 2\)"),
        (pd.DataFrame({"label": ["a"]}), ValueError, r"shape \(1, 1\).*pass one column"),
        (torch.eye(2), ValueError, r"shape \(2, 2\)"),
    ],
)
def test_what_is_no_column_of_labels_is_refused(labels: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        label_array(labels)


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "<NA>", "NaT"])
def test_words_for_missing_are_labels_and_said(word: str) -> None:
    with pytest.warns(UserWarning, match=rf"labels hold '{word}' \(2\), taken as labels"):
        found = label_array([word, "a", word, None])
    assert found.tolist() == [word, "a", word, None]


def test_numpys_nan_beside_strings_is_said() -> None:
    with pytest.warns(UserWarning, match=r"numpy turns NaN into 'nan'"):
        label_array(np.array(["a", np.nan]))


@pytest.mark.parametrize(
    "labels",
    [
        ["a", None, "long label"],
        [1, None, -3],
        [True, None, False],
        [1.5, None],
        [b"a", None],
        [np.datetime64("2020-01-01"), None],
        [None, None],
        [2**63, None],
        ["a", "b"],
        [1, 2],
        [1 + 2j, None],
    ],
)
def test_the_way_to_disk_and_back(labels: list[Any]) -> None:
    file = io.BytesIO()
    np.save(file, to_disk(label_array(labels)), allow_pickle=False)
    file.seek(0)
    found = from_disk(np.load(file, allow_pickle=False))
    assert found.tolist() == labels
    assert [type(a) for a in found.tolist()] == [type(a) for a in labels]


def test_strings_with_a_missing_one_are_stored_as_strings() -> None:
    """So that the labels of a store which has some are those that older ones have."""
    assert to_disk(label_array(["a", None])).tolist() == ["a", ""]


@pytest.mark.parametrize("labels", [["a", 1], [object()], [3, None, "a"]])
def test_labels_of_several_kinds_are_not_stored(labels: list[Any]) -> None:
    with pytest.raises(TypeError, match="labels on disk must be numbers or strings"):
        to_disk(label_array(labels))


def test_a_fact_of_rows_keeps_what_is_missing() -> None:
    X = ActivationArray(np.eye(3), rows={"labels": ["a", NAN, None], "tokens": ["x", "y", "z"]})
    assert X.labels.tolist() == ["a", None, None] and X[1:].labels.tolist() == [None, None]


class Topic(str, Enum):  # noqa: UP042 - what older programs have, whose str() is not its value
    RIVER = "river"
    MONEY = "money"


def test_members_of_an_enumeration_are_its_strings_and_numbers() -> None:
    number = IntEnum("number", {"ONE": 1, "TWO": 2})
    assert label_array([Topic.RIVER, Topic.MONEY]).tolist() == ["river", "money"]
    kept = label_array([Topic.RIVER, None])
    assert type(kept[0]) is str and from_disk(to_disk(kept)).tolist() == kept.tolist() == ["river", None]
    assert label_array([number.TWO, None]).tolist() == [2, None]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "labels",
    [pd.array([1, None, 2], dtype="Int64"), pd.Categorical([1, None, 2]), pd.Series(pd.Categorical([1, None, 2]))],
)
def test_whole_numbers_beside_a_missing_one_stay_whole(labels: Any) -> None:
    assert [str(label) for label in label_array(labels)] == ["1", "None", "2"]
    assert [str(label) for label in from_disk(to_disk(label_array(labels)))] == ["1", "None", "2"]


def test_large_numbers_are_not_rounded_into_one() -> None:
    first, second = label_array([2**53, 2**53 + 1, 0.5])[:2]
    assert first != second


@pytest.mark.parametrize("labels", [["a", "a\0"], [b"a", b"a\0"]])
def test_a_null_character_at_the_end_is_refused(labels: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"label 1, .* ends with a null character"):
        label_array(labels)
