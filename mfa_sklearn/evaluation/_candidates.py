"""Which candidate a fitted estimator is."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..mixture import KMeansInitializer
from ._candidate import Candidate, Sizes, both_signs, by_pieces
from ._linear import OneGaussian
from ._mixtures import Centers, FactorMixture, GaussianComponents, one_hot
from ._sparse_coder import SparseCode, SparseCoder

if TYPE_CHECKING:
    from ._candidate import Rows, Table


def as_candidate(estimator: Any, X_train: Rows | None = None) -> Candidate:
    """A fitted estimator, seen through what the measures of an evaluation ask for.

    ==============================  ==========  =================  =================  =====================
    estimator                       regions     local coordinates  code               density, for the bits
    ==============================  ==========  =================  =================  =====================
    `MFA`                           components  posterior means    `MFA.transform`    its own
    `GaussianMixture`               components                     responsibilities   its own
    what has ``cluster_centers_``   clusters                       one per cluster    spherical Gaussians
    `PCA`, `FactorAnalysis`         (one)       `transform`        `transform`        its own
    `SparseCoder`                                                  `transform`        (a two-part code)
    anything else                   `predict`                      `transform`
    ==============================  ==========  =================  =================  =====================

    Parameters
    ----------
    estimator : estimator
        Fitted. Of a search the best estimator is meant, of a pipeline the last step where those before it hand rows on
        as they are, as `KMeansInitializer` does. A candidate is given back as it is.
    X_train : array-like of shape (n_samples, n_features), optional
        The rows it was fitted on, for what it does not remember of them: the spread of clusters, how often a code's
        columns are active.

    Returns
    -------
    Candidate

    Raises
    ------
    TypeError
        If it has neither `predict` nor `transform`.
    sklearn.exceptions.NotFittedError

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_wine
    >>> from mfa_sklearn.evaluation import as_candidate
    >>> X, _ = load_wine(return_X_y=True)
    >>> kmeans = as_candidate(KMeans(3, random_state=0).fit(X), X)
    >>> kmeans.regions(X).shape, kmeans.coordinates(X), kmeans.detectors(X).shape
    ((178,), None, (178, 3))
    >>> kmeans.sizes
    Sizes(regions=3, active=1, parameters=42)
    """
    if isinstance(estimator, Candidate):
        return estimator
    if isinstance(estimator, type) or not any(hasattr(estimator, name) for name in ("predict", "transform")):
        raise TypeError(
            f"{estimator!r} is no fitted estimator with predict or transform; functions to a code and back become one "
            "by SparseCoder(encode, decode)"
        )
    check_is_fitted(estimator)
    estimator = _within(estimator)
    if hasattr(estimator, "iter_log_joint"):
        return FactorMixture(estimator)
    if hasattr(estimator, "covariance_type"):
        return GaussianComponents(estimator)
    if getattr(estimator, "cluster_centers_", None) is not None:
        return Centers(estimator, X_train)
    if isinstance(estimator, SparseCoder):
        return SparseCode(estimator, X_train)
    if hasattr(estimator, "get_covariance") and hasattr(estimator, "components_"):
        return OneGaussian(estimator)
    return AnyEstimator(estimator, X_train)


def _within(estimator: Any) -> Any:
    """The best estimator of a search; the last step of a pipeline whose other steps hand rows on as they are."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline):
        return estimator
    *before, last = (step for _, step in estimator.steps)
    as_they_are = all(step in (None, "passthrough") or isinstance(step, KMeansInitializer) for step in before)
    return _within(last) if as_they_are else estimator


class AnyEstimator(Candidate):
    """What has `predict` or `transform`, and nothing else that is known of it."""

    def __init__(self, estimator: Any, train: Rows | None = None) -> None:
        super().__init__(estimator)
        self._train = train

    @property
    def _predicts(self) -> bool:
        return hasattr(self.estimator, "predict") and not is_regressor(self.estimator)

    @cached_property
    def _labels(self) -> np.ndarray:
        """What `predict` may give, ascending; a negative number is no region."""
        given = getattr(self.estimator, "classes_", getattr(self.estimator, "labels_", None))
        if given is None and self._train is not None:
            given = by_pieces(self.estimator.predict, self._train)
        if given is None:
            raise ValueError(
                f"which regions {type(self.estimator).__name__} has cannot be told: make the candidate with its "
                "training rows, as_candidate(estimator, X_train)"
            )
        found = np.unique(given)
        return found[found >= 0] if found.dtype.kind in "if" else found

    def regions(self, X: Rows) -> np.ndarray | None:
        """The number of the predicted label among all labels; -1 for one that the training rows have not."""
        if not self._predicts:
            return None
        predicted, labels = by_pieces(self.estimator.predict, X), self._labels
        place = np.minimum(np.searchsorted(labels, predicted), len(labels) - 1)
        return np.where(labels[place] == predicted, place, -1).astype(np.int64)

    def codes(self, X: Rows) -> Table | None:
        """What `transform` gives, else `predict_proba`, else one column per region."""
        for name in ("transform", "predict_proba"):
            if hasattr(self.estimator, name):
                return by_pieces(getattr(self.estimator, name), X)
        regions = self.regions(X)
        return None if regions is None else one_hot(regions, len(self._labels))

    def detectors(self, X: Rows) -> Table | None:
        """The code; of `transform` each column in both directions."""
        codes = self.codes(X)
        return both_signs(codes) if hasattr(self.estimator, "transform") else codes

    def reconstruct(self, X: Rows) -> np.ndarray | None:
        """What `inverse_transform` makes of `transform`."""
        if not (hasattr(self.estimator, "transform") and hasattr(self.estimator, "inverse_transform")):
            return None
        return by_pieces(lambda part: self.estimator.inverse_transform(self.estimator.transform(part)), X)

    @property
    def sizes(self) -> Sizes:
        """The number of regions."""
        return Sizes(len(self._labels) if self._predicts else None)
