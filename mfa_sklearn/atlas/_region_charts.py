"""Numbers behind the pictures of a region: how its rows' densities differ from others', and where they lie in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._ordered import OrderedRows
from ._schema import Axis, Histogram, Scatter

if TYPE_CHECKING:
    from ..mixture import MFA

N_BINS = 40
# Places along an axis of a scatter are whole numbers from 0 to this.
STEPS = 1000


class OtherRows:
    """A sample of rows under all components, to compare the rows of each with.

    Parameters
    ----------
    mfa : fitted MFA
    X : array, tensor or row source of shape (n, D)
    assigned : ndarray of shape (n,)
        The rows' most probable components.
    rows : ndarray of int
        Which rows are the sample, ascending.
    """

    def __init__(self, mfa: MFA, X: Any, assigned: np.ndarray, rows: np.ndarray) -> None:
        self._assigned = assigned[rows]
        self._log_density = np.empty((len(rows), len(mfa.weights_)), dtype=np.float32)
        with np.errstate(divide="ignore"):
            log_weights = np.log(np.asarray(mfa.weights_, dtype=np.float64))
        log_weights[log_weights == -np.inf] = 0
        for where, log_joint in mfa.iter_log_joint(np.asarray(X[rows]) if isinstance(X, np.ndarray) else X[rows]):
            self._log_density[where] = log_joint - log_weights

    def of(self, component: int) -> np.ndarray:
        """Log densities under a component of the rows in the sample that belong to others."""
        return self._log_density[self._assigned != component, component]


def histogram(own: np.ndarray, others: np.ndarray, n_bins: int = N_BINS) -> Histogram | None:
    """How many rows have which log density under a component; None for a component without rows.

    Others are often further off than own rows are from each other, so that bins of one width for both would show
    nothing of one of them: the lowest bin ends where 2 % of the others lie below it, if own rows do not reach further
    down, and holds what is below.

    Parameters
    ----------
    own, others : ndarray
        Log densities under the component of its own rows, and of a sample of other rows.
    n_bins : int
    """
    own, others = own[np.isfinite(own)], others[np.isfinite(others)]
    if not len(own):
        return None
    spread = max(float(own.max() - own.min()), 1e-3)
    low = float(own.min())
    if len(others):
        low = min(low, max(float(np.quantile(others, 0.02)), low - 4 * spread))
    high = float(max(own.max(), others.max(initial=-np.inf)))
    low, high = np.floor(low * 1000) / 1000, np.ceil((high if high > low else low + spread) * 1000) / 1000
    counts = [np.histogram(np.clip(values, low, high), n_bins, (low, high))[0].tolist() for values in (own, others)]
    return Histogram(low=round(float(low), 3), high=round(float(high), 3), own=counts[0], others=counts[1])


def sample_of(ordered: OrderedRows, n_points: int, random: np.random.RandomState) -> list[np.ndarray]:
    """Up to `n_points` rows of every component, drawn at random, ascending."""
    found = []
    for k, size in enumerate(ordered.sizes):
        rows = ordered.rows(k)
        found.append(np.sort(rows if size <= n_points else random.choice(rows, n_points, replace=False)))
    return found


def scatter(rows: np.ndarray, coordinates: np.ndarray, share: np.ndarray) -> Scatter | None:
    """Where rows lie along principal axes, two or one; facts of the rows are added by the caller.

    Parameters
    ----------
    rows : ndarray of shape (n,)
    coordinates : ndarray of shape (n, q)
        Along the principal axes, in standard deviations of the component.
    share : ndarray of shape (q,)
        Of the modeled variance.
    """
    n_axes = min(2, coordinates.shape[1])
    if not len(rows) or not n_axes:
        return None
    x, x_range = _placed(coordinates[:, 0])
    y, y_range = _placed(coordinates[:, 1] if n_axes == 2 else np.zeros(len(rows)))
    axes = [Axis(axis=j, share=round(float(share[j]), 4)) for j in range(n_axes)]
    return Scatter(axes=axes, x=x, y=y, x_range=x_range, y_range=y_range, token=[], concept=[], row=rows.tolist())


def _placed(values: np.ndarray) -> tuple[list[int], list[float]]:
    """Values as whole numbers from 0 to `STEPS`, and the values at both ends."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        low, high = low - 1, high + 1
    low, high = np.floor(low * 1000) / 1000, np.ceil(high * 1000) / 1000
    places = np.rint((values - low) / (high - low) * STEPS).astype(int).tolist()
    return places, [round(float(low), 3), round(float(high), 3)]
