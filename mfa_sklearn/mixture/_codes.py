"""What a fitted mixture makes of rows: factor scores, the sparse code, reconstructions. Part of the estimator `MFA`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.validation import check_array, check_is_fitted

from ._arrays import to_numpy
from ._density import Evaluation
from ._posterior import posterior_pairs, residuals
from ._validation import check_component


class CodeMethods:
    """The code of arXiv 2602.02464: per component its responsibility, and its factor scores weighted by it."""

    weights_: np.ndarray
    means_: np.ndarray
    loadings_: np.ndarray
    sparse_output: bool

    @property
    def dictionary_(self) -> np.ndarray:
        """Rows ``mu_k, W_k[:, 0], ..., W_k[:, q - 1]`` per component, (K (1 + q), D); a code times it reconstructs."""
        check_is_fitted(self)
        stacked = np.concatenate([self.means_[:, None, :], self.loadings_.transpose(0, 2, 1)], axis=1)
        return stacked.reshape(-1, self.means_.shape[1])

    @torch.no_grad()
    def transform(self, X: Any) -> Any:
        """The code of each row: responsibilities, and factor scores weighted by them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        code : CSR matrix (or ndarray if ``sparse_output=False``) of shape (n_samples, n_components * (1 + n_factors))
            Columns ``r_k, r_k z_k1, ..., r_k z_kq`` for component after component. Components whose responsibility
            is lost in rounding are left out.
        """
        evaluation = Evaluation(self, X)
        width = 1 + self.loadings_.shape[2]
        parts = []
        for _, batch in evaluation.batches():
            pairs, responsibility, _ = posterior_pairs(evaluation.density, batch)
            values = responsibility[:, None] * torch.cat([torch.ones_like(responsibility)[:, None], pairs.scores], 1)
            columns = pairs.components[:, None] * width + torch.arange(width, device=batch.device)
            rows = pairs.rows[:, None].expand_as(columns)
            place = (to_numpy(rows.reshape(-1)), to_numpy(columns.reshape(-1)))
            data = to_numpy(values.reshape(-1), evaluation.out_dtype)
            parts.append(sparse.csr_matrix((data, place), shape=(len(batch), len(self.weights_) * width)))
        code = sparse.vstack(parts, format="csr")
        return code if self.sparse_output else code.toarray()

    def inverse_transform(self, code: Any) -> np.ndarray:
        """Rows from their codes: ``sum_k r_k (mu_k + W_k z_k)``.

        Parameters
        ----------
        code : array-like or sparse matrix of shape (n_samples, n_components * (1 + n_factors))

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        code = check_array(code, accept_sparse="csr", dtype=[np.float64, np.float32])
        dictionary = self.dictionary_
        if code.shape[1] != len(dictionary):
            raise ValueError(f"code has {code.shape[1]} columns, but codes of this mixture have {len(dictionary)}")
        return np.asarray(code @ dictionary.astype(code.dtype))

    def reconstruct(self, X: Any) -> np.ndarray:
        """Rows as the mixture sees them: the posterior mean of ``mu_k + W_k z``, (n_samples, n_features)."""
        check_is_fitted(self)
        return self.inverse_transform(CodeMethods.transform(self, X))

    @torch.no_grad()
    def posterior_mean(self, X: Any, component: int | None = None) -> np.ndarray:
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
                out[rows] = to_numpy(residuals(evaluation.density, batch, component)[0])
                continue
            pairs, responsibility, _ = posterior_pairs(evaluation.density, batch)
            # Ascending responsibility, so that the last one written to a row is its largest.
            order = to_numpy(responsibility.argsort(stable=True))
            scores = np.empty_like(out[rows])
            scores[to_numpy(pairs.rows)[order]] = to_numpy(pairs.scores)[order]
            out[rows] = scores
        return out

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
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
