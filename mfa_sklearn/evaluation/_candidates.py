"""Which candidate an estimator is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from ._candidate import Candidate
from ._mixtures import Centers, FactorMixture, GaussianComponents

if TYPE_CHECKING:
    from ._candidate import Rows


def as_candidate(estimator: Any, X_train: Rows | None = None) -> Candidate:
    """A fitted estimator seen through what the measures ask for."""
    check_is_fitted(estimator)
    if hasattr(estimator, "iter_log_joint"):
        return FactorMixture(estimator)
    if hasattr(estimator, "covariance_type"):
        return GaussianComponents(estimator)
    if hasattr(estimator, "cluster_centers_"):
        return Centers(estimator, X_train)
    raise NotImplementedError
