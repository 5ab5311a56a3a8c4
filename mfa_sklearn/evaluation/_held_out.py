"""Rows to learn from, and rows of other texts to be measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.model_selection import GroupShuffleSplit
from torch import Tensor

from .._base.annotated import given_rows, is_row_source
from .._base.devices import to_numpy
from .._base.sklearn_private import safe_indexing
from ..interpret._inputs import as_rows, optional_fact
from ._labeled_texts import LabeledRows
from ._resampling import number_texts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._candidate import Rows


class Split(NamedTuple):
    """Row numbers, ascending; no text has rows in both."""

    train: np.ndarray
    test: np.ndarray


class HeldOut(NamedTuple):
    """Training rows and held-out rows, their labels (None where there are none) and their texts."""

    train: LabeledRows
    test: LabeledRows
    split: Split


def hold_out(
    X: Rows,
    labels: ArrayLike | None,
    groups: ArrayLike | None,
    test_size: float | int,
    random_state: int | np.random.RandomState | None,
) -> HeldOut:
    """Read the rows of some texts, drawn at random, and those of the others.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
    labels, groups : array-like of shape (n_samples,), or None
        By default what activations carry as labels and as `text_index`; without a text each row is one of its own.
    test_size : float or int
        Share or number of texts to hold out.
    random_state : int, RandomState or None

    Raises
    ------
    ValueError
        If lengths differ, there are not two texts, or `test_size` leaves none on a side.
    """
    X = given_rows(X)
    table: Any = X if _is_frame(X) else as_rows(X)
    labels = optional_fact(table, "labels", labels)
    texts = optional_fact(table, "groups" if groups is not None else "text_index", groups)
    texts = np.arange(len(table)) if texts is None else np.asarray(texts)
    split = split_texts(texts, test_size, random_state)
    train, test = (
        LabeledRows(taken(table, rows), None if labels is None else labels[rows], texts[rows]) for rows in split
    )
    return HeldOut(train, test, split)


def split_texts(groups: np.ndarray, test_size: float | int, random_state: Any) -> Split:
    """Rows of some texts and those of the others, drawn at random.

    Raises
    ------
    ValueError
        If there are not two texts, or `test_size` leaves none on a side.
    """
    if number_texts(groups)[1] < 2:
        raise ValueError(
            f"all {len(groups)} rows are of one text, and whole texts are held out: take rows of two texts or more, or "
            "give groups, the text of each row"
        )
    splitter = GroupShuffleSplit(1, test_size=test_size, random_state=random_state)
    train, test = next(splitter.split(np.empty((len(groups), 0)), groups=groups))
    return Split(np.sort(train), np.sort(test))


def taken(X: Any, rows: np.ndarray) -> Any:
    """Rows by their ascending numbers, in memory; of a frame a frame, and facts go with them."""
    if _is_frame(X):
        return safe_indexing(X, rows)
    return to_numpy(X[rows]) if isinstance(X, Tensor) else X[rows]


def _is_frame(X: Any) -> bool:
    return hasattr(X, "columns") and not is_row_source(X)
