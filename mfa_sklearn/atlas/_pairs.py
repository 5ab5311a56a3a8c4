"""Rows evaluated under components that are named for them, where all pairs would be too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.devices import to_numpy
from .._base.isolation import isolated
from .._base.mapped import read_rows
from ..mixture._fitted import Evaluation
from ..mixture._model.missing import has_missing, missing_rows, observe
from ..mixture._model.pairs import refine

if TYPE_CHECKING:
    from ..mixture import MFA

# Rows to hold at once, by the numbers in them.
_NUMBERS = 2**23


class PairValues(NamedTuple):
    """What each of P rows is under its component."""

    log_density: np.ndarray  # (P,)  log N(x | k), nats
    scores: np.ndarray  # (P, q)  E[z | x, k]


@isolated
def evaluate_pairs(mfa: MFA, X: Any, rows: np.ndarray, components: np.ndarray) -> PairValues:
    """Log densities and factor scores of pairs of a row and a component, in any order.

    Every row that is named is read once, in ascending order; nothing of size rows x components is made.

    Parameters
    ----------
    mfa : fitted MFA
    X : array, tensor or row source of shape (n, D)
    rows, components : ndarray of int of shape (P,)
    """
    evaluation = Evaluation(mfa, X)
    log_density = np.empty(len(rows))
    scores = np.empty((len(rows), np.shape(mfa.loadings_)[2]))
    order = np.lexsort((components, rows))
    distinct = np.unique(rows)
    step = max(1, _NUMBERS // np.shape(X)[1])
    edges = np.searchsorted(rows[order], np.append(distinct[::step], np.iinfo(np.int64).max))
    for number, start in enumerate(range(0, len(distinct), step)):
        some = distinct[start : start + step]
        pairs = order[edges[number] : edges[number + 1]]
        pairs = pairs[np.argsort(components[pairs], kind="stable")]
        batch = read_rows(evaluation.rows, some, evaluation.density.constant.device)
        conditioned = evaluation.conditioner.rows(batch, evaluation.dtype)
        place = torch.from_numpy(np.searchsorted(some, rows[pairs])).to(batch.device)
        chosen = torch.from_numpy(components[pairs]).to(batch.device)
        joint, z = _values(evaluation, conditioned, place, chosen)
        joint = joint.double() - evaluation.density.params.log_weights[chosen].double()
        log_density[pairs] = to_numpy(joint - evaluation.conditioner.log_scale(conditioned)[place])
        scores[pairs] = to_numpy(z.double())
    return PairValues(log_density, scores)


def _values(evaluation: Evaluation, X: Tensor, rows: Tensor, components: Tensor) -> tuple[Tensor, Tensor]:
    """Log joint densities (P,) and factor scores (P, q) of pairs that are sorted by component."""
    density = evaluation.density
    found = refine(density, torch.nan_to_num(X), rows, components)
    joint, z = found.log_joint.clone(), found.scores.clone()
    if has_missing(X):
        incomplete = missing_rows(X)[rows]
        for k in components[incomplete].unique().tolist():
            place = (incomplete & (components == k)).nonzero()[:, 0]
            seen = observe(density, X[rows[place]], k)
            joint[place], z[place] = seen.log_joint.to(joint), seen.scores.to(z)
    return joint, z
