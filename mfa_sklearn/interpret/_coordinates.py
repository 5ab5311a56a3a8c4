"""Where each row lies along the axes of its own component, in the pass that also finds the component."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .._base.checks import check_choice
from .._base.mapped import read_rows
from ._project import AXES, component_axes
from ._scan import Chunk

# Rows of activations to hold in double precision at once.
_BLOCK = 2048


class Axes:
    """The axes of all components, the largest modeled variance first where they are principal.

    Parameters
    ----------
    mfa : fitted MFA
    axes : {"principal", "factors"}
    n_axes : int, optional
        How many of each component are wanted; by default all.
    scale : ndarray of shape (D,), optional
        The unit of each feature in which principal axes and shares are taken, see `project`.

    Attributes
    ----------
    gains : ndarray of shape (K, n_axes, D)
        What makes coordinates of deviations from the mean: the axes' rows of ``M^-1 W^T Psi^-1``, see `project`.
    rotations : ndarray of shape (K, q, n_axes)
        From factor scores to coordinates.
    shares : ndarray of shape (K, n_axes)
        Of the variance that the factors model, ``tr(W W^T)`` in these units; 0 for a component without factors.
    """

    def __init__(
        self, mfa: Any, axes: str = "principal", n_axes: int | None = None, scale: np.ndarray | None = None
    ) -> None:
        check_choice("axes", axes, AXES)
        n_components, n_features, n_factors = np.shape(mfa.loadings_)
        width = n_factors if n_axes is None else min(n_axes, n_factors)
        noise = np.broadcast_to(np.asarray(mfa.noise_variance_, dtype=np.float64), (n_components, n_features))
        self.gains = np.zeros((n_components, width, n_features))
        self.rotations = np.zeros((n_components, n_factors, width))
        self.shares = np.zeros((n_components, width))
        for k, loadings in enumerate(np.asarray(mfa.loadings_, dtype=np.float64) if width else ()):
            rotation, directions = component_axes(loadings, axes, scale)
            scaled = loadings / noise[k][:, None]
            gain = np.linalg.solve(np.eye(n_factors) + loadings.T @ scaled, scaled.T)
            self.rotations[k] = rotation[:, :width]
            self.gains[k] = self.rotations[k].T @ gain
            energy = np.square(directions if scale is None else directions / scale[:, None]).sum(0)
            self.shares[k] = energy[:width] / max(energy.sum(), np.finfo(float).tiny)

    @property
    def n_axes(self) -> int:
        """Of each component."""
        return self.gains.shape[1]


class OwnCoordinates:
    """Accumulates each row's place along the axes of its most probable component.

    Each chunk's rows are read once more while they are near, so that nothing but the places is kept.

    Attributes
    ----------
    coordinates : ndarray of float32 of shape (n, n_axes)
        Posterior means, of prior mean 0 and variance 1; NaN for rows of components that were not asked for.
    complete : ndarray of bool of shape (n,)
        Rows without missing values; True for rows of components that were not asked for.
    """

    dense = False

    def __init__(self, mfa: Any, activations: Any, axes: Axes, wanted: np.ndarray | None = None) -> None:
        self._mfa, self._activations, self._axes = mfa, activations, axes
        self._means = np.asarray(mfa.means_, dtype=np.float64)
        self._wanted = np.ones(len(self._means), dtype=bool) if wanted is None else wanted
        self.coordinates = np.full((len(activations), axes.n_axes), np.nan, dtype=np.float32)
        self.complete = np.ones(len(activations), dtype=bool)

    def update(self, chunk: Chunk) -> None:
        """Take in a chunk of rows."""
        for start in range(chunk.rows.start, chunk.rows.stop, _BLOCK):
            rows = slice(start, min(start + _BLOCK, chunk.rows.stop))
            self._block(rows, chunk.assigned[rows.start - chunk.rows.start : rows.stop - chunk.rows.start])

    def _block(self, rows: slice, assigned: np.ndarray) -> None:
        wanted = self._wanted[assigned]
        if not wanted.any():
            return
        values = read_rows(self._activations, rows, torch.device("cpu")).double().numpy()
        self.complete[rows] = complete = ~np.isnan(values).any(1)
        deviations = values - self._means[assigned]
        for axis in range(self._axes.n_axes):
            self.coordinates[rows, axis] = np.einsum("nd,nd->n", deviations, self._axes.gains[assigned, axis])
        for k in np.unique(assigned[wanted & ~complete]):
            some = (assigned == k) & ~complete
            scores = self._mfa.posterior_mean(torch.from_numpy(values[some]), int(k))
            self.coordinates[rows][some] = scores @ self._axes.rotations[k]
        self.coordinates[rows][~wanted] = np.nan
