"""Rows that a fit does not see, and how probable they are under what it has found."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit

from ..._base.annotated import row_fact
from .._model.density import prepare
from .._model.pairs import mean_log_prob
from .._model.params import MFAParams
from .._rows import Batches, Conditioner
from .._validation import RowWeights, check_weights


class HeldOut:
    """Rows held out, in conditioned space.

    Parameters
    ----------
    batches : Batches
    conditioner : Conditioner
    """

    def __init__(self, batches: Batches, conditioner: Conditioner) -> None:
        self.batches = batches
        self._log_scale = _mean_log_scale(batches, conditioner)

    def log_likelihood(self, params: MFAParams) -> float:
        """Mean log density of the original rows, in nats, under parameters in conditioned space."""
        return mean_log_prob(prepare(params, self.batches.dtype), self.batches) - self._log_scale


def _mean_log_scale(batches: Batches, conditioner: Conditioner) -> float:
    """What the mean log density of the original rows is lower by: of a row that misses values, by less."""
    total = mass = 0.0
    for _, X, weights in batches:
        log_scale = conditioner.log_scale(X).double()
        total += float(log_scale.sum() if weights is None else weights @ log_scale)
        mass += len(X) if weights is None else float(weights.sum())
    return total / mass


def split_off(
    estimator: Any, X: Any, rows: Any, weights: RowWeights, rng: np.random.RandomState
) -> tuple[RowWeights, RowWeights | None]:
    """Of the rows that count those to fit on, and those that an estimator's `held_out` asks to hold out.

    To a fit the latter are as if their weight were zero.

    Parameters
    ----------
    estimator : MFA
    X : array-like
        As the user gave it, with what an earlier step attached.
    rows : array-like of shape (n, D)
        The same, checked.
    weights : RowWeights
    rng : RandomState

    Raises
    ------
    ValueError
        If rows do not say which text they are of, or if none would be left to fit on.
    """
    share = estimator.held_out
    if share is None:
        return weights, None
    n_rows = rows.shape[0]
    numbers = np.arange(n_rows) if weights.places is None else weights.places
    texts = _texts(X, numbers) if estimator.held_out_by == "text" else None
    units, kind = (len(numbers), "rows") if texts is None else (len(np.unique(texts)), "texts")
    if not 0 < round(share * units) < units:
        raise ValueError(
            f"held_out={share} of {units} {kind} leaves none to fit on, or holds none out: give another share or more "
            f"{kind}"
        )
    splitter = (ShuffleSplit if texts is None else GroupShuffleSplit)(
        1, test_size=round(share * units), random_state=rng
    )
    kept, held = next(splitter.split(numbers, groups=texts))
    values = weights.spread(n_rows)
    return _only(values, numbers[kept], rows, weights), _only(values, numbers[held], rows, weights)


def _texts(X: Any, numbers: np.ndarray) -> np.ndarray:
    texts = row_fact(X, "text_index")
    if texts is None:
        raise ValueError(
            "held_out_by='text' needs rows that know the text they are of (text_index), as an ActivationExtractor "
            "gives them: give such rows, or set held_out_by='row'"
        )
    return np.asarray(texts)[numbers]


def _only(values: np.ndarray, numbers: np.ndarray, rows: Any, weights: RowWeights) -> RowWeights:
    """Weights where only some rows count."""
    some = np.zeros_like(values)
    some[numbers] = values[numbers]
    found = check_weights(some, rows)
    return found._replace(unit=found.unit * weights.unit)
