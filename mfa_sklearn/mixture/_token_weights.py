"""Weights under which rare tokens count as much as frequent ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._base.annotated import row_fact
from .._base.group import ALONE, AnyGroup


def token_weights(X: Any, weights: np.ndarray, group: AnyGroup = ALONE) -> np.ndarray:
    """Weights (n,) under which every token id of `X` has the same total; their own total is that of `weights`.

    Totals are those over the rows of all processes of a group.
    """
    ids = row_fact(X, "token_ids")
    if ids is None and not len(weights):
        ids = np.empty(0, dtype=np.int64)
    if ids is None:
        raise ValueError(
            "sampling='token_frequency' needs the token ids of the rows: pass the ActivationArray of an "
            "ActivationExtractor, or use sampling='uniform'."
        )
    kinds, place = np.unique(ids, return_inverse=True)
    totals = np.bincount(place, weights=weights, minlength=len(kinds))
    if group.size > 1:
        totals = _totals_of_all(kinds, totals, group)
    share = np.divide(weights, totals[place], out=np.zeros(len(ids)), where=weights > 0)
    sums = group.objects((float(weights.sum()), float(share.sum())))
    return share * (sum(total for total, _ in sums) / sum(share for _, share in sums))


def _totals_of_all(kinds: np.ndarray, totals: np.ndarray, group: AnyGroup) -> np.ndarray:
    """Total weights of this process's kinds of tokens on all processes."""
    parts = group.objects((kinds, totals))
    everyones, place = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    summed = np.bincount(place, weights=np.concatenate([part[1] for part in parts]), minlength=len(everyones))
    return summed[np.searchsorted(everyones, kinds)]
