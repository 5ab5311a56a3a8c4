"""Whether a concept can be read from a few columns of a code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from .._base.checks import check_count
from ._detection import scored
from ._labeled_texts import averages, labeled_texts

if TYPE_CHECKING:
    from ._candidate import Candidate
    from ._labeled_texts import LabeledRows


class Probing(NamedTuple):
    """How well each concept is read from its best columns.

    Attributes
    ----------
    concepts : ndarray of shape (n_concepts,)
        The labels of the training rows.
    columns : ndarray of shape (n_concepts, max(n_columns))
        The columns of each, the best one first.
    auroc : dict of int to ndarray of shape (n_concepts,)
        By the number of columns, on held-out texts; NaN where the concept or its contrary is in none of them.
    """

    concepts: np.ndarray
    columns: np.ndarray
    auroc: dict[int, np.ndarray]


def sparse_probing(
    candidate: Candidate, train: LabeledRows, test: LabeledRows, *, n_columns: Sequence[int] = (1, 2, 5)
) -> Probing | None:
    """How well each concept is read from a few columns of a code.

    A text's code is the mean over its rows of `Candidate.codes`. For each concept the columns are taken whose
    correlation with it is strongest over the training texts, of either sign; a logistic regression on them learns from
    the training texts, and its AUROC is taken on the held-out ones. Columns have variance one, both classes equal
    weight, and the penalty is scikit-learn's own, so that the figures are those of the columns and not of a search.

    Parameters
    ----------
    candidate : Candidate
        From `as_candidate`.
    train, test : LabeledRows
    n_columns : sequence of int, default=(1, 2, 5)
        How many columns to read from; of a code that has fewer, all.

    Returns
    -------
    Probing, or None
        None where the candidate has no codes.

    Raises
    ------
    ValueError
        If training rows have not two labels, or no held-out row has one of them.

    References
    ----------
    Gurnee et al., "Finding neurons in a haystack: case studies with sparse probing", TMLR (2023).

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.decomposition import PCA
    >>> from mfa_sklearn.evaluation import LabeledRows, as_candidate, sparse_probing
    >>> X, y = load_wine(return_X_y=True)
    >>> train, test = (LabeledRows(X[i::2], y[i::2], range(len(y[i::2]))) for i in (0, 1))
    >>> found = sparse_probing(as_candidate(PCA(3).fit(train.X)), train, test, n_columns=[1, 2])
    >>> {k: values.round(1).tolist() for k, values in found.auroc.items()}
    {1: [1.0, 0.9, 0.8], 2: [1.0, 0.9, 0.9]}
    """
    counts = sorted({check_count("n_columns", count) for count in n_columns})
    if not counts:
        raise ValueError(f"n_columns={n_columns!r} names no number of columns: give one or more, such as (1, 2, 5)")
    learned, tried, concepts = labeled_texts(train, test)
    codes = averages(candidate.codes, train.X, learned), averages(candidate.codes, test.X, tried)
    if codes[0] is None or codes[1] is None:
        return None
    columns = correlated_columns(codes[0], learned.present, max(counts))
    scores = probe_scores(*codes, learned.present, columns, counts)
    once = np.ones((1, len(tried.numbers)))
    auroc = {count: scored(by, tried.present, once)[0] for count, by in scores.items()}
    return Probing(concepts, columns, auroc)


def correlated_columns(codes: Any, present: np.ndarray, n_columns: int) -> np.ndarray:
    """The columns of codes (n, m), dense or CSR, that correlate most with each concept of (n, C); (C, n_columns).

    The best one first. The order is that of the F statistic between texts with and without the concept.
    """
    n_rows, n_all = codes.shape
    total = np.asarray(codes.sum(0), dtype=np.float64).ravel()
    squares = codes.multiply(codes).sum(0) if sparse.issparse(codes) else np.square(codes, dtype=np.float64).sum(0)
    spread = np.sqrt(np.maximum(np.asarray(squares).ravel() / n_rows - (total / n_rows) ** 2, 0))
    shared = np.asarray((codes.T @ present.astype(np.float64)).T) / n_rows
    deviation = np.abs(shared - np.outer(present.mean(0), total / n_rows))
    # Columns that hardly vary differ by rounding.
    strength = np.where(spread > 1e-9 * np.sqrt(np.asarray(squares).ravel() / n_rows + 1e-300), deviation, 0)
    strength /= np.where(spread > 0, spread, 1)
    return np.argsort(-strength, axis=1, kind="stable")[:, : min(n_columns, n_all)]


def probe_scores(
    train: Any, test: Any, present: np.ndarray, columns: np.ndarray, counts: Sequence[int]
) -> dict[int, np.ndarray]:
    """The log odds of each concept (n_test, n_concepts), by the number of its columns that are read.

    Parameters
    ----------
    train, test : ndarray or CSR of shape (n_train, m), (n_test, m)
    present : ndarray of shape (n_train, n_concepts), bool
    columns : ndarray of shape (n_concepts, n_columns)
        The best one first.
    counts : sequence of int
    """
    out = {count: np.zeros((test.shape[0], present.shape[1])) for count in counts}
    train, test = (sparse.csc_matrix(codes) if sparse.issparse(codes) else codes for codes in (train, test))
    for c, chosen in enumerate(columns):
        if present[:, c].all():
            continue  # which leaves the scores, and so its AUROC at one half
        learned, asked = (_dense(codes[:, chosen]) for codes in (train, test))
        mean, spread = learned.mean(0), learned.std(0)
        learned, asked = ((part - mean) / np.where(spread > 0, spread, 1) for part in (learned, asked))
        for count, scores in out.items():
            probe = LogisticRegression(class_weight="balanced").fit(learned[:, :count], present[:, c])
            scores[:, c] = probe.decision_function(asked[:, :count])
    return out


def _dense(values: Any) -> np.ndarray:
    return values.toarray() if sparse.issparse(values) else np.asarray(values, dtype=np.float64)
