"""A component's rows in the coordinates of its own subspace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.linalg import polar
from sklearn.utils.extmath import svd_flip

from .._base.checks import check_choice, check_component, import_optional
from .._base.mapped import read_rows
from ._inputs import as_rows, check_mixture, optional_fact
from ._scan import POSTERIOR_FLOOR, Chunk, scan

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ..activations import ActivationStore, StoredActivations
    from ..mixture import MFA

AXES = ("factors", "principal")
# Rows of activations to hold at once.
_BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class Projection:
    """Rows of one component in its subspace; `project` makes it.

    Attributes
    ----------
    component : int
    axes : {"factors", "principal"}
    rows : ndarray of shape (n_k,)
        Which rows of the activations these are, ascending.
    coordinates : ndarray of shape (n_k, q)
        Posterior means of the factors, ``E[z | x, k]``; of prior mean 0 and variance 1.
    directions : ndarray of shape (D, q)
        What a unit of each coordinate adds to an activation: the point of a row in the subspace is
        ``centroid + directions @ coordinates``.
    centroid : ndarray of shape (D,)
        The component's mean.
    captured_energy : float
        Share of the rows' squared distance to the centroid that lies in the subspace, in [0, 1]; NaN without rows.
    energy : ndarray of shape (q,)
        Share that lies along each direction. These add up to `captured_energy`: where the directions are oblique, as
        factors may be, along each axis of the orthonormal system that is nearest to them.
    responsibilities : ndarray of shape (n_k,) or None
        Posterior of the component for each row; None where the rows were given.
    tokens, labels : ndarray of shape (n_k,) or None
    residuals : ndarray of shape (n_k,) or None
        How far each row lies from its place in the subspace: the root mean square over the features of
        ``(x - mu - W z) / sqrt(Psi)``, in standard deviations of the noise. About 1 where a row is as expected.
    scale : ndarray of shape (D,) or None
        The unit of each feature in which principal axes and shares were taken; None is the features' own.
    """

    component: int
    axes: str
    rows: np.ndarray
    coordinates: np.ndarray
    directions: np.ndarray
    centroid: np.ndarray
    captured_energy: float
    energy: np.ndarray
    responsibilities: np.ndarray | None = None
    tokens: np.ndarray | None = None
    labels: np.ndarray | None = None
    residuals: np.ndarray | None = None
    scale: np.ndarray | None = None

    @property
    def lengths(self) -> np.ndarray:
        """How far a unit of each coordinate leads, (q,), in the features' own unit or in `scale`."""
        return np.linalg.norm(self.directions if self.scale is None else self.directions / self.scale[:, None], axis=0)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        n_factors = self.coordinates.shape[1]
        return (
            f"Projection(component={self.component}, {len(self)} rows on {n_factors} {self.axes}, "
            f"captured_energy={self.captured_energy:.3f})"
        )

    def to_frame(self) -> pd.DataFrame:
        """One line per row: row, token, label and responsibility where known, then the coordinates."""
        facts = {"row": self.rows, "token": self.tokens, "label": self.labels, "responsibility": self.responsibilities}
        known = {name: fact for name, fact in facts.items() if fact is not None}
        names = {f"z{j}": self.coordinates[:, j] for j in range(self.coordinates.shape[1])}
        return import_optional("pandas", "Projection.to_frame").DataFrame({**known, **names})


def project(
    mfa: MFA,
    activations: ArrayLike | ActivationStore | StoredActivations,
    component: int,
    *,
    rows: ArrayLike | None = None,
    threshold: float | None = None,
    axes: str = "factors",
    scale: str | None = None,
    tokens: ArrayLike | None = None,
    labels: ArrayLike | None = None,
) -> Projection:
    """Project a component's rows on its subspace.

    Parameters
    ----------
    mfa : fitted MFA
    activations : ActivationArray, activation store or array-like, of shape (n, n_features)
        Whatever `fit` takes, frames included.
    component : int
    rows : array-like of bool of shape (n,) or of int, optional
        Which rows to project, as a mask or as indices; by default those whose most probable component this is. Giving
        them saves the pass over all rows.
    threshold : float, optional
        Take the rows whose posterior of the component is at least this (1e-6 to 1) instead.
    axes : {"factors", "principal"}, default="factors"
        The loadings as they were fitted, or rotated to the subspace's principal axes (the largest modeled variance
        first): loadings are only a basis of the subspace, and any rotation of them is the same model.
    scale : {"columns"}, optional
        Measure every feature in its standard deviation under the whole mixture, for principal axes and for shares of
        variance. Columns of a table have different units, of which the largest would settle everything. By default
        features are measured as they are, which suits activations.
    tokens, labels : array-like of shape (n,), optional
        By default those that the activations carry.

    Returns
    -------
    Projection

    Raises
    ------
    ValueError
        If an argument is out of range or has the wrong length, or if the activations are known to be of another model,
        layer, site or pooling than those the mixture was fitted on.

    Notes
    -----
    Coordinates are ``E[z | x, k] = M^-1 W^T Psi^-1 (x - mu)``, ``M = I + W^T Psi^-1 W`` (Ghahramani & Hinton, 1997).
    With ``W = U S V^T`` the principal axes are ``V^T z``, whose loadings ``U S`` are orthogonal (Tipping & Bishop,
    J. R. Stat. Soc. B 61, 1999); with a scale W stands for the loadings in that scale. Shares of oblique directions are
    taken along the orthogonal factor of the polar decomposition of the unit directions, the orthonormal matrix nearest
    to them (Higham, SIAM J. Sci. Stat. Comput. 7, 1986).

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, project
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 1)) * [5, 4, 3, 2] + rng.normal(size=(500, 4))
    >>> projection = project(MFA(1, 1).fit(X), X, 0)
    >>> projection
    Projection(component=0, 500 rows on 1 factors, captured_energy=0.95)
    >>> projection.coordinates.shape, projection.directions.shape
    ((500, 1), (4, 1))
    """
    component = check_component(component, check_mixture(mfa))
    check_choice("axes", axes, AXES)
    check_choice("scale", scale, (None, "columns"))
    _check_threshold(threshold, rows)
    X = as_rows(activations, mfa)
    facts = {name: optional_fact(X, name, given) for name, given in (("tokens", tokens), ("labels", labels))}
    responsibilities = None
    if rows is not None:
        members = _given_rows(rows, len(X))
    else:
        found = _Members(component, threshold)
        scan(mfa, X, found)
        members, responsibilities = found.result()
    units = None if scale is None else standard_deviations(mfa)
    rotation, directions = component_axes(mfa.loadings_[component], axes, units)
    scores, shares, residuals = _coordinates(mfa, X, members, component, directions @ rotation.T, directions, units)
    return Projection(
        component=component,
        axes=axes,
        rows=members,
        coordinates=scores @ rotation,
        directions=directions,
        centroid=np.asarray(mfa.means_[component]),
        captured_energy=float(shares.sum()),
        energy=shares,
        responsibilities=responsibilities,
        residuals=residuals,
        scale=units,
        **{name: None if fact is None else fact[members] for name, fact in facts.items()},
    )


def standard_deviations(mfa: MFA) -> np.ndarray:
    """Of each feature under the whole mixture, (D,): roots of the diagonal of its covariance."""
    weights, means = np.asarray(mfa.weights_, dtype=np.float64), np.asarray(mfa.means_, dtype=np.float64)
    noise = np.atleast_2d(np.asarray(mfa.noise_variance_, dtype=np.float64))
    within = np.square(np.asarray(mfa.loadings_, dtype=np.float64)).sum(2) + noise
    return np.sqrt(weights @ (within + np.square(means - weights @ means)))


class _Members:
    """Accumulates the rows of one component and their responsibilities."""

    dense = False

    def __init__(self, component: int, threshold: float | None) -> None:
        self._component, self._threshold = component, threshold
        self._rows: list[np.ndarray] = []
        self._responsibilities: list[np.ndarray] = []

    def update(self, chunk: Chunk) -> None:
        rows, components, posterior, _ = chunk.pairs
        mine = components == self._component
        if self._threshold is None:
            mine &= chunk.assigned[rows - chunk.rows.start] == self._component
        else:
            mine &= posterior >= self._threshold
        self._rows.append(rows[mine])
        self._responsibilities.append(posterior[mine])

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate(self._rows), np.concatenate(self._responsibilities)


def _check_threshold(threshold: float | None, rows: ArrayLike | None) -> None:
    if rows is not None and threshold is not None:
        raise ValueError("give rows or threshold, not both")
    if threshold is not None and not POSTERIOR_FLOOR <= threshold <= 1:
        raise ValueError(f"threshold={threshold!r} is a posterior probability and must lie in [{POSTERIOR_FLOOR}, 1]")


def _given_rows(rows: ArrayLike, n_rows: int) -> np.ndarray:
    """Ascending distinct row numbers from a mask or from indices."""
    chosen = np.asarray(rows)
    if chosen.dtype == bool:
        if chosen.shape != (n_rows,):
            raise ValueError(f"rows is a mask of shape {chosen.shape} for {n_rows} rows")
        return np.flatnonzero(chosen)
    if chosen.ndim != 1 or (len(chosen) and not np.issubdtype(chosen.dtype, np.integer)):
        raise TypeError(f"rows must be a mask or a list of row numbers, got {chosen.dtype} of shape {chosen.shape}")
    if len(chosen) and not (chosen.min() >= 0 and chosen.max() < n_rows):
        raise ValueError(f"rows holds {chosen.min()} to {chosen.max()}, but there are rows 0 to {n_rows - 1}")
    return np.unique(chosen).astype(np.int64)


def component_axes(loadings: np.ndarray, axes: str, scale: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The rotation (q, q) of factor scores to the asked axes, and the loadings (D, q) along them."""
    loadings = np.asarray(loadings, dtype=np.float64)
    if axes == "factors":
        return np.eye(loadings.shape[1]), loadings
    left, _, right = np.linalg.svd(loadings if scale is None else loadings / scale[:, None], full_matrices=False)
    _, right = svd_flip(left, right)
    return right.T, loadings @ right.T


def _nearest_axes(directions: np.ndarray) -> np.ndarray:
    """The orthonormal system (D, q) nearest to the unit directions; zeros for a direction of zeros."""
    lengths = np.linalg.norm(directions, axis=0)
    own = lengths > 1e-12 * lengths.max(initial=0)
    found = np.zeros_like(directions)
    if own.any():
        found[:, own] = polar(directions[:, own] / lengths[own])[0]
    return found


def _coordinates(
    mfa: MFA,
    X: Any,
    members: np.ndarray,
    component: int,
    loadings: np.ndarray,
    directions: np.ndarray,
    scale: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factor scores (n_k, q), shares of energy along each direction (q,), residuals (n_k,)."""
    centroid = np.asarray(mfa.means_[component])
    noise = np.atleast_2d(np.asarray(mfa.noise_variance_))
    deviation = np.sqrt(noise[min(component, len(noise) - 1)])
    units = np.ones(len(centroid)) if scale is None else scale
    basis = _nearest_axes(directions / units[:, None])
    scores, residuals = [np.empty((0, directions.shape[1]))], [np.empty(0)]
    total, parts = 0.0, np.zeros(directions.shape[1])
    for start in range(0, len(members), _BLOCK):
        # As a tensor, which has no names of columns that could be missed.
        block = read_rows(X, members[start : start + _BLOCK], torch.device("cpu"))
        scores.append(mfa.posterior_mean(block, component))
        deviations = block.double().numpy() - centroid
        total += np.square(deviations / units).sum()
        parts += np.square(deviations / units @ basis).sum(0)
        residuals.append(_root_mean_square((deviations - scores[-1] @ loadings.T) / deviation))
    shares = parts / total if total > 0 else np.full_like(parts, np.nan)
    return np.concatenate(scores), shares, np.concatenate(residuals)


def _root_mean_square(values: np.ndarray) -> np.ndarray:
    """Of each row's values that are known, (n,); NaN where none is."""
    n_known = (~np.isnan(values)).sum(1)
    return np.sqrt(np.nansum(np.square(values), axis=1) / np.where(n_known > 0, n_known, np.nan))
