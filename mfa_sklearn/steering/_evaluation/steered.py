"""The one place where the instrument meets what steers: rows of a running model moved by functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ...activations import TokenSelection
from ...activations._selection import as_selection
from .._positions import PositionTracker
from .._prompts import Encoded
from .._steerer import MFASteerer

RowsMoved = Callable[[Tensor], Tensor]


class RowMoves:
    """A move for each row of a batch, as what steers takes it.

    Parameters
    ----------
    moves : sequence of callables
        Each from rows (n, D) to rows (n, D).
    number : Tensor (b,)
        Which of them each row of the batch has.
    """

    is_nothing = False

    def __init__(self, moves: Sequence[RowsMoved], number: Tensor) -> None:
        self._moves, self._number = moves, number

    def __call__(self, x: Tensor, batch_row: Tensor) -> Tensor:
        """Rows `x` (n, D) moved; `batch_row` (n,) says which row of the batch each comes from."""
        number = self._number.to(batch_row.device)[batch_row]
        order = number.argsort(stable=True)
        moved = torch.empty_like(x)
        for rows in order.split(number[order].unique_consecutive(return_counts=True)[1].tolist()):
            moved[rows] = self._moves[int(number[rows[0]])](x[rows])
        return moved

    def check_rows(self, n_rows: int) -> None:
        """Refuse a batch of another size."""
        if n_rows != len(self._number):
            raise ValueError(f"{len(self._number)} moves were given for a batch of {n_rows} rows")


def steered(
    steerer: MFASteerer, moves: RowMoves | None, select: TokenSelection, batch: Encoded
) -> AbstractContextManager[Any]:
    """A block in which the steerer's model has the rows of a batch moved; None leaves it as it is."""
    return nullcontext() if moves is None else steerer._steering(moves, select)._hooked(batch)


def read_select(select: Any, steerer: MFASteerer, encoded: Encoded, n_new: int) -> TokenSelection:
    """The tokens to be moved, checked against the prompts.

    Raises
    ------
    TypeError, ValueError
    """
    chosen = as_selection(select)
    encoded.check_places(chosen.places, n_new)
    PositionTracker(chosen, steerer.model.tokenizer, encoded.sequences or ()).check_prompts(encoded, n_new)
    return chosen


def n_features(steerer: MFASteerer) -> int:
    """The width D of the rows that are moved."""
    return steerer._mixture.n_features


def region_move(
    steerer: MFASteerer, component: Any, alpha: float, method: str, options: Mapping[str, Any]
) -> RowsMoved:
    """A move of the steerer's own, checked, as a function of rows.

    Raises
    ------
    TypeError, ValueError
    """
    move = steerer.steer(component, alpha, method=method, **options)._parts[0].move
    return lambda x: move(x, torch.zeros(len(x), dtype=torch.long, device=x.device))
