"""Rows that a fit does not see, and how probable they are under what it has found."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import ShuffleSplit

from ..._base.annotated import row_fact
from ..._base.group import ALONE, AnyGroup
from ..._base.words import plural
from .._model.density import prepare
from .._model.pairs import mean_log_prob, mean_over_rows
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
        return mean_log_prob(prepare(params, self.batches.dtype), self.batches, self.batches.group) - self._log_scale


def _mean_log_scale(batches: Batches, conditioner: Conditioner) -> float:
    """What the mean log density of the original rows is lower by: of a row that misses values, by less."""
    return mean_over_rows(((conditioner.log_scale(X), weights) for _, X, weights in batches), batches.group)


def split_off(
    estimator: Any,
    X: Any,
    rows: Any,
    weights: RowWeights,
    rng: np.random.RandomState,
    group: AnyGroup = ALONE,
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
    group : Alone or Group
        Of the processes that have the other rows. A text whose rows two of them have counts as two.

    Raises
    ------
    ValueError
        If rows do not say which text they are of, or if none would be left to fit on.
    """
    share = estimator.held_out
    if share is None:
        return weights, None
    numbers = np.arange(rows.shape[0]) if weights.places is None else weights.places
    by_text = estimator.held_out_by == "text"
    units = _texts(X, numbers) if by_text else np.arange(len(numbers))
    counts = group.numbers(int(units.max(initial=-1)) + 1)
    n_held, total, first = round(share * sum(counts)), sum(counts), sum(counts[: group.rank])
    if not 0 < n_held < total:
        raise ValueError(
            f"held_out={share} of {plural(total, 'text' if by_text else 'row')} leaves none to fit on, or holds none "
            "out: give another share or more rows"
        )
    _, chosen = next(ShuffleSplit(1, test_size=n_held, random_state=rng).split(np.empty(total)))
    held = np.isin(units + first, chosen)
    values = weights.spread(rows.shape[0])
    kept, aside = (_only(values, numbers[part], rows, weights, group) for part in (~held, held))
    return kept, aside


def _texts(X: Any, numbers: np.ndarray) -> np.ndarray:
    """The texts of some rows, numbered from zero."""
    texts = row_fact(X, "text_index")
    if texts is None:
        raise ValueError(
            "held_out_by='text' needs rows that know the text they are of (text_index), as an ActivationExtractor "
            "gives them: give such rows, or set held_out_by='row'"
        )
    return np.unique(np.asarray(texts)[numbers], return_inverse=True)[1]


def _only(values: np.ndarray, numbers: np.ndarray, rows: Any, weights: RowWeights, group: AnyGroup) -> RowWeights:
    """Weights where only some rows count."""
    some = np.zeros_like(values)
    some[numbers] = values[numbers]
    found = check_weights(some, rows, group)
    return found._replace(unit=found.unit * weights.unit)
