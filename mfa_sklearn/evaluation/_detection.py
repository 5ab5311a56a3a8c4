"""Whether a region finds a concept in texts that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics.pairwise import euclidean_distances

from .._base.checks import check_count
from ._labeled_texts import concept_means, greatest, labeled_texts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._candidate import Candidate
    from ._labeled_texts import LabeledRows


class Detection(NamedTuple):
    """How well each concept is found by one column.

    Attributes
    ----------
    concepts : ndarray of shape (n_concepts,)
        The labels of the training rows.
    columns : ndarray of shape (n_concepts,)
        The detector of each, chosen on training texts.
    auroc : ndarray of shape (n_concepts,)
        On held-out texts, against all others; NaN where the concept or its contrary is in none of them.
    hard_auroc : ndarray of shape (n_concepts,)
        The same against texts of the nearest concepts alone.
    """

    concepts: np.ndarray
    columns: np.ndarray
    auroc: np.ndarray
    hard_auroc: np.ndarray


def concept_detection(
    candidate: Candidate,
    train: LabeledRows,
    test: LabeledRows,
    *,
    n_hard: int = 3,
    columns: Mapping[Any, int] | None = None,
) -> Detection | None:
    """How well the best single region of each concept tells its texts from others.

    A text's score is the greatest that one of its rows has in a column of `Candidate.detectors`. For each concept the
    column with the best AUROC on the training texts is taken, and tried on the held-out ones: against all other texts
    that have a label, and against hard negatives, the texts of the few concepts whose training rows are nearest on
    average. An AUROC is the probability that a text with the concept scores higher than one without; one half is
    chance.

    Parameters
    ----------
    candidate : Candidate
        From `as_candidate`.
    train, test : LabeledRows
    n_hard : int, default=3
        How many nearest concepts hard negatives are taken from.
    columns : mapping of label to int, optional
        The detector of a concept, where it was found in another way; of other concepts the best one is taken.

    Returns
    -------
    Detection, or None
        None where the candidate has no detectors.

    Raises
    ------
    ValueError
        If training rows have not two labels, or no held-out row has one of them; if `columns` names a label that
        training rows have not, or a detector that there is not.

    References
    ----------
    Wu et al., "AxBench: steering LLMs? Even simple baselines outperform sparse autoencoders", arXiv 2501.17148 (2025),
    for detection by the greatest score of a text, on hard negatives.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_wine
    >>> from mfa_sklearn.evaluation import LabeledRows, as_candidate, concept_detection
    >>> X, y = load_wine(return_X_y=True)
    >>> train, test = (LabeledRows(X[i::2], y[i::2], range(len(y[i::2]))) for i in (0, 1))
    >>> found = concept_detection(as_candidate(KMeans(3, random_state=0).fit(train.X)), train, test)
    >>> found.concepts, found.auroc.shape
    (array([0, 1, 2]), (3,))
    """
    check_count("n_hard", n_hard)
    learned, tried, concepts = labeled_texts(train, test)
    scores = greatest(candidate.detectors, train.X, learned), greatest(candidate.detectors, test.X, tried)
    if scores[0] is None or scores[1] is None:
        return None
    chosen = best_columns(scores[0], learned.present)
    if columns:
        chosen[_places(columns, concepts)] = _detectors(columns, scores[0].shape[1])
    near = nearest_concepts(concept_means(train.X, learned), n_hard)
    once = np.ones((1, len(tried.numbers)))
    found = scored(scores[1][:, chosen], tried.present, once), scored(scores[1][:, chosen], tried.present, once, near)
    return Detection(concepts, chosen, found[0][0], found[1][0])


def _places(columns: Mapping[Any, int], concepts: np.ndarray) -> list[int]:
    """Where the labels of `columns` stand among the concepts."""
    known = {concept: place for place, concept in enumerate(concepts.tolist())}
    unknown = [label for label in columns if label not in known]
    if unknown:
        raise ValueError(f"columns names {unknown[0]!r}, but no training row has that label: leave it out")
    return [known[label] for label in columns]


def _detectors(columns: Mapping[Any, int], n_detectors: int) -> list[int]:
    """The detectors that labels are given, if there are such."""
    for label, column in columns.items():
        if not 0 <= column < n_detectors:
            raise ValueError(f"columns gives {label!r} the detector {column}, but there are {n_detectors}, from 0")
    return [int(column) for column in columns.values()]


def best_columns(scores: ArrayLike, present: np.ndarray) -> np.ndarray:
    """The column of the scores (n_texts, m) with the best AUROC for each concept of (n_texts, n_concepts)."""
    return aurocs(scores, present).argmax(1)


def aurocs(scores: ArrayLike, present: np.ndarray) -> np.ndarray:
    """AUROC of every column (n_texts, m) for every concept (n_texts, n_concepts), (n_concepts, m), by ranks."""
    ranks = rankdata(scores, axis=0)
    n_with = present.sum(0, dtype=np.float64)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (present.T.astype(np.float64) @ ranks - n_with * (n_with + 1) / 2) / (n_with * (len(ranks) - n_with))
    return np.nan_to_num(found, nan=0.5)


def weighted_auroc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The probability that a positive scores higher than a negative, for many weightings; ties count a half.

    Parameters
    ----------
    scores : ndarray of shape (n,)
    positive : ndarray of shape (n,), bool
    weights : ndarray of shape (r, n)

    Returns
    -------
    ndarray of shape (r,)
        NaN where positives or negatives have no weight.
    """
    if not len(scores):
        return np.full(len(weights), np.nan)
    order = np.argsort(scores, kind="stable")
    ascending, sorted_weights = scores[order], weights[:, order]
    starts = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    with_it = np.add.reduceat(sorted_weights * positive[order], starts, axis=1)
    without = np.add.reduceat(sorted_weights * ~positive[order], starts, axis=1)
    below = without.cumsum(1) - without / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (with_it * below).sum(1) / (with_it.sum(1) * without.sum(1))


def scored(scores: np.ndarray, present: np.ndarray, weights: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
    """AUROC of each concept by its own column, for many weightings of the texts, (r, n_concepts).

    Parameters
    ----------
    scores : ndarray of shape (n_texts, n_concepts)
    present : ndarray of shape (n_texts, n_concepts), bool
    weights : ndarray of shape (r, n_texts)
    near : ndarray of shape (n_concepts, n_concepts), bool, optional
        In line c the concepts whose texts are the negatives of c; by default all other texts are.
    """
    found = []
    for c in range(present.shape[1]):
        positive = present[:, c]
        taken = slice(None) if near is None else np.flatnonzero(positive | present[:, near[c]].any(1))
        found.append(weighted_auroc(scores[taken, c], positive[taken], weights[:, taken]))
    return np.stack(found, axis=1)


def nearest_concepts(means: np.ndarray, n_nearest: int) -> np.ndarray:
    """In line c the `n_nearest` concepts with the nearest means (n_concepts, n_features), (n_concepts, n_concepts)."""
    squares = euclidean_distances(means, squared=True)
    np.fill_diagonal(squares, np.inf)
    near = np.zeros(squares.shape, dtype=bool)
    chosen = np.argsort(squares, axis=1, kind="stable")[:, : min(n_nearest, len(means) - 1)]
    np.put_along_axis(near, chosen, True, axis=1)
    return near


def over_concepts(found: np.ndarray) -> np.ndarray:
    """Means over the concepts that have a figure, (r,), of figures (r, n_concepts); NaN where none has."""
    known = ~np.isnan(found)
    with np.errstate(invalid="ignore"):
        return np.where(known, found, 0).sum(1) / known.sum(1)
