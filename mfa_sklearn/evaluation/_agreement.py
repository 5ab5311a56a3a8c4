"""Agreement of regions with labels, and of regions with regions, for many weightings of the rows at once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.special import gammaln, xlogy

from ..interpret._inputs import numbered, optional_fact
from ._resampling import Resamples

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Contingency:
    """How many rows there are in each region with each label, in each resample.

    Parameters
    ----------
    first, second : ndarray of shape (n,)
        Numbers of regions or labels.
    resamples : Resamples

    Attributes
    ----------
    cells : ndarray of shape (1 + n_resamples, n_cells)
        Counts of the pairs that occur.
    margins : two ndarrays of shape (1 + n_resamples, n_values)
        Counts of each value of the first and of the second.
    """

    def __init__(self, first: np.ndarray, second: np.ndarray, resamples: Resamples) -> None:
        numbers = [np.unique(values, return_inverse=True)[1] for values in (first, second)]
        pairs, cell = np.unique(np.stack(numbers), axis=1, return_inverse=True)
        self._ends = [_indicator(end, int(end.max(initial=0)) + 1) for end in pairs]
        self.cells = resamples.sums(_indicator(cell.ravel(), pairs.shape[1]))
        self.margins = [np.asarray((end.T @ self.cells.T).T) for end in self._ends]
        self._total = self.cells.sum(1)

    def _entropy(self, counts: np.ndarray) -> np.ndarray:
        """``- sum_i p_i log p_i`` in nats for ``p = counts / total``, (1 + n_resamples,)."""
        shares = counts / self._total[:, None]
        return -xlogy(shares, shares).sum(1)

    @cached_property
    def _information(self) -> tuple[np.ndarray, np.ndarray]:
        """Mutual information, and the mean of the two entropies, in nats."""
        with np.errstate(invalid="ignore"):
            first, second = (self._entropy(margin) for margin in self.margins)
            shared = first + second - self._entropy(self.cells)
        return np.maximum(shared, 0), (first + second) / 2

    def nmi(self) -> np.ndarray:
        """Mutual information over the mean of the entropies, (1 + n_resamples,); 1 where both are zero.

        NaN where there are no rows.
        """
        shared, mean = self._information
        return _ratio(shared, mean)

    def ami(self) -> np.ndarray:
        """The same, less what is to be expected by chance: ``(MI - E[MI]) / (mean entropy - E[MI])``."""
        shared, mean = self._information
        logs = gammaln(np.arange(int(self._total.max(initial=0)) + 1) + 1.0)
        chance = np.array([expected_information(a, b, logs) for a, b in zip(*self.margins, strict=True)])
        return _ratio(shared - chance, mean - chance)

    def ari(self) -> np.ndarray:
        """The adjusted Rand index, (1 + n_resamples,)."""
        both, *each = (_pairs(counts).sum(1) for counts in (self.cells, *self.margins))
        with np.errstate(invalid="ignore", divide="ignore"):
            chance = each[0] * each[1] / _pairs(self._total)
        return _ratio(both - chance, (each[0] + each[1]) / 2 - chance)


def expected_information(first: np.ndarray, second: np.ndarray, log_factorials: np.ndarray) -> float:
    """Mutual information in nats that is to be expected of two independent labelings.

    With margins a and b of N rows, ::

        E[MI] = sum_ij sum_n  n / N  log(N n / (a_i b_j))  H(n; N, a_i, b_j),

    H being the hypergeometric distribution. It is scikit-learn's ``expected_mutual_information``, but that equal
    margins are computed once: there are far fewer different sizes of regions than regions.

    Parameters
    ----------
    first, second : ndarray of shape (A,), (B,)
        Margins, whole numbers; zeros count for nothing.
    log_factorials : ndarray of shape (N + 1,) or longer
        ``log 0!, log 1!, ...``

    References
    ----------
    Vinh, Epps & Bailey, "Information theoretic measures for clusterings comparison", JMLR 11 (2010), equation 24a.
    """
    total, f = round(first.sum()), log_factorials
    sides = [np.unique(np.rint(margin[margin > 0]).astype(np.int64), return_counts=True) for margin in (first, second)]
    a, b = (grid.ravel() for grid in np.meshgrid(sides[0][0], sides[1][0], indexing="ij"))
    if not len(a):
        return 0.0
    # The distribution is narrower than Poisson's of the same mean: beyond eight deviations and a dozen is nothing.
    mean = a * b / total
    reach = 8 * np.sqrt(mean) + 12
    least = np.maximum(np.maximum(1, a + b - total), (mean - reach).astype(np.int64))
    lengths = np.minimum(np.minimum(a, b), (mean + reach).astype(np.int64)) - least + 1
    pair = np.repeat(np.arange(len(a)), lengths)
    n = np.arange(len(pair)) + np.repeat(least - np.cumsum(lengths) + lengths, lengths)
    constant = f[a] + f[b] + f[total - a] + f[total - b] - f[total]
    outside = f[n] + f[(a[pair] - n)] + f[b[pair] - n] + f[(total - a - b)[pair] + n]
    terms = np.exp(constant[pair] - outside) * n * (np.log(n) - np.log(mean)[pair])
    times = np.outer(sides[0][1], sides[1][1]).ravel()
    return float(terms @ times[pair]) / total


def region_agreement(regions: ArrayLike, labels: ArrayLike, sample_weight: ArrayLike | None = None) -> dict[str, float]:
    """How much regions and labels tell of each other.

    Normalized mutual information grows with the number of regions even where they mean nothing; adjusted mutual
    information is 0 on average there. Both are 1 where regions and labels are the same division of the rows, and both
    are as scikit-learn computes them, normalized by the arithmetic mean of the entropies.

    Parameters
    ----------
    regions : array-like of shape (n,)
        The region of each row. A number below zero, of rows in no region, counts as one region more.
    labels : array-like of shape (n,)
        Rows whose label is missing (None, NaN, an empty string) are left out.
    sample_weight : array-like of shape (n,), optional
        How often each row counts, whole numbers: what is to be expected by chance is a matter of counts.

    Returns
    -------
    dict of str to float
        "nmi", from 0 to 1, and "ami", at most 1.

    Raises
    ------
    ValueError
        If lengths differ, no row has a label, or weights are no whole numbers.

    References
    ----------
    Vinh, Epps & Bailey, "Information theoretic measures for clusterings comparison", JMLR 11 (2010).

    Examples
    --------
    >>> from mfa_sklearn.evaluation import region_agreement
    >>> region_agreement([0, 0, 1, 1, 2], ["sea", "sea", "land", "land", None])
    {'nmi': 1.0, 'ami': 1.0}
    """
    regions = np.asarray(regions)
    codes = numbered("labels", known_labels(regions, labels), "region_agreement", missing=True)[0]
    weights = _counts(sample_weight, len(codes))
    rows = np.flatnonzero((codes >= 0) & (weights > 0))
    if not len(rows):
        raise ValueError(f"none of the {len(codes)} rows has a label that counts: give labels to some of them")
    once = Resamples(np.arange(len(rows)), weights[None, rows])
    table = Contingency(regions[rows], codes[rows], once)
    return {"nmi": float(table.nmi()[0]), "ami": float(table.ami()[0])}


def known_labels(rows: np.ndarray, labels: ArrayLike) -> np.ndarray:
    """One label per row, those that are missing as None."""
    found = optional_fact(rows, "labels", labels)
    assert isinstance(found, np.ndarray)
    return found


def _counts(sample_weight: ArrayLike | None, n_rows: int) -> np.ndarray:
    if sample_weight is None:
        return np.ones(n_rows)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n_rows,):
        raise ValueError(f"sample_weight has shape {weights.shape}, but there are {n_rows} rows")
    odd = np.flatnonzero(~((weights >= 0) & (weights == np.rint(weights)) & np.isfinite(weights)))
    if len(odd):
        raise ValueError(
            f"sample_weight[{odd[0]}]={weights[odd[0]]} is no whole number from 0: weights say how often a row counts; "
            "of shares, multiply them by what makes them whole"
        )
    return weights


def _indicator(numbers: np.ndarray, n_values: int) -> sparse.csr_matrix:
    """A one in the column of each entry's number, (n, n_values)."""
    place = (np.arange(len(numbers)), numbers)
    return sparse.csr_matrix((np.ones(len(numbers)), place), shape=(len(numbers), n_values))


def _pairs(counts: np.ndarray) -> np.ndarray:
    return counts * (counts - 1) / 2


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part over whole; 1 where both are zero up to rounding, as of two divisions into one region each."""
    alike = (np.abs(part) < 1e-12) & (np.abs(whole) < 1e-12)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(alike, 1.0, part / whole)
