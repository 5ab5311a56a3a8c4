"""What a fit or a prediction may be given, checked before work is spent."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data
from torch import Tensor

from .._base.annotated import given_rows, is_row_source
from .._base.checks import plain_numbers
from .._base.devices import plain_array
from .._base.group import ALONE, AnyGroup
from .._base.origin import warn_incomplete, warn_other_source
from .._base.sklearn_private import check_n_features, check_sample_weight
from .._base.tables import explained

# Weights that are multiples of a common unit up to this size count rows.
_LARGEST_COUNT, _LARGEST_DIVISOR = 1e6, 10
# Noise variances, as shares of a feature's variance, below which rounding takes over.
_LEAST_FLOOR = {torch.float32: 1e-12, torch.float64: 1e-18}
_LARGEST = float(np.finfo(np.float64).max) / 16


def check_rows(estimator: BaseEstimator, X: Any, reset: bool, least_rows: int = 1) -> Any:
    """`X` as something with ``shape``, ``dtype`` and rows to read: an array, a memory map, a tensor or a store.

    A path stands for what lies there, a container of tables for its only one. Whether the values are finite is checked
    as they are read, so that a large memory map is not read just for that. Rows that are not fitted on (`reset` is
    False) are to come from where those did that were: if they are known not to, there is a warning. `least_rows` is 0
    where a process of a group may have none.
    """
    X = given_rows(X)
    if isinstance(X, Tensor):
        _check_tensor(X)  # before anything else: some have no shape to ask for
    return _check_table(estimator, X, reset, least_rows)


@explained
def _check_table(estimator: BaseEstimator, X: Any, reset: bool, least_rows: int) -> Any:
    if not reset:
        warn_other_source(estimator, X)
        warn_incomplete(X)
    if isinstance(X, Tensor) or is_row_source(X):
        if len(X.shape) != 2:
            raise ValueError(f"Expected 2D array, got shape {tuple(X.shape)}; use one row per sample.")
        for count, least, what in zip(X.shape, (least_rows, 1), ("sample", "feature"), strict=True):
            if count < least:
                shape = tuple(X.shape)
                raise ValueError(f"Found array with 0 {what}(s) (shape={shape}) while a minimum of 1 is required.")
        check_n_features(estimator, X, reset=reset)
        return X
    # skip_check_array would also skip the feature names
    array = np.asarray(
        validate_data(
            estimator,
            plain_numbers(X),
            reset=reset,
            dtype="numeric",
            ensure_all_finite=False,
            ensure_min_samples=least_rows,
        )
    )
    # torch reads neither foreign byte orders nor extended precision
    native = array.dtype.newbyteorder("=") if array.dtype.itemsize <= 8 else np.dtype(np.float64)
    return array.astype(native, copy=False)


def _check_tensor(X: Tensor) -> None:
    """Refuse tensors whose numbers do not lie side by side, or that have none."""
    if X.is_nested or X.layout != torch.strided:
        kind = "nested" if X.is_nested else str(X.layout).removeprefix("torch.")
        remedy = "pad it to rows of one length" if X.is_nested else "give X.to_dense()"
        raise TypeError(f"X is a tensor of the layout {kind}, but dense rows are needed; {remedy}")
    if X.is_meta or X.is_quantized:
        raise TypeError(f"X is a {'meta' if X.is_meta else 'quantized'} tensor, which holds no numbers to fit")
    if X.is_complex():
        raise ValueError("Complex data not supported")


class RowWeights(NamedTuple):
    """Which rows of a table count, and how much.

    Only the relations of what a user gives matter, and rows of weight zero are as if they were not there.
    """

    values: np.ndarray | None = None  # (m,) of the rows that count; None where they count alike
    places: np.ndarray | None = None  # (m,) their ascending numbers; None where all rows do
    unit: float = 1.0  # what a value of one stands for

    def at(self, places: np.ndarray | None) -> np.ndarray | None:
        """Values of the rows that count, all or by number among them."""
        return self.values if self.values is None or places is None else self.values[places]

    def row_numbers(self, places: np.ndarray | None) -> np.ndarray | None:
        """Numbers in the table of rows that are numbered among those that count."""
        return self.places if places is None else places if self.places is None else self.places[places]

    def spread(self, n_rows: int) -> np.ndarray:
        """Values (n,) of all rows of a table, zero where they do not count."""
        values = np.zeros(n_rows)
        values[slice(None) if self.places is None else self.places] = 1.0 if self.values is None else self.values
        return values

    def count(self, n_rows: int) -> int:
        """How many of a table's rows count."""
        return n_rows if self.places is None else len(self.places)

    def total(self, n_rows: int, group: AnyGroup = ALONE) -> float:
        """The sum of what the user gave, on all processes, as large as a number may be."""
        total = sum(group.objects(float(self.count(n_rows)) if self.values is None else float(self.values.sum())))
        return min(total * self.unit, _LARGEST)


def check_weights(sample_weight: Any, X: Any, group: AnyGroup = ALONE) -> RowWeights:
    """What weights (n,) of the rows of `X` amount to; they must be finite, not negative, nor all zero.

    In a group each process gives those of its own rows, and what they amount to is seen from all.
    """
    if sample_weight is None:
        return RowWeights()
    if isinstance(sample_weight, str):
        raise TypeError(f"sample_weight={sample_weight!r} must be numbers, one for each row")
    weights = plain_array(sample_weight)
    if X.shape[0] or group.size == 1 or np.shape(weights) != (0,):
        like = np.broadcast_to(0.0, X.shape)
        # Whether all are zero is seen below: those of one process of a group may be.
        weights = check_sample_weight(
            weights, like, dtype=np.float64, ensure_non_negative=True, allow_all_zero_weights=True
        )
    largest = group.max(np.max(weights, initial=0.0))
    if not largest > 0:
        raise ValueError("sample_weight is zero for every row; at least one row needs a positive weight.")
    relative = np.asarray(weights, dtype=np.float64) / largest
    places = np.flatnonzero(relative)
    values, unit = _counts(relative[places], group)
    alike = not group.any(not (values == 1).all())
    return RowWeights(None if alike else values, None if len(places) == len(weights) else places, unit * float(largest))


def _counts(relative: np.ndarray, group: AnyGroup) -> tuple[np.ndarray, float]:
    """Positive shares of the largest weight in a unit of their own, and that unit: how often rows count, or mean one.

    Weights that are whole multiples of a common unit say how often a row is there, and are as good as the rows
    repeated. Of others only the mean is known to be a row.
    """
    least = -group.max(-relative.min(initial=np.inf))
    if _LARGEST_COUNT * least >= 1:
        for divisor in range(1, _LARGEST_DIVISOR + 1):
            counts = relative / least * divisor
            whole = np.rint(counts)
            if not group.any(not (np.abs(counts - whole) <= 1e-12 * counts).all()):
                return whole, least / divisor
    if group.size == 1:
        mean = float(relative.mean())
    else:
        mean = sum(group.objects(float(relative.sum()))) / sum(group.numbers(len(relative)))
    return relative / mean, mean


def check_noise_floor(noise_floor: float, dtype: torch.dtype) -> None:
    """Refuse a floor that the rounding of residuals in a precision would exceed."""
    least = _LEAST_FLOOR[dtype]
    if noise_floor < least:
        name = str(dtype).removeprefix("torch.")
        raise ValueError(
            f"noise_floor={noise_floor!r} is below {least:g}: in {name} less than that cannot be told from rounding. "
            "Raise it" + (" or set dtype='float64'." if dtype == torch.float32 else ".")
        )


def factor_counts(n_factors: Any, n_components: int) -> tuple[int, ...]:
    """Factors of each component, from one number or one per component."""
    counts = (int(n_factors),) * n_components if np.ndim(n_factors) == 0 else tuple(int(q) for q in n_factors)
    if len(counts) != n_components:
        raise ValueError(f"n_factors gives {len(counts)} numbers for {n_components} components; give one or one each")
    if min(counts) < 0 or (np.ndim(n_factors) and np.asarray(n_factors).dtype.kind not in "iu"):
        raise ValueError(f"n_factors={n_factors!r} must be whole numbers of at least 0")
    return counts


def check_sizes(n_rows: int, n_features: int, n_components: int, n_factors: int, held_out: str = "") -> None:
    """Refuse more components than rows, and factors that do not reduce the dimension.

    `held_out` is what holds other rows out.
    """
    if n_components > n_rows:
        others = f" that {held_out} does not hold out" if held_out else ""
        raise ValueError(
            f"n_components={n_components} is more than n_samples={n_rows} of positive weight{others}; give more rows "
            f"or ask for fewer components{' or a smaller share' if others else ''}."
        )
    if n_factors >= n_features:
        raise ValueError(
            f"n_factors={n_factors} must be below n_features={n_features}; a factor analyzer with as many factors as "
            "features is a full covariance (sklearn.mixture.GaussianMixture fits that)."
        )
