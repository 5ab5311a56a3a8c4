"""How much a figure would differ on other texts: the bootstrap over texts.

Rows of one text are alike, so a text is drawn with all of its rows or not at all. A resample is a number of times that
each text counts, and a measure a function of such weights: of sums over texts where it is a ratio of sums.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import check_random_state, check_scalar

from .._base.checks import check_count

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """A figure and between what it lies.

    Attributes
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float


class Resamples:
    """Texts drawn with replacement, as many as there are.

    Parameters
    ----------
    texts : ndarray of shape (n,)
        The number of each row's text, from 0.
    counts : ndarray of shape (1 + n_resamples, n_texts)
        How often each text counts. In the first line each counts once, so that the first entry of everything computed
        from all lines is the figure itself.
    """

    def __init__(self, texts: np.ndarray, counts: np.ndarray) -> None:
        self.texts = texts
        self.counts = counts

    @cached_property
    def _by_text(self) -> sparse.csr_matrix:
        """Adds the rows of each text up, (n_texts, n)."""
        n_rows = len(self.texts)
        place = (self.texts, np.arange(n_rows))
        return sparse.csr_matrix((np.ones(n_rows), place), shape=(self.counts.shape[1], n_rows))

    def sums(self, terms: np.ndarray | sparse.csr_matrix) -> np.ndarray:
        """Sums over the rows of each resample, (1 + n_resamples, m), of terms (n, m)."""
        by_text = self._by_text @ terms
        if sparse.issparse(by_text):
            return np.ascontiguousarray((by_text.T @ self.counts.T).T)
        return self.counts @ by_text

    def weights(self, number: int) -> np.ndarray:
        """How often each row counts in one resample, (n,)."""
        return self.counts[number, self.texts]


def number_texts(groups: ArrayLike) -> tuple[np.ndarray, int]:
    """The number of each row's text (n,), from 0 in ascending order, and how many there are."""
    groups = np.asarray(groups)
    if groups.ndim != 1 or not len(groups):
        raise ValueError(f"groups must hold one entry per row, the text that it is of; got shape {groups.shape}")
    names, texts = np.unique(groups, return_inverse=True)
    return texts, len(names)


def draw_texts(
    groups: ArrayLike, n_resamples: int = 200, random_state: int | np.random.RandomState | None = None
) -> Resamples:
    """Resamples of the texts that rows are of.

    Parameters
    ----------
    groups : array-like of shape (n,)
        The text of each row.
    n_resamples : int, default=200
    random_state : int, RandomState or None, default=None

    Returns
    -------
    Resamples
    """
    check_count("n_resamples", n_resamples, least=0)
    texts, n_texts = number_texts(groups)
    drawn = check_random_state(random_state).multinomial(n_texts, np.full(n_texts, 1 / n_texts), size=n_resamples)
    return Resamples(texts, np.vstack([np.ones((1, n_texts)), drawn]))


def to_interval(
    values: np.ndarray, confidence: float = 0.95, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> Interval:
    """From a figure and what it is in resamples to the interval around it.

    The interval is ``v + Q_(a/2) - m`` to ``v + Q_(1 - a/2) - m`` for a figure v, the quantiles Q and the mean m of the
    resamples, and a = 1 - `confidence`: the percentile interval without the resamples' bias. For sums and means there
    is none. But a resample has fewer different texts than the rows it is drawn from, and mutual information is larger
    the fewer there are: of regions that have nothing to do with labels, every resample has more than the figure
    itself.

    Parameters
    ----------
    values : ndarray of shape (1 + n_resamples,)
        The figure, then what it is in each resample; NaN where it is not defined.
    confidence : float, default=0.95
    bounds : (float, float)
        What it can be at all.

    Returns
    -------
    Interval
        From NaN to NaN where it is defined in fewer than two resamples.

    References
    ----------
    Efron & Tibshirani, "An introduction to the bootstrap" (1993), chapters 10 and 13.
    """
    check_confidence(confidence)
    value, drawn = float(values[0]), values[1:][~np.isnan(values[1:])]
    if len(drawn) < 2 or np.isnan(value):
        return Interval(value, np.nan, np.nan)
    tail = (1 - confidence) / 2
    low, high = np.clip(value + np.quantile(drawn, [tail, 1 - tail]) - drawn.mean(), *bounds)
    return Interval(value, float(low), float(high))


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float],
    groups: ArrayLike,
    n_resamples: int = 200,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[float, float]:
    """How much a figure would differ on other texts.

    Texts are drawn with replacement, as many as there are, and each is taken with all of its rows. The interval is that
    of the figure's percentiles in such resamples, moved so that their mean is the figure itself: mutual information,
    for one, is larger in all of them, because they hold fewer different texts. Its intervals are about right
    with a tenth as many regions as texts, and about a fifth too narrow with half as many.

    Parameters
    ----------
    statistic : callable
        From weights, an array of shape (n,) that says how often each row counts, to a number; NaN where it has none.
    groups : array-like of shape (n,)
        The text of each row.
    n_resamples : int, default=200
    confidence : float, default=0.95
        The share of resamples within the interval.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        If `confidence` is not between 0 and 1, or `groups` has not one dimension.

    References
    ----------
    Efron & Tibshirani, "An introduction to the bootstrap" (1993), chapters 10 and 13.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn.evaluation import bootstrap_interval
    >>> text, length = np.repeat(np.arange(50), 4), np.repeat(np.arange(50) % 5, 4)
    >>> low, high = bootstrap_interval(lambda w: np.average(length, weights=w), text, random_state=0)
    >>> 1.5 < low < 2 < high < 2.5
    True
    """
    check_confidence(confidence)
    resamples = draw_texts(groups, n_resamples, random_state)
    values = [float(statistic(resamples.weights(number))) for number in range(len(resamples.counts))]
    return to_interval(np.array(values), confidence)[1:]


def check_confidence(confidence: float) -> None:
    """Refuse a share that is not between 0 and 1."""
    check_scalar(confidence, "confidence", Real, min_val=0, max_val=1, include_boundaries="neither")
