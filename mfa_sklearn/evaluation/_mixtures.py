"""Estimators with regions as candidates: mixtures of factor analyzers, of Gaussians, and centers."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from sklearn.metrics.pairwise import euclidean_distances

from .._base.isolation import isolated
from ..mixture._fitted import Evaluation
from ._candidate import Candidate, Sizes, by_pieces, code_length, quantization_variance

if TYPE_CHECKING:
    from ._candidate import Rows, Table


class FactorMixture(Candidate):
    """A fitted `MFA`: local coordinates are the posterior means of the factors of a row's component."""

    def regions(self, X: Rows) -> np.ndarray:
        """The most probable component."""
        return self.estimator.predict(X)

    def coordinates(self, X: Rows) -> np.ndarray | None:
        """``E[z | x, k]`` of the most probable component k; None without factors."""
        return self.estimator.posterior_mean(X) if self.estimator.loadings_.shape[2] else None

    @isolated
    def codes(self, X: Rows) -> Table:
        """Responsibilities, and factor scores weighted by them: `MFA.transform`, whatever output was set."""
        return self.estimator._code(Evaluation(self.estimator, X))

    def detectors(self, X: Rows) -> np.ndarray | None:
        """Log odds of each component's posterior."""
        if len(self.estimator.weights_) == 1:
            return None
        parts = self.estimator.iter_log_joint(X)
        return np.concatenate([log_odds(joint).astype(joint.dtype) for _, joint in parts])

    def reconstruct(self, X: Rows) -> np.ndarray:
        """Posterior mean of ``mu_k + W_k z``."""
        return self.estimator.reconstruct(X)

    def bits(self, X: Rows, resolution: float) -> np.ndarray:
        """By the mixture's own density; see `description_length`."""
        rounded = copy.copy(self.estimator)
        rounded.noise_variance_ = self.estimator.noise_variance_ + quantization_variance(resolution)
        return code_length(rounded.score_samples(X), self.estimator.means_.shape[1], resolution)

    @property
    def sizes(self) -> Sizes:
        """Active: the number of the component and its factor scores."""
        n_components, _, n_factors = self.estimator.loadings_.shape
        return Sizes(n_components, 1 + n_factors, self.estimator._n_parameters())


class GaussianComponents(Candidate):
    """A fitted Gaussian mixture of scikit-learn, plain or Bayesian (at its point estimates)."""

    def __init__(self, estimator: Any) -> None:
        super().__init__(estimator)
        self._covariances = np.asarray(estimator.covariances_)
        if estimator.covariance_type == "spherical":
            self._covariances = self._covariances[:, None]
        if estimator.covariance_type == "tied":
            self._covariances = self._covariances[None]

    def regions(self, X: Rows) -> np.ndarray:
        """The most probable component."""
        return by_pieces(self.estimator.predict, X)

    def codes(self, X: Rows) -> np.ndarray:
        """Responsibilities."""
        return by_pieces(self.estimator.predict_proba, X)

    def detectors(self, X: Rows) -> np.ndarray | None:
        """Log odds of each component's posterior."""
        if len(self.estimator.weights_) == 1:
            return None
        return by_pieces(lambda part: log_odds(self._log_joint(part)), X)

    def reconstruct(self, X: Rows) -> np.ndarray:
        """Posterior mean of the component's mean."""
        return by_pieces(lambda part: self.estimator.predict_proba(part) @ self.estimator.means_, X)

    def bits(self, X: Rows, resolution: float) -> np.ndarray:
        """By the mixture's own density; see `description_length`."""
        added = quantization_variance(resolution)
        log_prob = by_pieces(lambda part: logsumexp(self._log_joint(part, added), axis=1), X)
        return code_length(log_prob, self.estimator.means_.shape[1], resolution)

    def _log_joint(self, X: Any, added: float = 0.0) -> np.ndarray:
        """``log w_k + log N(x; mu_k, S_k + added I)``, (n, K)."""
        X = np.asarray(X, dtype=np.float64)
        out = np.empty((len(X), len(self.estimator.weights_)))
        noise = added * (np.eye(X.shape[1]) if self._covariances.ndim == 3 else 1.0)
        with np.errstate(divide="ignore"):  # a component without rows
            log_weights = np.log(self.estimator.weights_)
        for k, mean in enumerate(self.estimator.means_):
            covariance = self._covariances[k % len(self._covariances)]
            out[:, k] = log_weights[k] + log_gaussian(X - mean, covariance + noise)
        return out

    @property
    def sizes(self) -> Sizes:
        """Active: the number of the component."""
        n_components, n_features = self.estimator.means_.shape
        matrix = self._covariances.ndim == 3
        each = n_features * (n_features + 1) // 2 if matrix else self._covariances.shape[1]
        covariances = len(self._covariances) * each
        return Sizes(n_components, 1, n_components * n_features + covariances + n_components - 1)


class Centers(Candidate):
    """Clusters by the nearest of ``cluster_centers_``, such as k-means.

    Its density is the mixture of spherical Gaussians at the centers with one variance and the clusters' shares, which
    k-means is the limit of: ``s^2 = sum_i min_k |x_i - c_k|^2 / (n D)`` and ``w_k = n_k / n`` over the training rows.
    """

    def __init__(self, estimator: Any, train: Rows | None = None) -> None:
        super().__init__(estimator)
        self._centers = np.asarray(estimator.cluster_centers_, dtype=np.float64)
        self._train = train
        self._spread: tuple[np.ndarray, float] | None = None

    def regions(self, X: Rows) -> np.ndarray:
        """The cluster that the estimator predicts."""
        return by_pieces(self.estimator.predict, X).astype(np.int64)

    def codes(self, X: Rows) -> Table:
        """One column per cluster, one where the row is in it."""
        return one_hot(self.regions(X), len(self._centers))

    def detectors(self, X: Rows) -> np.ndarray | None:
        """Margins by which a center is nearer than all others, ``min_(j != k) |x - c_j|^2 - |x - c_k|^2``."""
        if len(self._centers) == 1:
            return None
        return by_pieces(lambda part: _least_of_others(self._squares(part)) - self._squares(part), X)

    def reconstruct(self, X: Rows) -> np.ndarray:
        """The center of the row's cluster."""
        return self._centers[self.regions(X)]

    def bits(self, X: Rows, resolution: float) -> np.ndarray:
        """By the mixture of spherical Gaussians that goes with k-means; see `description_length`.

        Raises
        ------
        ValueError
            If there were no training rows to take the variance and the shares from.
        """
        weights, variance = self._spherical()
        variance += quantization_variance(resolution)
        n_features = self._centers.shape[1]
        constant = np.log(weights) - n_features / 2 * np.log(2 * np.pi * variance)
        log_prob = by_pieces(lambda part: logsumexp(constant - self._squares(part) / (2 * variance), axis=1), X)
        return code_length(log_prob, n_features, resolution)

    def _squares(self, X: Any) -> np.ndarray:
        return euclidean_distances(np.asarray(X, dtype=np.float64), self._centers, squared=True)

    def _spherical(self) -> tuple[np.ndarray, float]:
        """Shares (K,) of the training rows, each at least that of half a row, and the variance within clusters."""
        if self._train is None:
            raise ValueError(
                f"the code length of {type(self.estimator).__name__} needs the spread of its training rows: make the "
                "candidate with them, as_candidate(estimator, X_train)"
            )
        if self._spread is None:
            nearest = by_pieces(lambda part: _nearest(self._squares(part)), self._train)
            counts = np.bincount(nearest[:, 0].astype(np.int64), minlength=len(self._centers)) + 0.5
            self._spread = counts / counts.sum(), float(nearest[:, 1].mean() / self._centers.shape[1])
        return self._spread

    @property
    def sizes(self) -> Sizes:
        """Active: the number of the cluster. Parameters: the centers, their shares and the variance."""
        n_clusters, n_features = self._centers.shape
        return Sizes(n_clusters, 1, n_clusters * n_features + n_clusters)


def log_odds(log_joint: np.ndarray) -> np.ndarray:
    """``log p(k | x) - log(1 - p(k | x))`` for every component, (n, K), from joint log densities (n, K) with K > 1.

    The probability of the others is summed in log space, so that odds do not end where a posterior rounds to one.
    """
    joint = np.asarray(log_joint, dtype=np.float64)
    rows, best = np.arange(len(joint)), joint.argmax(1)
    own = joint[rows, best]
    rest = joint.copy()
    rest[rows, best] = -np.inf
    of_others = logsumexp(rest, axis=1)
    total = np.logaddexp(own, of_others)
    # Of any but the best component the posterior is at most a half.
    odds = joint - (total[:, None] + np.log1p(-np.minimum(np.exp(rest - total[:, None]), 0.5)))
    odds[rows, best] = own - of_others
    return odds


def log_gaussian(deviations: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """``log N(d; 0, S)`` of rows d (n, D), for S as a matrix (D, D) or as variances (D,) or (1,)."""
    n_features = deviations.shape[1]
    if covariance.ndim == 2:
        lower = np.linalg.cholesky(covariance)
        scaled = solve_triangular(lower, deviations.T, lower=True).T
        log_determinant = 2 * np.log(np.diag(lower)).sum()
    else:
        scaled = deviations / np.sqrt(covariance)
        log_determinant = np.log(np.broadcast_to(covariance, n_features)).sum()
    return -0.5 * (n_features * np.log(2 * np.pi) + log_determinant + np.einsum("nd,nd->n", scaled, scaled))


def one_hot(regions: np.ndarray, n_regions: int) -> Any:
    """A CSR matrix (n, n_regions) with a one in the column of each row's region, and none for -1."""
    rows = np.flatnonzero(regions >= 0)
    place = (rows, regions[rows])
    return sparse.csr_matrix((np.ones(len(rows)), place), shape=(len(regions), n_regions))


def _least_of_others(squares: np.ndarray) -> np.ndarray:
    """The least entry of each row (n, K) among the other columns, (n, K)."""
    nearest = squares.argmin(1)
    first, second = np.partition(squares, 1, axis=1)[:, :2].T
    out = np.broadcast_to(first[:, None], squares.shape).copy()
    out[np.arange(len(squares)), nearest] = second
    return out


def _nearest(squares: np.ndarray) -> np.ndarray:
    """Column and entry of the least of each row, (n, 2)."""
    return np.stack([squares.argmin(1), squares.min(1)], axis=1)
