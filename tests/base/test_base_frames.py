"""Facts of rows that scikit-learn has put into a frame."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from mfa_sklearn._base.annotated import AnnotatedArray, annotate, shared_fact
from mfa_sklearn._base.frames import FramesKeepFacts, carried, carry

X = np.arange(12.0).reshape(4, 3)


class Numbered(FramesKeepFacts, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Attaches its own number to the rows."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def fit(self, X: Any, y: Any = None) -> Numbered:
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Any) -> AnnotatedArray:
        """The rows with the number."""
        return annotate(X, number=self.number)

    def fit_transform(self, X: Any, y: Any = None) -> AnnotatedArray:
        return self.fit(X).transform(X)

    def __sklearn_is_fitted__(self) -> bool:
        return True


@pytest.mark.parametrize("method", ["transform", "fit_transform"])
def test_a_frame_carries_what_the_array_would(method: str) -> None:
    transformer = Numbered(7).fit(X)
    assert shared_fact(getattr(transformer, method)(X), "number") == 7
    frame = getattr(transformer.set_output(transform="pandas"), method)(X)
    assert isinstance(frame, pd.DataFrame) and shared_fact(frame, "number") == 7
    assert shared_fact(frame, "other") is None
    assert Numbered.transform.__doc__ == "The rows with the number."


CHANGED = {
    "selected": lambda frame: frame[:2],
    "columns": lambda frame: frame[["x0", "x1"]],
    "arithmetic": lambda frame: frame * 2,
    "copy": lambda frame: frame.copy(),
    "array": lambda frame: frame.to_numpy(),
}


@pytest.mark.parametrize("make", CHANGED.values(), ids=CHANGED.keys())
def test_what_is_made_of_the_frame_carries_nothing(make: Any) -> None:
    frame = Numbered(7).fit(X).set_output(transform="pandas").transform(X)
    assert carried(make(frame)) == {}


def test_a_frame_that_is_changed_in_place_carries_nothing() -> None:
    def clip(frame: pd.DataFrame) -> None:
        frame.iloc[1:3] = 0.0

    for change in (lambda f: f.__imul__(2), lambda f: f.insert(0, "new", 1.0), clip):
        frame = Numbered(7).fit(X).set_output(transform="pandas").transform(X)
        change(frame)
        assert carried(frame) == {}


@pytest.mark.parametrize("thing", [None, [[1.0]], X, {"columns": 1}, 3])
def test_other_things_carry_nothing(thing: Any) -> None:
    carry(thing, {"number": 1})
    assert carried(thing) == {}


def test_frames_of_no_rows_carry_facts_too() -> None:
    frame = pd.DataFrame(X[:0])
    carry(frame, {"number": 1})
    assert carried(frame) == {"number": 1}


def test_threads_do_not_mix_their_facts() -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        transformer = Numbered(number).fit(X).set_output(transform="pandas")
        wrong.extend(number for _ in range(50) if shared_fact(transformer.transform(X), "number") != number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_frames_of_no_numbers_are_known_again() -> None:
    times = pd.DataFrame({"a": pd.to_datetime(["2026-01-01", "2026-01-02"])})
    carry(times, {"number": 1})
    assert carried(times) == {"number": 1}
    frame = pd.DataFrame({"a": ["x", None, 1.5]})
    carry(frame, {"number": 1})
    assert carried(frame) == {"number": 1}
    frame.iloc[1, 0] = "y"
    assert carried(frame) == {}
