"""The base of the estimator `MFA`: densities, assignments to components, draws and criteria of a fitted mixture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._base.checks import check_component, check_count
from .._base.devices import resolve_device, to_numpy, working_dtype
from .._base.isolation import isolated
from .._base.sklearn_private import as_output
from ._model.density import Density, prepare
from ._model.lowrank import factorize
from ._model.pairs import Pairs, Search, best_components, chunk_rows, exact_log_joint, posterior_pairs
from ._model.params import MFAParams, Structure, mixture_moments, n_parameters, to_params
from ._model.params import sample as draw
from ._model.prior import n_effective
from ._model.screen import best_search
from ._rows import Batches, Conditioner, check_within_reach, conditioner_for, reach
from ._validation import check_rows, check_weights, factor_counts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from .._base.annotated import RowSource

# Squares, in units of the noise, of a mean or of factors whose rounding in single precision is a hundredth of a nat.
_LONG = 2.0**30


class Evaluation:
    """A prepared mixture and the batches of rows to evaluate it on."""

    def __init__(
        self, estimator: FittedMixture, X: ArrayLike | Tensor | RowSource, sample_weight: ArrayLike | None = None
    ) -> None:
        """Of the rows of `X`, but for those of weight zero."""
        check_is_fitted(estimator)
        self.rows = rows = check_rows(estimator, X, reset=False)
        self.weights = check_weights(sample_weight, rows)
        device = resolve_device(estimator.device)
        params = estimator._params(device)
        dtype = working_dtype(estimator.dtype, rows)
        self.out_dtype = np.float32 if dtype == torch.float32 else np.float64
        self.conditioner: Conditioner = conditioner_for(*mixture_moments(params), estimator._structure.isotropic_noise)
        inner = self.conditioner.inward(params)
        density = prepare(inner, dtype)
        # Where a component is too long for its rows' digits, the rows are taken as they are and evaluated in double.
        self.dtype = torch.float64 if density.largest_square > _LONG else dtype
        self.density: Density = density if self.dtype == dtype else prepare(inner)
        self._reach = reach(inner.noise_variance, self.dtype)
        self._search: Search | None = None  # chosen for the first batch's rows
        self._batches = Batches(rows, self.conditioner, self.dtype, device, places=self.weights.places)
        self.n_rows = self._batches.n_rows

    def batches(self, small: bool = False) -> Iterator[tuple[slice, torch.Tensor]]:
        """Conditioned rows, batch by batch; small ones where something of size n x K is made of each."""
        step = chunk_rows(self.density, self.dtype.itemsize) if small else self._batches.batch_rows
        for rows, X, _ in self._batches:
            check_within_reach(X, self._reach, self._batches.numbers(rows))
            for start in range(0, len(X), step):
                stop = min(start + step, len(X))
                yield slice(rows.start + start, rows.start + stop), X[start:stop]

    def posterior(self, X: torch.Tensor) -> tuple[Pairs, torch.Tensor, torch.Tensor]:
        """The pairs of the rows of a batch, their responsibilities and the rows' log densities."""
        if self._search is None:
            self._search = best_search(self.density, X, self.n_rows)
        return posterior_pairs(self.density, X, search=self._search)

    def log_prob(self) -> np.ndarray:
        """Log densities of the original rows, (n_rows,)."""
        out = np.empty(self.n_rows, dtype=self.out_dtype)
        for rows, batch in self.batches():
            out[rows] = to_numpy(self.posterior(batch)[2].double() - self.conditioner.log_scale(batch))
        return out


class FittedMixture:
    """Parameters of a fitted mixture, and its densities, assignments, draws and information criteria."""

    weights_: np.ndarray
    means_: np.ndarray
    loadings_: np.ndarray
    noise_variance_: np.ndarray
    device: Any
    dtype: Any
    random_state: Any
    noise: str
    noise_form: str
    n_factors: Any
    loading_type: str

    @property
    def _structure(self) -> Structure:
        return Structure(self.loading_type == "common", self.noise == "shared", self.noise_form == "isotropic")

    def _params(self, device: torch.device | str = "cpu") -> MFAParams:
        return to_params(self.weights_, self.means_, self.loadings_, self.noise_variance_).to(device=device)

    @isolated
    def iter_log_joint(self, X: ArrayLike | Tensor | RowSource) -> Iterator[tuple[slice, np.ndarray]]:
        """Log joint densities ``log w_k + log N(x | k)``, chunk after chunk.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Yields
        ------
        rows : slice
            The rows of `X` that the chunk is of.
        log_joint : ndarray of shape (n_rows, n_components)
        """
        evaluation = Evaluation(self, X)
        for rows, chunk in evaluation.batches(small=True):
            joint = exact_log_joint(evaluation.density, chunk)
            yield rows, to_numpy(joint - evaluation.conditioner.log_scale(chunk)[:, None].to(joint))

    @isolated
    def iter_pairs(
        self, X: ArrayLike | Tensor | RowSource
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        """The pairs of a row and a component whose responsibility is more than rounding, batch after batch.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Yields
        ------
        rows : slice
            The rows of `X` that the batch is of.
        numbers : ndarray of shape (P,)
            The row of each pair, counted from the batch's first, ascending. Every row has a pair.
        components : ndarray of shape (P,)
            Their components, ascending for each row.
        log_joint : ndarray of shape (P,)
            Log joint densities ``log w_k + log N(x | k)``.
        """
        evaluation = Evaluation(self, X)
        for rows, batch in evaluation.batches():
            pairs = evaluation.posterior(batch)[0]
            numbers, order = pairs.rows.sort(stable=True)
            joint = pairs.log_joint[order] - evaluation.conditioner.log_scale(batch).to(pairs.log_joint)[numbers]
            yield rows, to_numpy(numbers), to_numpy(pairs.components[order]), to_numpy(joint)

    @isolated
    def score_samples(self, X: ArrayLike | Tensor | RowSource) -> np.ndarray:
        """Log density of each row, in nats.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_prob : ndarray of shape (n_samples,)
        """
        return Evaluation(self, X).log_prob()

    @isolated
    def score(
        self, X: ArrayLike | Tensor | RowSource, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Mean log-likelihood per row, in nats; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored
        sample_weight : array-like of shape (n_samples,), optional
        """
        evaluation = Evaluation(self, X, sample_weight)
        return float(np.average(evaluation.log_prob().astype(np.float64), weights=evaluation.weights.values))

    @isolated
    def predict_proba(self, X: ArrayLike | Tensor | RowSource) -> np.ndarray:
        """Posterior probability of each component, the responsibilities.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_components)
            Rows sum to one.
        """
        evaluation = Evaluation(self, X)
        out = np.empty((evaluation.n_rows, len(self.weights_)), dtype=evaluation.out_dtype)
        for rows, chunk in evaluation.batches(small=True):
            out[rows] = to_numpy(exact_log_joint(evaluation.density, chunk).softmax(1))
        return out

    @isolated
    def predict(self, X: ArrayLike | Tensor | RowSource) -> np.ndarray:
        """The most probable component of each row; the first of equals.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        evaluation = Evaluation(self, X)
        out = np.empty(evaluation.n_rows, dtype=np.int64)
        for rows, batch in evaluation.batches():
            out[rows] = to_numpy(best_components(evaluation.posterior(batch)[0], len(batch)))
        return out

    @isolated
    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the mixture; reproducible under `random_state`.

        Parameters
        ----------
        n_samples : int

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Grouped by component. A data frame after ``set_output(transform="pandas")``, as from `impute`.
        y : ndarray of shape (n_samples,)
            The component of each row.
        """
        check_is_fitted(self)
        n_samples = check_count("n_samples", n_samples)
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        X, components = draw(self._params(), n_samples, torch.Generator().manual_seed(int(seed)))
        rows = to_numpy(X)
        return as_output(self, rows, rows), to_numpy(components)

    def _n_parameters(self) -> int:
        n_components, n_features, n_factors = self.loadings_.shape
        ranks = n_factors if np.ndim(self.n_factors) == 0 else factor_counts(self.n_factors, n_components)
        return n_parameters(self._structure, n_components, n_features, ranks)

    def _n_tied(self, n_rows: float) -> float:
        """How many of the noise variances the prior takes away, on so many rows."""
        rows = getattr(self, "noise_prior_", 0.0)
        if self.noise == "shared" or not rows:
            return 0.0
        free = n_effective(rows, torch.as_tensor(self.weights_) * n_rows)
        return (len(self.weights_) - free) * (1 if self.noise_form == "isotropic" else self.means_.shape[1])

    def aic(self, X: ArrayLike | Tensor | RowSource) -> float:
        """Akaike's information criterion, ``-2 log L + 2 p``; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        float
        """
        return self._criteria(X)["aic"]

    def bic(self, X: ArrayLike | Tensor | RowSource) -> float:
        """Bayesian information criterion, ``-2 log L + p log n``; lower is better.

        Of the p parameters, noise variances that a prior ties to the pooled ones count by the share of a component's
        own rows in them, ``n_k / (n_k + noise_prior_)``, and the pooled ones once.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        float
        """
        return self._criteria(X)["bic"]

    def icl(self, X: ArrayLike | Tensor | RowSource) -> float:
        """Integrated completed likelihood: the BIC plus twice the entropy of the responsibilities; lower is better.

        Biernacki, Celeux & Govaert, IEEE Trans. PAMI 22 (2000).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        float
        """
        return self._criteria(X)["icl"]

    @isolated
    def _criteria(self, X: Any, sample_weight: Any = None) -> dict[str, float]:
        """Log-likelihood (a sum over rows, by their weights), AIC, BIC and ICL, in one pass over the rows."""
        evaluation = Evaluation(self, X, sample_weight)
        log_likelihood = entropy = n_rows = 0.0
        for rows, batch in evaluation.batches():
            pairs, responsibility, log_prob = evaluation.posterior(batch)
            weights = evaluation.weights.values
            w = torch.ones(len(batch)) if weights is None else torch.as_tensor(weights[rows])
            w, r = w.to(batch.device, torch.float64), responsibility.double()
            log_likelihood += float(w @ (log_prob.double() - evaluation.conditioner.log_scale(batch)))
            entropy -= float(w[pairs.rows] @ torch.xlogy(r, r))
            n_rows += float(w.sum())
        p = self._n_parameters() - self._n_tied(n_rows)
        bic = -2 * log_likelihood + p * float(np.log(n_rows))
        criteria = {"aic": -2 * log_likelihood + 2 * p, "bic": bic, "icl": bic + 2 * entropy}
        return {"log_likelihood": log_likelihood, **criteria}

    @isolated
    def get_covariance(self, component: int | None = None) -> np.ndarray:
        """Covariance ``W_k W_k^T + Psi_k`` of one component (D, D), or of the whole mixture if none is named."""
        check_is_fitted(self)
        if component is None:
            centered = self.means_ - self.weights_ @ self.means_
            within = sum(w * self.get_covariance(k) for k, w in enumerate(self.weights_))
            return within + (self.weights_[:, None] * centered).T @ centered
        k = check_component(component, len(self.weights_))
        noise = self.noise_variance_ if self.noise_variance_.ndim == 1 else self.noise_variance_[k]
        return self.loadings_[k] @ self.loadings_[k].T + np.diag(noise)

    @isolated
    def get_precision(self, component: int | None = None) -> np.ndarray:
        """Inverse of `get_covariance`; for one component by the Woodbury identity."""
        check_is_fitted(self)
        if component is None:
            return np.linalg.inv(self.get_covariance())
        k = check_component(component, len(self.weights_))
        params = self._params()
        cov = factorize(params.loadings[k : k + 1], params.noise_variance[k % len(params.noise_variance)][None])
        basis = to_numpy(cov.basis[0])
        return np.diag(1 / to_numpy(cov.noise_variance[0])) - basis @ basis.T


def fitted_mixture(estimator: Any) -> Any:
    """The fitted mixture that was handed over, or the best one of a search.

    Raises
    ------
    TypeError
        If it is something else.
    NotFittedError
    """
    if isinstance(estimator, Pipeline):
        raise TypeError("expected a fitted MFA, got a Pipeline; pass its last step, pipe[-1], and the rows it sees")
    if isinstance(estimator, BaseEstimator):
        check_is_fitted(estimator)
    found = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(found, FittedMixture):
        raise TypeError(f"expected a fitted MFA, got {type(estimator).__name__}")
    return found
