"""What the measures of this folder ask of a fitted estimator, whatever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_scalar, gen_batches
from torch import Tensor

from .._base.annotated import given_rows, is_row_source
from .._base.devices import to_numpy
from .._base.isolation import isolated
from .._base.mapped import read_rows
from .._base.sklearn_private import safe_indexing
from ..interpret._inputs import as_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._base.annotated import RowSource

    Rows: TypeAlias = ArrayLike | Tensor | RowSource
    Table: TypeAlias = np.ndarray | sparse.csr_matrix

# Bytes of rows, in double precision, that are held at once.
_PIECE_BYTES = 32 * 2**20


class Sizes(NamedTuple):
    """How much there is of a candidate.

    Attributes
    ----------
    regions : int or None
        Number of regions.
    active : float or None
        Numbers that a row's reconstruction is made from.
    parameters : int or None
        Numbers that are stored.
    """

    regions: int | None = None
    active: float | None = None
    parameters: int | None = None


class Candidate:
    """One fitted estimator, seen through what the measures ask for.

    `as_candidate` makes them. A method gives None where the estimator has no such thing.

    Attributes
    ----------
    estimator : estimator
        What it was made from.
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def regions(self, X: Rows) -> np.ndarray | None:
        """The region of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,), int64, or None
            Numbers from 0 to ``sizes.regions - 1``; -1 is in no region.
        """
        return None

    def coordinates(self, X: Rows) -> np.ndarray | None:
        """Coordinates of each row within its own region; without regions, within the only one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_coordinates), or None
        """
        return None

    def codes(self, X: Rows) -> Table | None:
        """The columns that concepts are read from: a sparse or dense code of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray or CSR matrix of shape (n_samples, n_columns), or None
        """
        return None

    def detectors(self, X: Rows) -> Table | None:
        """Continuous scores of each row, one per region or per code column: the higher, the more it belongs there.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray or CSR matrix of shape (n_samples, n_detectors), or None
        """
        return None

    def reconstruct(self, X: Rows) -> np.ndarray | None:
        """Rows as the estimator sees them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features), or None
        """
        return None

    def bits(self, X: Rows, resolution: float) -> np.ndarray | None:
        """Code length of each row in bits, every feature rounded to a multiple of `resolution`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        resolution : float
            In units of the features.

        Returns
        -------
        ndarray of shape (n_samples,), or None
        """
        return None

    @property
    def sizes(self) -> Sizes:
        """How much there is of it."""
        return Sizes()


@isolated
def pieces(X: Rows) -> Iterator[Any]:
    """Rows, so many at once as fit a budget: arrays of single or double precision, of a frame frames."""
    X = given_rows(X)
    if hasattr(X, "columns") and not is_row_source(X):
        for rows in _slices(X):
            yield safe_indexing(X, rows)
        return
    table = as_rows(X)
    for rows in _slices(table):
        part = to_numpy(read_rows(table, rows, torch.device("cpu")))
        yield part.astype(np.result_type(part.dtype, np.float32), copy=False)


def _slices(X: Any) -> Iterator[slice]:
    return gen_batches(X.shape[0], max(1, _PIECE_BYTES // (8 * max(1, X.shape[1]))))


def by_pieces(function: Callable[[Any], Any], X: Rows) -> Any:
    """What `function` makes of rows, piece by piece and put together again; sparse matrices as CSR."""
    parts = [function(part) for part in pieces(X)]
    if sparse.issparse(parts[0]):
        return sparse.csr_matrix(sparse.vstack(parts, format="csr"))
    return np.concatenate([np.asarray(part) for part in parts])


def both_signs(codes: Table) -> Table:
    """Every column, and then every column with its sign turned, (n, 2 m)."""
    if sparse.issparse(codes):
        return sparse.csr_matrix(sparse.hstack([codes, -codes], format="csr"))
    return np.hstack([codes, -np.asarray(codes)])


def check_resolution(resolution: float) -> float:
    """A positive number.

    Raises
    ------
    TypeError, ValueError
    """
    check_scalar(resolution, "resolution", Real, min_val=0, include_boundaries="neither")
    if not np.isfinite(resolution):
        raise ValueError(
            f"resolution={resolution} must be finite, in units of the features; 0.01 of their spread is usual"
        )
    return float(resolution)


def quantization_variance(resolution: float) -> float:
    """Variance of a uniform error of the width `resolution`: ``resolution^2 / 12``."""
    return check_resolution(resolution) ** 2 / 12


def code_length(log_prob: np.ndarray, n_features: int, resolution: float) -> np.ndarray:
    """Bits per row at a resolution: ``-log2 p(x) - D log2 resolution``.

    Rounding x to multiples of r leaves a cell of the volume r^D, whose probability is r^D times the density of
    ``x + u`` with u uniform on [-r/2, r/2]^D. The densities here are mixtures of Gaussians, and u is taken for a
    Gaussian of the same variance, r^2 / 12 per feature: `log_prob` is to be of the density with that much noise added.
    Where all standard deviations are well above r that changes nothing (the density "gives the code exactly"); where
    one is far below, it keeps a density that grows without bound from promising fewer than no bits: at worst, at a
    standard deviation of zero, half a bit per feature too little.

    Parameters
    ----------
    log_prob : ndarray of shape (n_samples,)
        In nats.
    n_features : int
    resolution : float

    Returns
    -------
    ndarray of shape (n_samples,)

    References
    ----------
    Cover & Thomas, "Elements of information theory", 2nd ed. (2006), section 8.3.
    """
    return -np.asarray(log_prob, dtype=np.float64) / np.log(2) - n_features * np.log2(resolution)
