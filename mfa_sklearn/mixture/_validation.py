"""What a fit or a prediction may be given, checked before work is spent."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data
from torch import Tensor

from .._base.annotated import given_rows, is_row_source
from .._base.origin import warn_other_source
from .._base.sklearn_private import check_n_features, check_sample_weight
from .._base.tables import explained


@explained
def check_rows(estimator: BaseEstimator, X: Any, reset: bool) -> Any:
    """`X` as something with ``shape``, ``dtype`` and rows to read: an array, a memory map, a tensor or a store.

    A path stands for what lies there, a container of tables for its only one. Whether the values are finite is checked
    as they are read, so that a large memory map is not read just for that. Rows that are not fitted on (`reset` is
    False) are to come from where those did that were: if they are known not to, there is a warning.
    """
    X = given_rows(X)
    if not reset:
        warn_other_source(estimator, X)
    if isinstance(X, Tensor) or is_row_source(X):
        if len(X.shape) != 2:
            raise ValueError(f"Expected 2D array, got shape {tuple(X.shape)}; use one row per sample.")
        if X.shape[0] == 0:
            raise ValueError(f"Found array with 0 sample(s) (shape={tuple(X.shape)}) while a minimum of 1 is required.")
        if isinstance(X, Tensor) and X.is_complex():
            raise ValueError("Complex data not supported")
        check_n_features(estimator, X, reset=reset)
        return X
    # skip_check_array would also skip the feature names
    array = np.asarray(validate_data(estimator, X, reset=reset, dtype="numeric", ensure_all_finite=False))
    # torch reads neither foreign byte orders nor extended precision
    native = array.dtype.newbyteorder("=") if array.dtype.itemsize <= 8 else np.dtype(np.float64)
    return array.astype(native, copy=False)


def check_weights(sample_weight: Any, X: Any) -> np.ndarray | None:
    """Weights (n,) in double precision, or None; they must not be negative, nor all zero."""
    if sample_weight is None:
        return None
    weights = check_sample_weight(
        sample_weight, np.broadcast_to(0.0, X.shape), dtype=np.float64, ensure_non_negative=True
    )
    if not weights.sum() > 0:
        raise ValueError("sample_weight is zero for every row; at least one row needs a positive weight.")
    return weights


def factor_counts(n_factors: Any, n_components: int) -> tuple[int, ...]:
    """Factors of each component, from one number or one per component."""
    counts = (int(n_factors),) * n_components if np.ndim(n_factors) == 0 else tuple(int(q) for q in n_factors)
    if len(counts) != n_components:
        raise ValueError(f"n_factors gives {len(counts)} numbers for {n_components} components; give one or one each")
    if min(counts) < 0 or (np.ndim(n_factors) and np.asarray(n_factors).dtype.kind not in "iu"):
        raise ValueError(f"n_factors={n_factors!r} must be whole numbers of at least 0")
    return counts


def check_sizes(n_rows: int, n_features: int, n_components: int, n_factors: int) -> None:
    """Refuse more components than rows, and factors that do not reduce the dimension."""
    if n_components > n_rows:
        raise ValueError(
            f"n_components={n_components} is more than n_samples={n_rows} of positive weight; give more rows or ask "
            "for fewer components."
        )
    if n_factors >= n_features:
        raise ValueError(
            f"n_factors={n_factors} must be below n_features={n_features}; a factor analyzer with as many factors as "
            "features is a full covariance (sklearn.mixture.GaussianMixture fits that)."
        )
