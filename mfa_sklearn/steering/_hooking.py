"""Moves put into a running model: what is hooked where, and what each hook did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from .._base.turns import ANOTHER_THREAD, Turn, turn_of
from ..activations import TokenSelection
from ._positions import PositionTracker, watch
from ._prompts import Encoded
from ._range import check_range
from ._schedule import Schedule, scheduled
from ._tables import SteeredTokens


class RowMove(Protocol):
    """What a model can be steered with: a function of rows that knows for which batches it is made."""

    @property
    def is_nothing(self) -> bool:
        """Whether every row stays as it is."""

    def check_rows(self, n_rows: int) -> None:
        """Refuse a batch of prompts of a size that the move is not made for."""

    def __call__(self, x: Tensor, batch_row: Tensor) -> Tensor:
        """Rows `x` (n, D) moved; `batch_row` (n,) says which prompt each belongs to."""


class Part(NamedTuple):
    """One move at one place of a model."""

    move: RowMove
    hook_name: str
    selection: TokenSelection
    schedule: Schedule | None
    label: str  # in words
    alpha: float | None  # for tables
    told: Callable[[SteeredTokens], None] | None  # who wants to know what a run has moved

    def tracker(self, model: Any, encoded: Encoded | None) -> PositionTracker:
        """What follows the passes of a model, behind prompts that are known or not."""
        known = None if encoded is None else encoded.sequences
        return PositionTracker(self.selection, getattr(model, "tokenizer", None), known or ())


class Run:
    """A part while the model runs: which tokens it has moved how far.

    Parameters
    ----------
    model : hookable model
    part : Part
    encoded : Encoded, optional
        The prompts, where they are known. A batch of more rows than these, such as that of a beam search, has equally
        many rows of each prompt, side by side.
    """

    def __init__(self, model: Any, part: Part, encoded: Encoded | None) -> None:
        self.part, self.tracker = part, part.tracker(model, encoded)
        self._n_prompts = None if encoded is None else len(encoded.lengths)
        self._width = 0  # of the pass under way
        self._moves: list[Tensor] = []  # how far tokens were moved, (n, T) of one pass after the other

    def expect(self, seen: Any) -> None:
        """Take note of what the coming forward pass is called with."""
        self.tracker.expect(seen)

    def reorder(self, rows: Tensor) -> None:
        """Take note that in the coming pass each row goes on with what another has written, `rows` (n,)."""
        self.tracker.reorder(rows)
        self._moves = [part[rows.to(part.device)] if len(part) == len(rows) else part for part in self._moves]

    def __call__(self, activation: Tensor) -> Tensor:
        """Activations (n, T, D) with the chosen ones moved; the same tensor where there is nothing to move."""
        n_rows, self._width = activation.shape[:2]
        move, per_prompt = self.part.move, self._rows_per_prompt(n_rows)
        move.check_rows(n_rows // per_prompt)
        chosen = self.tracker.select(n_rows, self._width)
        if move.is_nothing:
            self._note(activation.new_zeros(n_rows, self._width, dtype=torch.float32))
            return activation
        row, column = chosen.to(activation.device).nonzero(as_tuple=True)
        moved, distance = self._put(activation, row, column, per_prompt)
        self._note(distance)
        return moved

    def _put(self, activation: Tensor, row: Tensor, column: Tensor, per_prompt: int) -> tuple[Tensor, Tensor]:
        """Activations (n, T, D) with those at `row`, `column` moved, and how far each was moved, (n, T)."""
        distance = activation.new_zeros(activation.shape[:2], dtype=torch.float32)
        if not len(row):
            return activation, distance
        whole = len(row) == distance.numel()  # as at nearly every generated token: nothing to pick out
        x = activation.reshape(len(row), -1) if whole else activation[row, column]
        moved = self.part.move(x, row if per_prompt == 1 else row // per_prompt)
        if self.part.schedule is not None:
            moved = scheduled(
                x, moved, self.part.schedule.factors(self.tracker.generated_step().to(x.device)[row, column])
            )
        check_range(moved, x)
        length = torch.linalg.vector_norm((moved - x).detach(), dim=1, dtype=torch.float32)
        if whole:
            return moved.view_as(activation), length.view_as(distance)
        return activation.index_put((row, column), moved), distance.index_put((row, column), length)

    @property
    def distances(self) -> Tensor | None:
        """How far the tokens of the sequence were moved, (n, S); None before the first pass."""
        return torch.cat(self._moves, dim=1) if self._moves else None

    def _rows_per_prompt(self, n_rows: int) -> int:
        known = self._n_prompts
        return n_rows // known if known and n_rows % known == 0 else 1

    def _note(self, distance: Tensor) -> None:
        """Take note of how far the tokens of the pass under way, (n, T), were moved."""
        sequence = self.tracker.sequence
        assert sequence is not None
        start = sequence.real.shape[1] - self._width
        if sequence.prompt_width == sequence.real.shape[1]:
            self._moves = []
        known = sum(part.shape[1] for part in self._moves)
        if known > start:
            self._moves = [torch.cat(self._moves, dim=1)[:, :start]]
        elif known < start:
            self._moves.append(distance.new_zeros(len(distance), start - known))
        self._moves.append(distance)


@contextmanager
def hooked(
    model: Any,
    parts: Sequence[Part],
    told: Callable[[SteeredTokens], None],
    encoded: Encoded | None = None,
    as_block: bool = False,
) -> Iterator[SteeredTokens]:
    """Inside the block, the model's activations are moved: at one place by one part after the other, in their order.

    Parameters
    ----------
    model : hookable model
    parts : sequence of Part
        With none the model is left as it is, in its own turn.
    told : callable
        Gets the report before anything runs.
    encoded : Encoded, optional
        The prompts that will be run, where they are known.
    as_block : bool
        Whether the block is a user's, in which anything may happen.

    Raises
    ------
    RuntimeError
        If another thread keeps the model in a block of its own.
    ValueError
        At the end, if passes ran in the block and a part has moved no token.
    """
    runs = [Run(model, part, encoded) for part in parts]
    report = SteeredTokens(model, runs)
    with turn_of(model).taken(as_block) as turn, ExitStack() as stack:
        for run in runs:
            stack.enter_context(watch(model, run))  # type: ignore[arg-type]
        names = dict.fromkeys(part.hook_name for part in parts)
        hooks = [(name, _hook([run for run in runs if run.part.hook_name == name], turn)) for name in names]
        stack.enter_context(model.hooks(fwd_hooks=hooks))
        told(report)
        yield report
    for run in runs:
        run.tracker.check_chosen()


def _hook(runs: Sequence[Run], turn: Turn) -> Callable[[Tensor, Any], Tensor | None]:
    """What stands at one place of the model."""

    def hook(activation: Tensor, hook: Any) -> Tensor | None:
        if not turn.is_mine:
            raise RuntimeError(ANOTHER_THREAD)
        turn.used()
        moved = activation
        for run in runs:
            moved = run(moved)
        return None if moved is activation else moved

    return hook
