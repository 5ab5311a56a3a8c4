"""One Gaussian of low rank as a candidate: principal components and factor analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._candidate import Candidate, Sizes, both_signs, by_pieces, code_length, quantization_variance
from ._mixtures import log_gaussian

if TYPE_CHECKING:
    from ._candidate import Rows


class OneGaussian(Candidate):
    """A fitted `PCA`, `IncrementalPCA` or `FactorAnalysis`: coordinates in one region, and a density.

    The density is the one of scikit-learn's ``score_samples``, with the covariance that ``get_covariance`` gives; for
    principal components that is probabilistic PCA (Tipping & Bishop, J. R. Stat. Soc. B 61, 1999).
    """

    def coordinates(self, X: Rows) -> np.ndarray:
        """Components or factor scores, as the estimator's `transform` gives them."""
        return by_pieces(self._transform, X)

    def codes(self, X: Rows) -> np.ndarray:
        """The coordinates."""
        return self.coordinates(X)

    def detectors(self, X: Rows) -> np.ndarray:
        """Each coordinate in both directions, (n, 2 q)."""
        return both_signs(self.coordinates(X))

    def reconstruct(self, X: Rows) -> np.ndarray:
        """Rows from their coordinates."""
        if hasattr(self.estimator, "inverse_transform"):
            return by_pieces(lambda part: self.estimator.inverse_transform(self._transform(part)), X)
        mean, components = self.estimator.mean_, self.estimator.components_
        return by_pieces(lambda part: mean + self._transform(part) @ components, X)

    def bits(self, X: Rows, resolution: float) -> np.ndarray:
        """By the estimator's own density; see `description_length`."""
        covariance = np.asarray(self.estimator.get_covariance(), dtype=np.float64)
        covariance[np.diag_indices_from(covariance)] += quantization_variance(resolution)
        mean = self.estimator.mean_
        log_prob = by_pieces(lambda part: log_gaussian(np.asarray(part, np.float64) - mean, covariance), X)
        return code_length(log_prob, len(mean), resolution)

    def _transform(self, part: Any) -> np.ndarray:
        return np.asarray(self.estimator.transform(part))

    @property
    def sizes(self) -> Sizes:
        """Active: the coordinates. Parameters: mean, components, and the variances of what they leave over."""
        n_components, n_features = self.estimator.components_.shape
        noise = np.size(getattr(self.estimator, "noise_variance_", 0))
        # Principal components are of length one, and each has its variance beside it.
        scales = n_components if hasattr(self.estimator, "explained_variance_") else 0
        return Sizes(None, n_components, n_features + n_components * n_features + scales + noise)
