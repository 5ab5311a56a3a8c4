"""Texts with concepts: which text has which, and what a candidate's columns are for a whole text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse

from ..interpret._inputs import numbered
from ._agreement import known_labels
from ._candidate import pieces
from ._resampling import number_texts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._candidate import Rows, Table


class LabeledRows(NamedTuple):
    """Rows, what they are labeled, and the texts that they are of.

    Attributes
    ----------
    X : array-like of shape (n, n_features)
    labels : array-like of shape (n,)
        The concept of each row; None, NaN or an empty string where there is none.
    groups : array-like of shape (n,)
        The text of each row.
    """

    X: Any
    labels: Any
    groups: Any


class LabeledTexts(NamedTuple):
    """The texts of which a row has a label.

    Attributes
    ----------
    numbers : ndarray of shape (n_texts,)
        Which they are, among all texts of the rows in ascending order.
    of_rows : ndarray of shape (n,)
        Each row's text among these; -1 for a row of a text without labels.
    present : ndarray of shape (n_texts, n_concepts)
        Whether a row of the text has the concept for its label.
    """

    numbers: np.ndarray
    of_rows: np.ndarray
    present: np.ndarray


def labeled_texts(train: LabeledRows, test: LabeledRows) -> tuple[LabeledTexts, LabeledTexts, np.ndarray]:
    """The labeled texts to learn from, those to be tried on, and the concepts, which are those of the first.

    Raises
    ------
    ValueError
        If there are not two concepts among the training rows, or no labeled row to be tried on.
    """
    given = [known_labels(np.asarray(rows.groups), rows.labels) for rows in (train, test)]
    codes, concepts = numbered("labels", np.concatenate(given), "concept detection", missing=True)
    known = np.unique(codes[: len(given[0])])
    known = known[known >= 0]
    if len(known) < 2:
        raise ValueError(
            f"the training rows have {len(known)} different labels; telling concepts apart takes two: give labels to "
            "more rows"
        )
    place = np.full(len(concepts) + 1, -1)  # the last one is for -1
    place[known] = np.arange(len(known))
    parts = np.split(place[codes], [len(given[0])])
    learned, tried = (_texts(part, rows.groups, len(known)) for part, rows in zip(parts, (train, test), strict=True))
    if not len(tried.numbers):
        raise ValueError("no held-out row has a label that training rows have: hold out other texts, or more")
    return learned, tried, np.asarray(concepts)[known]


def _texts(concepts: np.ndarray, groups: ArrayLike, n_concepts: int) -> LabeledTexts:
    texts, n_texts = number_texts(groups)
    present = np.zeros((n_texts, n_concepts), dtype=bool)
    labeled = concepts >= 0
    present[texts[labeled], concepts[labeled]] = True
    numbers = np.flatnonzero(present.any(1))
    place = np.full(n_texts, -1)
    place[numbers] = np.arange(len(numbers))
    return LabeledTexts(numbers, place[texts], present[numbers])


def greatest(columns: Callable[[Any], Table | None], X: Rows, texts: LabeledTexts) -> np.ndarray | None:
    """The greatest value of each column among the rows of each text, (n_texts, m); None where there are no columns.

    Parameters
    ----------
    columns : callable
        From rows (b, n_features) to values (b, m), such as `Candidate.detectors`.
    """
    found: Any = None
    start = 0
    for part in pieces(X):
        of_rows = texts.of_rows[start : start + len(part)]
        start += len(part)
        values = columns(part)
        if values is None:
            return None
        if found is None:
            found = np.full((len(texts.numbers), values.shape[1]), -np.inf)
        order = np.argsort(of_rows, kind="stable")[np.count_nonzero(of_rows < 0) :]
        if len(order):
            there, first = np.unique(of_rows[order], return_index=True)
            chosen: Any = values[order]
            dense = chosen.toarray() if sparse.issparse(chosen) else np.asarray(chosen)
            found[there] = np.maximum(found[there], np.maximum.reduceat(dense, first, axis=0))
    return found


def averages(columns: Callable[[Any], Table | None], X: Rows, texts: LabeledTexts) -> Any:
    """The mean of each column over the rows of each text, (n_texts, m), CSR where they are; None without columns."""
    total: Any = None
    start, n_texts = 0, len(texts.numbers)
    for part in pieces(X):
        of_rows = texts.of_rows[start : start + len(part)]
        start += len(part)
        values = columns(part)
        if values is None:
            return None
        rows = np.flatnonzero(of_rows >= 0)
        add = sparse.csr_matrix((np.ones(len(rows)), (of_rows[rows], rows)), shape=(n_texts, len(of_rows)))
        total = add @ values if total is None else total + add @ values
    each = 1 / np.bincount(texts.of_rows[texts.of_rows >= 0], minlength=n_texts)
    return sparse.csr_matrix(sparse.diags(each) @ total) if sparse.issparse(total) else total * each[:, None]


def concept_means(X: Rows, texts: LabeledTexts) -> np.ndarray:
    """The mean row of the texts of each concept, each text counted once, (n_concepts, n_features)."""
    means = averages(np.asarray, X, texts)
    return (texts.present.T @ means) / texts.present.sum(0)[:, None]
