"""Rows evaluated under components that are named for them, where all pairs would be too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._base.devices import to_numpy
from .._base.isolation import isolated
from .._base.mapped import read_rows
from ..mixture._fitted import Evaluation
from ..mixture._model.density import Density
from ..mixture._model.missing import has_missing, missing_rows, observe
from ..mixture._model.pairs import refine

if TYPE_CHECKING:
    from ..mixture import MFA

# Rows to hold at once, by the numbers in them.
_NUMBERS = 2**23


@isolated
def pair_log_density(mfa: MFA, X: Any, rows: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Log densities ``log N(x | k)`` (P,) of pairs of a row and a component, in any order.

    Every row that is named is read once, in ascending order; nothing of size rows x components is made.

    Parameters
    ----------
    mfa : fitted MFA
    X : array, tensor or row source of shape (n, D)
    rows, components : ndarray of int of shape (P,)
    """
    evaluation = Evaluation(mfa, X)
    found = np.empty(len(rows))
    order = np.argsort(rows, kind="stable")
    distinct = np.unique(rows)
    step = max(1, _NUMBERS // np.shape(X)[1])
    for start in range(0, len(distinct), step):
        some = distinct[start : start + step]
        first, last = np.searchsorted(rows[order], [some[0], some[-1] + 1])
        pairs = order[first:last]
        pairs = pairs[np.argsort(components[pairs], kind="stable")]
        found[pairs] = _of_block(evaluation, some, rows[pairs], components[pairs])
    return found


def _of_block(evaluation: Evaluation, some: np.ndarray, rows: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Log densities (P,) of pairs that are sorted by component, whose rows are among some that ascend."""
    density, device = evaluation.density, evaluation.density.constant.device
    X = evaluation.conditioner.rows(read_rows(evaluation.rows, some, device), evaluation.dtype)
    place = torch.from_numpy(np.searchsorted(some, rows)).to(device)
    chosen = torch.from_numpy(components).to(device)
    joint = _log_joint(density, X, place, chosen).double() - density.params.log_weights[chosen].double()
    return to_numpy(joint - evaluation.conditioner.log_scale(X)[place])


def _log_joint(density: Density, X: Tensor, rows: Tensor, components: Tensor) -> Tensor:
    """Log joint densities (P,) of pairs that are sorted by component; of rows that miss values from those they have."""
    joint = refine(density, torch.nan_to_num(X), rows, components).log_joint
    if has_missing(X):
        joint, incomplete = joint.clone(), missing_rows(X)[rows]
        for k in components[incomplete].unique().tolist():
            place = (incomplete & (components == k)).nonzero()[:, 0]
            joint[place] = observe(density, X[rows[place]], k).log_joint.to(joint)
    return joint
