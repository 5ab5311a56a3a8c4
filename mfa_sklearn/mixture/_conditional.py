"""The mixture of some columns given the others, which is again a mixture of factor analyzers.

With o the observed and u the unobserved columns, and ``M_k = I + W_o^T Psi_o^-1 W_o = L L^T`` of component k,

    p(k | x_o)  proportional to  w_k N(x_o | k)          m = E[z | x_o, k]
    x_u | x_o, k  ~  N(mu_u + W_u m,  W_u M_k^-1 W_u^T + Psi_u)

so the conditional loadings are ``W_u L^-T``: only weights and means differ between rows. Part of the estimator `MFA`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import logsumexp, softmax
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor

from .._base.checks import check_count
from .._base.devices import plain_array, to_numpy, to_tensor
from .._base.isolation import isolated
from .._base.mapped import read_rows
from ._fitted import FittedMixture
from ._model.lowrank import factorize, mahalanobis, posterior, select
from ._model.params import MFAParams
from ._validation import check_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._base.annotated import RowSource


@dataclass(frozen=True, eq=False, repr=False)
class ConditionalMixture:
    """What a mixture says of unobserved columns, row by row of the observed ones.

    Attributes
    ----------
    columns : ndarray of shape (D_u,)
        Indices of the unobserved columns.
    log_weights : ndarray of shape (n_samples, K)
        Logarithms of the responsibilities given the observed columns: of a component that they all but rule out, too.
    scores : ndarray of shape (n_samples, K, q)
        Factor scores ``E[z | x_o, k]``.
    loadings : ndarray of shape (K, D_u, q)
        Conditional loadings, the same for all rows.
    noise_variance : ndarray of shape (D_u,), or (K, D_u) for noise per component
    means : ndarray of shape (n_samples, K, D_u)
        Conditional means, computed when they are asked for.
    """

    columns: np.ndarray
    log_weights: np.ndarray
    scores: np.ndarray
    loadings: np.ndarray
    noise_variance: np.ndarray
    _prior_means: np.ndarray  # (K, D_u)
    _prior_loadings: np.ndarray  # (K, D_u, q)

    @property
    def weights(self) -> np.ndarray:
        """Responsibilities given the observed columns, (n_samples, K), which sum to one. Below e^-745 they are zero."""
        return softmax(self.log_weights, axis=1)

    @property
    def means(self) -> np.ndarray:
        """Conditional mean of each component in each row, (n_samples, K, D_u)."""
        return self._prior_means + np.einsum("kdq,nkq->nkd", self._prior_loadings, self.scores, optimize=True)

    def mean(self) -> np.ndarray:
        """Conditional mean of the unobserved columns, (n_samples, D_u)."""
        weights = self.weights
        weighted = weights[:, :, None] * self.scores
        return weights @ self._prior_means + np.tensordot(weighted, self._prior_loadings, ([1, 2], [0, 2]))

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Draws of the unobserved columns.

        Parameters
        ----------
        n_samples : int
            Draws per row.
        random_state : int, RandomState or None

        Returns
        -------
        X : ndarray of shape (n, n_samples, D_u)
        """
        n_samples = check_count("n_samples", n_samples)
        rng = check_random_state(random_state)
        n_rows, (n_components, n_columns, n_factors) = len(self.log_weights), self.loadings.shape
        thresholds = self.weights.cumsum(1)
        uniform = rng.uniform(size=(n_rows, n_samples, 1)) * thresholds[:, None, -1:]
        components = (uniform >= thresholds[:, None, :]).sum(2)
        z = rng.standard_normal((n_rows, n_samples, n_factors))
        X = rng.standard_normal((n_rows, n_samples, n_columns))
        deviation = np.sqrt(np.broadcast_to(self.noise_variance, (n_components, n_columns)))
        for k in np.unique(components):
            rows, draws = (components == k).nonzero()
            mean = self._prior_means[k] + self.scores[rows, k] @ self._prior_loadings[k].T
            X[rows, draws] = mean + z[rows, draws] @ self.loadings[k].T + X[rows, draws] * deviation[k]
        return X

    @isolated
    def log_prob(self, X: ArrayLike | Tensor | RowSource) -> np.ndarray:
        """Conditional log density of values for the unobserved columns, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, D_u)
            One row of values for each row that was conditioned on, in the order of `columns`.

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
        """
        values = check_array(plain_array(X), dtype=np.float64)
        expected = (len(self.log_weights), len(self.columns))
        if values.shape != expected:
            raise ValueError(f"X has shape {values.shape}, but there are {expected[0]} rows and {expected[1]} columns")
        joint = np.empty_like(self.log_weights)
        noise = np.atleast_2d(self.noise_variance)
        cov = factorize(to_tensor(self.loadings), to_tensor(noise))
        for k in range(joint.shape[1]):
            mean = self._prior_means[k] + self.scores[:, k] @ self._prior_loadings[k].T
            distance = mahalanobis(select(cov, k), torch.from_numpy(values - mean)[None])[0]
            joint[:, k] = -0.5 * (distance + cov.log_det[k] + expected[1] * math.log(2 * math.pi)).numpy()
        return logsumexp(joint + self.log_weights, axis=1)

    def __repr__(self) -> str:
        n_rows, n_components = self.log_weights.shape
        return f"ConditionalMixture({n_rows} rows, {n_components} components, columns={self.columns.tolist()})"


class ConditionalMethods(FittedMixture):
    """Conditioning on some columns of a fitted mixture."""

    @isolated
    def condition(self, X: ArrayLike | Tensor | RowSource) -> ConditionalMixture:
        """The mixture of the unobserved columns given the observed ones, exactly.

        Computed in double precision.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            NaN marks what is not observed: the same columns in every row.

        Returns
        -------
        ConditionalMixture
            Its `weights` (and `log_weights`), `means`, `loadings` and `noise_variance` describe the unobserved
            `columns`; `mean`, `sample` and `log_prob` answer for each row.

        Raises
        ------
        ValueError
            If no column is missing, rows miss different columns, or a value is infinite or its square is.

        Examples
        --------
        >>> import numpy as np
        >>> from mfa_sklearn import MFA
        >>> mfa = MFA.from_params([0.5, 0.5], [[0.0, 0.0], [9.0, -9.0]], [[[1.0], [1.0]]] * 2, [1.0, 1.0])
        >>> conditional = mfa.condition([[1.0, np.nan], [9.0, np.nan]])
        >>> conditional.mean().round(3)
        array([[ 0.5], [-9. ]])
        >>> row = MFA.from_params(
        ...     conditional.weights[0], conditional.means[0], conditional.loadings, conditional.noise_variance
        ... )
        >>> row.get_covariance(0).round(3)
        array([[1.5]])
        """
        check_is_fitted(self)
        rows = read_rows(check_rows(self, X, reset=False), slice(None), torch.device("cpu")).double()
        unobserved = _pattern(rows)
        params: MFAParams = self._params()
        observed = _columns(params, ~unobserved)
        rest = _columns(params, unobserved)
        joint, scores, whitener = _given(observed, rows[:, ~unobserved])
        lost = (~joint.amax(1).isfinite()).nonzero()[:, 0].tolist()
        if lost:
            raise ValueError(f"row {lost[0]} of X is so far from the mixture that squared distances overflow; drop it")
        return ConditionalMixture(
            columns=to_numpy(unobserved.nonzero()[:, 0]),
            log_weights=to_numpy(joint.log_softmax(1)),
            scores=to_numpy(scores),
            loadings=to_numpy(rest.loadings @ whitener.mT),
            noise_variance=self.noise_variance_[..., to_numpy(unobserved)],
            _prior_means=to_numpy(rest.means),
            _prior_loadings=to_numpy(rest.loadings),
        )


def _pattern(rows: Tensor) -> Tensor:
    """Which columns are unobserved, (D,)."""
    missing = rows.isnan()
    if torch.isinf(rows).any():
        row, column = torch.isinf(rows).nonzero()[0].tolist()
        raise ValueError(f"Input X contains infinity (first at row {row}, column {column}).")
    other = (missing != missing[0]).any(1).nonzero()[:, 0].tolist()
    if other:
        raise ValueError(
            f"row {other[0]} misses other columns than row 0; condition on the rows of each pattern separately"
        )
    if not missing.any():
        raise ValueError(
            "X holds no NaN, so there is no column to predict; put NaN in the columns that are not observed"
        )
    return missing[0]


def _columns(params: MFAParams, chosen: Tensor) -> MFAParams:
    """The marginal mixture of some columns."""
    return params._replace(
        means=params.means[:, chosen],
        loadings=params.loadings[:, chosen],
        noise_variance=params.noise_variance[:, chosen],
    )


def _given(params: MFAParams, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log joint densities (n, K) up to a constant, factor scores (n, K, q), and ``L^-1`` (K, q, q)."""
    n_components, _, n_factors = params.loadings.shape
    cov = factorize(params.loadings, params.noise_variance)
    joint = X.new_empty(len(X), n_components)
    scores = X.new_empty(len(X), n_components, n_factors)
    for k in range(n_components):
        one, deviations = select(cov, k), (X - params.means[k])[None]
        scores[:, k] = posterior(one, deviations)[0][0]
        joint[:, k] = params.log_weights[k] - 0.5 * (mahalanobis(one, deviations)[0] + cov.log_det[k])
    return joint, scores, cov.whitener
