"""A target foretold by the region of a row, and by where in its region the row lies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.validation import check_is_fitted

from .._base.devices import plain_array
from .._base.sklearn_private import Interval, check_sample_weight, fit_context

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class RegionSums(NamedTuple):
    """Sums over the rows of each region, of the design u = (1, scaled coordinates) and the target y."""

    gram: np.ndarray  # (K, 1 + q, 1 + q), of u u'
    cross: np.ndarray  # (K, 1 + q, m), of u y'

    def minus(self, part: RegionSums) -> RegionSums:
        """The sums over all rows but those of a part."""
        return RegionSums(self.gram - part.gram, self.cross - part.cross)

    def ridge(self, penalty: np.ndarray) -> np.ndarray:
        """Coefficients (K, 1 + q, m) that minimize ``sum |y - B' u|^2 + sum_j penalty_j |B_j|^2`` in each region."""
        return np.linalg.solve(self.gram + np.diag(penalty), self.cross)

    def error(self, coefficients: np.ndarray) -> float:
        """``sum |y - B' u|^2 - |y|^2`` over these rows, for coefficients B (K, 1 + q, m)."""
        return float(np.vdot(coefficients, self.gram @ coefficients - 2 * self.cross))


class RegionRegression(BaseEstimator):
    """Ridge regression of a target on local coordinates, with intercept and slopes of its own in each region.

    With y centered to mean zero, and u the coordinates centered in each region and scaled to variance one within
    regions, the row i of region k is foretold ``b_k + B_k' u_i``, the minimum of ::

        sum_(i in k) w_i |y_i - b_k - B_k' u_i|^2 + a |b_k|^2 + l |B_k|^2.

    The penalties a and l are numbers of pseudo-rows: a region with few rows is drawn to what is true of all of them,
    the mean of the target, without slopes. (Slopes of other regions are no help, because the axes of one region mean
    nothing in another.) Both are chosen by cross-validation over the rows fitted on, a without slopes and then l, with
    whole groups left out.

    Parameters
    ----------
    penalties : sequence of float, default=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
        Numbers of pseudo-rows to choose from.
    n_folds : int, default=5
        Parts of the rows that are left out in turn; fewer where there are fewer groups.

    Attributes
    ----------
    region_penalty_, slope_penalty_ : float
        The a and l chosen.
    mean_ : ndarray of shape (m,)
        Of the target.
    coefficients_ : ndarray of shape (K, 1 + q, m)
        The intercepts b_k, and the slopes B_k on scaled coordinates.
    centers_ : ndarray of shape (K, q)
        Means of the coordinates in each region.
    scale_ : ndarray of shape (q,)
        Their standard deviation within regions.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn.evaluation import RegionRegression
    >>> rng = np.random.default_rng(0)
    >>> regions, z = rng.integers(2, size=200), rng.normal(size=(200, 1))
    >>> y = np.where(regions[:, None] == 0, 3 * z, 5 - z)
    >>> RegionRegression().fit(regions, z, y).predict([0, 0, 1], [[0.0], [1.0], [1.0]]).round(1)
    array([[0.],
           [3.],
           [4.]])
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        "penalties": ["array-like"],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(
        self, penalties: Sequence[float] = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000), *, n_folds: int = 5
    ) -> None:
        self.penalties = penalties
        self.n_folds = n_folds

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        regions: ArrayLike | None,
        coordinates: ArrayLike | None,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> RegionRegression:
        """Learn means and slopes.

        Parameters
        ----------
        regions : array-like of shape (n_samples,), or None
            Region numbers from 0; rows of a negative one are in no region. None is one region for all.
        coordinates : array-like of shape (n_samples, q), or None
            None foretells by the region alone.
        target : array-like of shape (n_samples, m)
        sample_weight : array-like of shape (n_samples,), optional
            How many rows each row counts for.
        groups : array-like of shape (n_samples,), optional
            What may not be torn apart in cross-validation: the text of each row. Neighbors are kept together otherwise.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If lengths differ, numbers are not finite, a penalty is not positive, or there are not two groups.
        """
        target = _finite("target", target)
        regions, coordinates = check_placed(regions, coordinates, len(target))
        weights = check_sample_weight(sample_weight, target, dtype=np.float64, ensure_non_negative=True)
        penalties = _finite("penalties", self.penalties)
        if not len(penalties) or not (penalties > 0).all():
            raise ValueError(f"penalties={self.penalties!r} must be positive numbers, such as (1, 10, 100)")
        self.mean_ = np.average(target, axis=0, weights=weights).astype(np.float64)
        self._learn_scales(regions, coordinates, weights)
        folds = self._folds(len(target), groups)
        design = self._design(regions, coordinates)
        parts = self._sums(regions, design, target, weights, folds)
        whole = RegionSums(np.sum([part.gram for part in parts], 0), np.sum([part.cross for part in parts], 0))
        self._choose(whole, parts, penalties)
        return self

    def predict(self, regions: ArrayLike | None, coordinates: ArrayLike | None) -> np.ndarray:
        """The target foretold.

        Parameters
        ----------
        regions : array-like of shape (n_samples,), or None
            As in `fit`; in a region without rows the mean of the target is foretold.
        coordinates : array-like of shape (n_samples, q), or None
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, m)
        """
        check_is_fitted(self)
        if regions is None and coordinates is None:
            raise ValueError("regions and coordinates are both None: give one, of the rows to foretell")
        n_rows = len(np.asarray(coordinates if regions is None else regions))
        regions, coordinates = check_placed(regions, coordinates, n_rows)
        if coordinates.shape[1] != len(self.scale_):
            raise ValueError(f"coordinates have {coordinates.shape[1]} columns, but {len(self.scale_)} were fitted on")
        regions = np.where(regions < len(self.centers_), regions, -1)
        design = self._design(regions, coordinates)
        out = np.tile(self.mean_, (n_rows, 1))
        for k, rows in _rows_by_region(regions):
            out[rows] += design[rows] @ self.coefficients_[k]
        return out

    def _learn_scales(self, regions: np.ndarray, coordinates: np.ndarray, weights: np.ndarray) -> None:
        n_regions, width = int(regions.max(initial=0)) + 1, coordinates.shape[1]
        self.centers_, squares, total = np.zeros((n_regions, width)), np.zeros(width), 0.0
        for k, rows in _rows_by_region(regions):
            w = weights[rows]
            if not w.any():
                continue
            self.centers_[k] = w @ coordinates[rows] / w.sum()
            squares += w @ np.square(coordinates[rows] - self.centers_[k])
            total += w.sum()
        self.scale_ = np.sqrt(squares / total) if total else np.zeros(width)
        self.scale_[self.scale_ == 0] = 1.0

    def _design(self, regions: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
        """One and the scaled coordinates, (n, 1 + q)."""
        scaled = (coordinates - self.centers_[regions]) / self.scale_
        return np.hstack([np.ones((len(scaled), 1)), scaled])

    def _folds(self, n_rows: int, groups: ArrayLike | None) -> np.ndarray:
        """The part that each row is left out with, (n,)."""
        values = None if groups is None else np.asarray(groups)
        if values is not None and values.shape != (n_rows,):
            raise ValueError(f"groups must hold one entry per row: got shape {values.shape} for {n_rows} rows")
        n_groups = n_rows if values is None else len(np.unique(values))
        if n_groups < 2:
            what = "row" if values is None else "group"
            raise ValueError(f"cross-validation of the penalties needs at least two {what}s, and there is {n_groups}")
        n_folds = min(self.n_folds, n_groups)
        splitter = KFold(n_folds) if values is None else GroupKFold(n_folds)
        folds = np.empty(n_rows, dtype=np.int64)
        for number, (_, rows) in enumerate(splitter.split(np.empty((n_rows, 0)), groups=values)):
            folds[rows] = number
        return folds

    def _sums(
        self, regions: np.ndarray, design: np.ndarray, target: np.ndarray, weights: np.ndarray, folds: np.ndarray
    ) -> list[RegionSums]:
        """The sums of each part of the rows."""
        K, width = len(self.centers_), design.shape[1]
        found = []
        for fold in range(folds.max() + 1):
            gram, cross = np.zeros((K, width, width)), np.zeros((K, width, target.shape[1]))
            for k, rows in _rows_by_region(np.where(folds == fold, regions, -1)):
                y, weighted = target[rows].astype(np.float64) - self.mean_, design[rows] * weights[rows, None]
                gram[k], cross[k] = weighted.T @ design[rows], weighted.T @ y
            found.append(RegionSums(gram, cross))
        return found

    def _choose(self, whole: RegionSums, parts: list[RegionSums], penalties: np.ndarray) -> None:
        """Penalties by cross-validation, and the coefficients of all rows with them."""
        rests = [whole.minus(part) for part in parts]
        n_slopes = whole.gram.shape[1] - 1

        def error(penalty: np.ndarray, width: int) -> float:
            """Of the parts left out, by the first `width` columns of the design."""
            return sum(
                _narrow(part, width).error(_narrow(rest, width).ridge(penalty))
                for part, rest in zip(parts, rests, strict=True)
            )

        self.region_penalty_ = self.slope_penalty_ = _best(penalties, lambda a: error(np.array([a]), 1))

        def both(penalty: float) -> np.ndarray:
            return np.array([self.region_penalty_, *[penalty] * n_slopes])

        if n_slopes:
            self.slope_penalty_ = _best(penalties, lambda penalty: error(both(penalty), 1 + n_slopes))
        self.coefficients_ = whole.ridge(both(self.slope_penalty_))


def check_placed(
    regions: ArrayLike | None, coordinates: ArrayLike | None, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Regions (n,) and coordinates (n, q) as arrays: one region, and no coordinates, where they are None."""
    numbers = np.zeros(n_rows, dtype=np.int64) if regions is None else np.asarray(plain_array(regions))
    if numbers.shape != (n_rows,) or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"regions must be one whole number for each of the {n_rows} rows; got {numbers.dtype} of shape "
            f"{numbers.shape}"
        )
    places = np.zeros((n_rows, 0)) if coordinates is None else _finite("coordinates", coordinates)
    if len(places) != n_rows or places.ndim != 2:
        raise ValueError(f"coordinates must hold a line for each of the {n_rows} rows; got shape {places.shape}")
    return numbers, places


def _finite(name: str, values: Any) -> np.ndarray:
    """Numbers, in double precision unless they are single."""
    array = np.asarray(plain_array(values))
    array = array.astype(np.result_type(array.dtype, np.float32), copy=False)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))
    if len(bad):
        raise ValueError(f"{name} holds NaN or infinity, first in row {bad[0]}: leave such rows out")
    if name == "target" and array.ndim != 2:
        raise ValueError(f"target must have shape (n_samples, m), got {array.shape}; of one column, target[:, None]")
    return array


def _rows_by_region(regions: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The regions that have rows, and their rows; negative regions are none."""
    order = np.argsort(regions, kind="stable")
    numbers, starts = np.unique(regions[order], return_index=True)
    return [(int(k), rows) for k, rows in zip(numbers, np.split(order, starts[1:]), strict=True) if k >= 0]


def _narrow(sums: RegionSums, width: int) -> RegionSums:
    return sums._replace(gram=sums.gram[:, :width, :width], cross=sums.cross[:, :width])


def _best(penalties: np.ndarray, error: Callable[[float], float]) -> float:
    return float(min(penalties, key=error))
