"""Texts that are read when they are asked for."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn._base.lazy_texts import LazyTexts

TEXTS = ("a", "b", "c", "d")


class Read(LazyTexts):
    """Stands for texts in a file; notes what is asked for."""

    asked: list[range] = []  # noqa: RUF012

    def read(self, numbers: range) -> list[str]:
        self.asked.append(numbers)
        return [TEXTS[number] for number in numbers]

    def __len__(self) -> int:
        return len(TEXTS)


@pytest.mark.parametrize(
    "index", [0, -1, np.int64(2), slice(None), slice(1, 3), slice(None, None, -2), slice(3, 1), slice(-2, 9)]
)
def test_they_are_indexed_like_a_tuple(index: int | slice) -> None:
    assert Read()[index] == TEXTS[index]


@pytest.mark.parametrize("index", [4, -5])
def test_there_are_no_others(index: int) -> None:
    with pytest.raises(IndexError):
        Read()[index]


def test_they_equal_the_same_texts() -> None:
    texts = Read()
    assert texts == TEXTS == tuple(texts) and texts == list(TEXTS) and hash(texts) == hash(TEXTS)
    assert texts != TEXTS[:3] and texts != "abcd" and texts != 4


def test_an_array_is_pickled_with_them_and_they_alone_without() -> None:
    X = AnnotatedArray(np.eye(2), shared={"texts": Read(), "other": [1]})
    shared = pickle.loads(pickle.dumps(X)).shared
    assert shared == {"texts": TEXTS, "other": [1]} and isinstance(shared["texts"], tuple)
    assert isinstance(X.shared["texts"], Read)
    Read.asked.clear()
    assert isinstance(pickle.loads(pickle.dumps(X.shared["texts"])), Read) and not Read.asked
