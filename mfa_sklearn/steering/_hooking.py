"""Moves put into a running model: what is hooked where, and what each hook did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .._base.turns import ANOTHER_THREAD, Turn, turn_of
from ..activations import TokenSelection
from ._positions import PositionTracker
from ._prompts import Encoded
from ._range import check_range
from ._schedule import Schedule, scheduled
from ._tables import SteeredTokens
from ._watch import watch


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
        self._distances = _Distances()
        self._rows: tuple[tuple[Any, ...], Tensor] | None = None  # which prompts the rows of a pass are of
        self._is_checked = part.schedule is None and getattr(part.move, "checks_range", False)

    def expect(self, seen: Any) -> None:
        """Take note of what the coming forward pass is called with."""
        self.tracker.expect(seen)

    def reorder(self, rows: Tensor) -> None:
        """Take note that in the coming pass each row goes on with what another has written, `rows` (n,)."""
        self.tracker.reorder(rows)
        self._distances.reorder(rows)

    @property
    def distances(self) -> Tensor | None:
        """How far the tokens of the sequence were moved, (n, S); None before the first pass."""
        return self._distances.joined()

    def __call__(self, activation: Tensor) -> Tensor:
        """Activations (n, T, D) with the chosen ones moved; the same tensor where there is nothing to move."""
        n_rows, width = activation.shape[:2]
        per_prompt = self._rows_per_prompt(n_rows)
        self.part.move.check_rows(n_rows // per_prompt)
        chosen = self._chosen(n_rows, width)
        moved, distance = activation, None
        if isinstance(chosen, np.ndarray):
            row, column = (torch.from_numpy(index).to(activation.device) for index in chosen.nonzero())
            found, far = self._moved(activation[row, column], row // per_prompt, chosen)
            moved = activation.index_put((row, column), found)
            distance = far.new_zeros(n_rows, width).index_put((row, column), far)
        elif chosen:
            rows = activation.reshape(n_rows * width, activation.shape[2])
            found, far = self._moved(rows, self._prompts_of(n_rows, width, per_prompt, rows.device), None)
            moved, distance = found.view_as(activation), far.view(n_rows, width)
        self._distances.note(distance, n_rows, width, self.tracker.n_read, self.tracker.in_prompt)
        return moved

    def _chosen(self, n_rows: int, width: int) -> bool | np.ndarray:
        """Which tokens (n, T) of the pass under way are to be moved; True for all and False for none."""
        chosen = self.tracker.choose(n_rows, width)  # on the CPU: no device is waited for
        if self.part.move.is_nothing:
            return False
        if isinstance(chosen, bool):
            return chosen
        found = chosen.numpy()
        n_found = int(np.count_nonzero(found))
        return found if 0 < n_found < found.size else n_found > 0

    def _moved(self, x: Tensor, prompt: Tensor, chosen: np.ndarray | None) -> tuple[Tensor, Tensor]:
        """The chosen activations (m, D), of prompts (m,), moved, and how far each of them was, (m,)."""
        moved = self.part.move(x, prompt)
        if self.part.schedule is not None:
            steps = self.tracker.generated_step()
            steps = steps.reshape(-1) if chosen is None else steps[torch.from_numpy(chosen)]
            moved = scheduled(x, moved, self.part.schedule.factors(steps).to(x.device))
        if not self._is_checked:
            check_range(moved, x)
        difference = moved - x
        if difference.requires_grad:
            difference = difference.detach()
        return moved, torch.linalg.vector_norm(difference, dim=1, dtype=torch.float32)

    def _prompts_of(self, n_rows: int, width: int, per_prompt: int, device: torch.device) -> Tensor:
        """Which prompt each token of the pass is of, (n T,)."""
        key = (n_rows, width, per_prompt, device)
        if self._rows is None or self._rows[0] != key:  # the same from one generated token to the next
            rows = torch.arange(n_rows, device=device) // per_prompt
            self._rows = key, rows.repeat_interleave(width)
        return self._rows[1]

    def _rows_per_prompt(self, n_rows: int) -> int:
        known = self._n_prompts
        return n_rows // known if known and n_rows % known == 0 else 1


class _Distances:
    """How far the tokens of a sequence were moved, one pass after the other."""

    def __init__(self) -> None:
        self._passes: list[Tensor | int] = []  # (n, T), or so many columns in which nothing was moved
        self._n_rows = self._n_known = 0
        self._order: Tensor | None = None  # which rows of the pass before the coming one goes on with

    def reorder(self, rows: Tensor) -> None:
        """As of `Run`."""
        self._order = rows if self._order is None else self._order[rows]

    def note(self, distance: Tensor | None, n_rows: int, width: int, n_read: int, in_prompt: bool) -> None:
        """Take note of a pass (n, T), None where nothing was moved, after which `n_read` columns are read."""
        order, self._order = self._order, None
        if order is not None and len(order) == n_rows:
            self._passes = [_reordered(part, order) for part in self._passes]
        start, self._n_rows = n_read - width, n_rows
        if in_prompt:
            self._passes, self._n_known = [], 0
        if self._n_known > start:
            known = self.joined()
            self._passes = [] if known is None else [known[:, :start]]
        elif self._n_known < start:
            self._passes.append(start - self._n_known)
        self._passes.append(width if distance is None else distance)
        self._n_known = n_read

    def joined(self) -> Tensor | None:
        """Of all columns, (n, S); None before the first pass."""
        moved = [part for part in self._passes if isinstance(part, Tensor)]
        device = moved[0].device if moved else None
        filled = [
            part if isinstance(part, Tensor) else torch.zeros(self._n_rows, part, device=device, dtype=torch.float32)
            for part in self._passes
        ]
        return torch.cat(filled, dim=1) if filled else None


def _reordered(part: Tensor | int, order: Tensor) -> Tensor | int:
    return part[order.to(part.device)] if isinstance(part, Tensor) and len(part) == len(order) else part


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
            stack.enter_context(watch(model, run))
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
