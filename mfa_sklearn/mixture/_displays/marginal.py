"""The density of one or two columns of a mixture, as it is or given the values of others, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp, softmax
from scipy.stats import norm

from ..._base.words import shortened

# Rows to evaluate at once, by the bytes of their deviations from all means.
_BLOCK_BYTES = 2**25
# Draws that levels are read off: what a region holds is right to 0.4 % of the mass.
_DRAWS = 50_000


class GaussianMixtureDensity(NamedTuple):
    """A mixture of Gaussians in a few columns."""

    log_weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, d)
    covariances: np.ndarray  # (K, d, d)

    def log_joint(self, points: np.ndarray) -> np.ndarray:
        """``log w_k + log N(x | k)`` of points (n, d), (n, K)."""
        roots = np.linalg.cholesky(self.covariances)
        deviations = np.moveaxis(points[:, None, :] - self.means, 0, -1)  # (K, d, n)
        whitened = np.linalg.solve(roots, deviations)
        log_det = 2 * np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(1)
        constant = self.log_weights - 0.5 * (log_det + self.means.shape[1] * np.log(2 * np.pi))
        return (constant[:, None] - 0.5 * (whitened**2).sum(1)).T

    def pdf(self, points: np.ndarray) -> np.ndarray:
        """Density at points (n, d), (n,)."""
        step = max(1, _BLOCK_BYTES // (8 * self.means.size))
        parts = [logsumexp(self.log_joint(points[i : i + step]), axis=1) for i in range(0, len(points), step)]
        return np.exp(np.concatenate(parts))

    def draws(self, n: int) -> np.ndarray:
        """Points drawn from the mixture, always the same, (n, d)."""
        random = np.random.RandomState(0)
        components = random.choice(len(self.log_weights), n, p=softmax(self.log_weights))
        normal = random.standard_normal((n, self.means.shape[1], 1))
        return self.means[components] + (np.linalg.cholesky(self.covariances)[components] @ normal)[:, :, 0]

    def places(self, column: int, step: float, n_most: int = 12) -> np.ndarray:
        """Where to look at one column for the heaviest components that are so narrow that even steps miss them."""
        deviations = np.sqrt(self.covariances[:, column, column])
        heaviest = np.argsort(-self.log_weights, kind="stable")[:n_most]
        narrow = heaviest[(deviations[heaviest] < 4 * step) & (self.log_weights[heaviest] > np.log(1e-3))]
        return (self.means[narrow, column] + deviations[narrow] * np.linspace(-4, 4, 17)[:, None]).ravel()

    def bounds(self, column: int, mass: float = 0.999) -> tuple[float, float]:
        """Where all components that matter have nearly all of one column."""
        heavy = self.log_weights > self.log_weights.max() - np.log(1000)
        reach = norm.ppf((1 + mass) / 2) * np.sqrt(self.covariances[heavy, column, column])
        middle = self.means[heavy, column]
        return float((middle - reach).min()), float((middle + reach).max())


def marginal(mfa: Any, columns: Sequence[int], given: Mapping[int, float] | None = None) -> GaussianMixtureDensity:
    """The mixture of some columns, given values of others if there are any.

    With S the columns, ``p(x_S) = sum_k w_k N(mu_kS, W_kS W_kS^T + Psi_kS)``; given others, weights, means and loadings
    are those of `MFA.condition`.
    """
    columns = list(columns)
    if given:
        row = np.full((1, mfa.n_features_in_), np.nan)
        row[0, list(given)] = list(given.values())
        found = mfa.condition(named_like(mfa, row))
        places = [int(np.flatnonzero(found.columns == column)[0]) for column in columns]
        log_weights, means, loadings = found.log_weights[0], found.means[0][:, places], found.loadings[:, places]
        noise = found.noise_variance[..., places]
    else:
        with np.errstate(divide="ignore"):
            log_weights = np.log(mfa.weights_)
        means, loadings, noise = mfa.means_[:, columns], mfa.loadings_[:, columns], mfa.noise_variance_[..., columns]
    noise = np.broadcast_to(noise, means.shape)
    covariances = loadings @ np.swapaxes(loadings, 1, 2) + noise[:, :, None] * np.eye(len(columns))
    return GaussianMixtureDensity(log_weights, means, covariances)


def named_like(mfa: Any, rows: np.ndarray) -> Any:
    """Rows with the names of features that the mixture was fitted with, if it was."""
    names = getattr(mfa, "feature_names_in_", None)
    if names is None:
        return rows
    from ..._base.checks import import_optional

    return import_optional("pandas", "DensityDisplay").DataFrame(rows, columns=names)


def column_number(mfa: Any, feature: Any) -> int:
    """The number of a column, named by its number or by its name.

    Raises
    ------
    ValueError
        If there is none.
    """
    n_features, names = mfa.n_features_in_, list(getattr(mfa, "feature_names_in_", []))
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    if isinstance(feature, Integral) and not isinstance(feature, bool) and int(feature) in range(n_features):
        return int(feature)
    known = f"the columns are {shortened(names, 200)}, or 0 to" if names else "columns have numbers from 0 to"
    raise ValueError(f"{feature!r} is no column of this mixture: {known} {n_features - 1}")


def highest_density_levels(density: GaussianMixtureDensity, shares: Sequence[float]) -> list[float]:
    """Levels above which the density has given shares of its mass: quantiles of the density at draws from it.

    (Hyndman, The American Statistician 50, 1996.) No grid is asked, so that components of any width count alike.
    """
    return np.quantile(density.pdf(density.draws(_DRAWS)), 1 - np.asarray(shares)).tolist()
