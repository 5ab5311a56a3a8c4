"""Methods of `MFA` that give rows other coordinates: factor scores, the sparse code, reconstructions from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted

from .._base.checks import check_component
from .._base.devices import plain_array, to_numpy
from .._base.isolation import isolated
from .._base.mapped import read_rows
from .._base.sklearn_private import as_output, gives_frames
from ._fitted import Evaluation, FittedMixture
from ._model.missing import observe
from ._model.pairs import exact_log_joint, factor_scores

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

    from .._base.annotated import RowSource


def check_frame_holds(estimator: Any, sparse_output: bool) -> None:
    """Refuse sparse codes where the `set_output` of an estimator asks for frames."""
    if sparse_output and gives_frames(estimator):
        raise ValueError(
            "a frame cannot hold the scipy sparse matrix that transform gives: set sparse_output=False for a dense "
            "array, which set_output makes a frame, or set_output(transform='default')"
        )


class CodeMethods(FittedMixture):
    """The code of arXiv 2602.02464: per component its responsibility, and its factor scores weighted by it."""

    sparse_output: bool

    @property
    def dictionary_(self) -> np.ndarray:
        """Rows ``mu_k, W_k[:, 0], ..., W_k[:, q - 1]`` per component, (K (1 + q), D); a code times it reconstructs."""
        check_is_fitted(self)
        stacked = np.concatenate([self.means_[:, None, :], self.loadings_.transpose(0, 2, 1)], axis=1)
        return stacked.reshape(-1, self.means_.shape[1])

    @isolated
    def transform(self, X: ArrayLike | Tensor | RowSource) -> sparse.csr_matrix | np.ndarray:
        """The code of each row: responsibilities, and factor scores weighted by them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        code : CSR matrix (or ndarray if ``sparse_output=False``) of shape (n_samples, n_components * (1 + n_factors))
            A frame of that shape where `set_output` asks for one and ``sparse_output=False``.
            Columns ``r_k, r_k z_k1, ..., r_k z_kq`` for component after component. Components whose responsibility
            is lost in rounding are left out.

        Raises
        ------
        ValueError
            If `set_output` asks for frames, which hold no sparse matrix, and ``sparse_output=True``.
        """
        check_frame_holds(self, self.sparse_output)
        code = self._code(Evaluation(self, X))
        return code if self.sparse_output else code.toarray()

    def _code(self, evaluation: Evaluation) -> sparse.csr_matrix:
        """The code of each row, sparse."""
        width = 1 + self.loadings_.shape[2]
        parts = []
        for _, batch in evaluation.batches():
            pairs, responsibility, _ = evaluation.posterior(batch)
            values = responsibility[:, None] * torch.cat([torch.ones_like(responsibility)[:, None], pairs.scores], 1)
            columns = pairs.components[:, None] * width + torch.arange(width, device=batch.device)
            rows = pairs.rows[:, None].expand_as(columns)
            place = (to_numpy(rows.reshape(-1)), to_numpy(columns.reshape(-1)))
            data = to_numpy(values.reshape(-1), evaluation.out_dtype)
            parts.append(sparse.csr_matrix((data, place), shape=(len(batch), len(self.weights_) * width)))
        return sparse.vstack(parts, format="csr")

    @isolated
    def inverse_transform(self, code: ArrayLike | sparse.spmatrix) -> np.ndarray:
        """Rows from their codes: ``sum_k r_k (mu_k + W_k z_k)``.

        Parameters
        ----------
        code : array-like or sparse matrix of shape (n_samples, n_components * (1 + n_factors))

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        code = check_array(plain_array(code), accept_sparse="csr", dtype=[np.float64, np.float32])
        dictionary = self.dictionary_
        if code.shape[1] != len(dictionary):
            raise ValueError(f"code has {code.shape[1]} columns, but codes of this mixture have {len(dictionary)}")
        return np.asarray(code @ dictionary.astype(code.dtype))

    @isolated
    def reconstruct(self, X: ArrayLike | Tensor | RowSource) -> np.ndarray:
        """Rows as the mixture sees them: the posterior mean of ``mu_k + W_k z``, (n_samples, n_features)."""
        check_is_fitted(self)
        return self.inverse_transform(self._code(Evaluation(self, X)))

    @isolated
    def impute(self, X: ArrayLike | Tensor | RowSource, draw: bool = False) -> np.ndarray:
        """Rows with their missing values (NaN) filled in from what was observed.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        draw : bool, default=False
            Draw the missing values from their joint conditional distribution (reproducible under `random_state`)
            instead of taking their conditional means.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Observed values are those given. A data frame after ``set_output(transform="pandas")``, as from `transform`.

        Examples
        --------
        >>> import numpy as np
        >>> from mfa_sklearn import MFA
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(200, 1)) + [0.0, 5.0, 10.0] + 0.1 * rng.normal(size=(200, 3))
        >>> MFA(n_components=1, n_factors=1).fit(X).impute([[1.0, np.nan, 11.0]]).round(1)
        array([[ 1.,  6., 11.]])
        """
        check_is_fitted(self)
        evaluation = Evaluation(self, X)
        given = to_numpy(read_rows(evaluation.rows, slice(0, evaluation.n_rows), torch.device("cpu")))
        filled = self._drawn(evaluation) if draw else self.inverse_transform(self._code(evaluation))
        complete = np.where(np.isnan(given), filled, given).astype(filled.dtype, copy=False)
        return as_output(self, complete, X)

    def _drawn(self, evaluation: Evaluation) -> np.ndarray:
        """Rows drawn from the distribution of all features given the observed ones' component and factors."""
        density = evaluation.density
        rng = torch.Generator().manual_seed(int(check_random_state(self.random_state).randint(2**31 - 1)))
        out = torch.empty(evaluation.n_rows, self.means_.shape[1], dtype=torch.float64)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=rng, dtype=torch.float64)

        for rows, chunk in evaluation.batches(small=True):
            posterior = exact_log_joint(density, chunk).softmax(1).double().cpu()
            components = torch.multinomial(posterior, 1, generator=rng)[:, 0]
            for k in components.unique().tolist():
                place = (components == k).nonzero()[:, 0]
                o = observe(density, chunk[place.to(chunk.device)], k)
                spread = torch.linalg.cholesky(o.covariance.double().cpu()) @ normal(len(place), o.scores.shape[1], 1)
                z = o.scores.double().cpu() + spread[..., 0]
                noise = density.params.noise_variance[min(k, len(density.params.noise_variance) - 1)].double().cpu()
                mean = density.params.means[k].double().cpu() + z @ density.params.loadings[k].double().cpu().T
                out[rows.start + place] = mean + normal(len(place), len(noise)) * noise.sqrt()
        conditioner = evaluation.conditioner
        return to_numpy(out * conditioner.scale.cpu() + conditioner.center.cpu(), evaluation.out_dtype)

    @isolated
    def posterior_mean(self, X: ArrayLike | Tensor | RowSource, component: int | None = None) -> np.ndarray:
        """Factor scores ``E[z | x, k]`` of rows under one component.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        component : int, optional
            The component k; by default each row's most probable one.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_factors)
        """
        if component is not None:
            check_is_fitted(self)
            component = check_component(component, len(self.weights_))
        evaluation = Evaluation(self, X)
        out = np.empty((evaluation.n_rows, self.loadings_.shape[2]), dtype=evaluation.out_dtype)
        for rows, batch in evaluation.batches():
            if component is not None:
                out[rows] = to_numpy(factor_scores(evaluation.density, batch, component))
                continue
            pairs, responsibility, _ = evaluation.posterior(batch)
            # Ascending responsibility, so that the last one written to a row is its largest.
            order = to_numpy(responsibility.argsort(stable=True))
            scores = np.empty_like(out[rows])
            scores[to_numpy(pairs.rows)[order]] = to_numpy(pairs.scores)[order]
            out[rows] = scores
        return out

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names of the code's columns: ``mfa3`` for a responsibility, ``mfa3_factor0`` for a factor score."""
        check_is_fitted(self)
        n_components, _, n_factors = self.loadings_.shape
        prefix = type(self).__name__.lower()
        names = [
            f"{prefix}{k}" if j == 0 else f"{prefix}{k}_factor{j - 1}"
            for k in range(n_components)
            for j in range(1 + n_factors)
        ]
        return np.asarray(names, dtype=object)
