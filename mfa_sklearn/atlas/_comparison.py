"""Two mixtures of the same rows: whether they are, and which regions correspond."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from .._base.annotated import row_fact
from ._mixture import Gathered
from ._schema import Match

# What must agree between the rows of two mixtures, where both know it.
_FACTS = ("text_index", "positions", "token_ids", "tokens")


def check_same_rows(first: Gathered, second: Gathered) -> None:
    """Refuse rows of two mixtures that are not the same rows.

    Raises
    ------
    ValueError
        That names the first row that differs.
    """
    if first.X is second.X:
        return
    if first.n_rows != second.n_rows:
        raise ValueError(
            f"activations have {first.n_rows:,} rows and against_activations {second.n_rows:,}: give the same rows of "
            "both, in the same order"
        )
    for name in _FACTS:
        facts = [row_fact(g.X, name) for g in (first, second)]
        if facts[0] is None or facts[1] is None:
            continue
        unlike = np.flatnonzero(np.asarray(facts[0]) != np.asarray(facts[1]))
        if len(unlike):
            row = int(unlike[0])
            raise ValueError(
                f"row {row} is not the same in both: {name} is {facts[0][row]!r} in activations and {facts[1][row]!r} "
                "in against_activations. Extract both from the same texts with the same selection of tokens"
            )


def matches_of(first: Gathered, second: Gathered) -> list[Match]:
    """The regions of two mixtures that share rows, one to one, those that share most first."""
    shape = first.n_components, second.n_components
    together = first.assigned * shape[1] + second.assigned
    shared = np.bincount(together, minlength=shape[0] * shape[1]).reshape(shape)
    either = shared.sum(1)[:, None] + shared.sum(0)[None] - shared
    pairs = [(int(k), int(n)) for k, n in zip(*linear_sum_assignment(shared, maximize=True), strict=True)]
    found = [
        Match(first=k, second=n, shared=int(shared[k, n]), jaccard=round(float(shared[k, n] / either[k, n]), 4))
        for k, n in pairs
        if shared[k, n]
    ]
    return sorted(found, key=lambda match: -match["shared"])
