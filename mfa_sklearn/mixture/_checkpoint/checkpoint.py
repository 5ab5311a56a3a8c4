"""A fit's checkpoint: found, compared with what is asked for, and written as the fit goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..._base.devices import resolve_device
from ..._base.files import as_path, probe
from ..._base.group import AnyGroup
from ..._base.locks import locked
from .._em.acceleration import Anderson
from .._moments import ColumnMoments
from . import folder as files
from .identity import check_moments, check_same, identity, moments_state

# Vectors as long as the parameters that a state may hold, beside those of the acceleration: where the fit stands, where
# it began, where it falls back to, and the best of earlier starts; or two averages of Adam's.
_VECTORS = 6
# Bytes that are remembered of each row.
_ROW_BYTES = 16


class Checkpoint:
    """Where a fit keeps its state; this kind keeps nothing.

    Attributes
    ----------
    begun : dict or None
        The state that the fit goes on from.
    """

    begun: dict[str, Any] | None = None
    kept = False  # whether anything is

    def check_rows(self, moments: ColumnMoments) -> None:
        """Refuse rows that are not those of the state."""

    def keep(self, state: Callable[[], dict[str, Any]], iteration: int, now: bool = False) -> None:
        """Take note of a state, and write it if it is time to or has to be `now`."""

    @contextmanager
    def kept_at_last(self) -> Iterator[None]:
        """However the block ends, the last state noted is written, unless it ends because nothing can be."""
        yield

    def ended(self, reached: str) -> None:
        """Note the digest of the mixture that the fit ended with."""


class FolderCheckpoint(Checkpoint):
    """One in a folder, which nobody else writes to meanwhile.

    Parameters
    ----------
    folder : path
    interval : float
        Seconds between two states.
    asked : dict
        What the fit is known by, from `identity`.
    device : torch.device
        Where tensors of the state are to be.
    group : Alone or Group
        Of the processes that fit together; each keeps a state of its own, and the first says when.
    """

    kept = True

    def __init__(
        self, folder: Path, interval: float, asked: dict[str, Any], device: torch.device, group: AnyGroup
    ) -> None:
        self._folder, self._interval, self._asked, self._group = folder, interval, asked, group
        self._description = group.tell(files.read_description(folder) if group.first else None)
        if self._description is not None and self._continues():
            check_same(str(folder), self._description["asked"], asked)
            self.begun = files.read_state(folder, self._description, device, group.rank)
        self._next = time.monotonic() + interval
        self._noted: tuple[dict[str, Any], int] | None = None  # a state, and after how many iterations

    def _continues(self) -> bool:
        """Whether the fit asked for is that of the checkpoint, and not a warm start from where that has ended."""
        assert self._description is not None
        start = self._asked["mixture to start from"]
        return start is None or self._description.get("reached") != start

    def check_rows(self, moments: ColumnMoments) -> None:
        """Refuse rows that are not those of the state; from now on they are these."""
        if self.begun is not None:
            check_moments(str(self._folder), self.begun["moments"], moments)
        self._moments = moments_state(moments)

    def keep(self, state: Callable[[], dict[str, Any]], iteration: int, now: bool = False) -> None:
        """Take note of a state, and write it if it is time to or has to be `now`."""
        self._noted = state(), iteration
        if self._group.tell(now or time.monotonic() >= self._next):
            self._write()

    @contextmanager
    def kept_at_last(self) -> Iterator[None]:
        """However the block ends, the last state noted is written, unless it ends because nothing can be."""
        try:
            yield
        except OSError:
            raise
        except BaseException:
            if self._group.size == 1:  # the others of a group need not be where they could write
                with suppress(OSError):
                    self._write()
            raise
        self._write()

    def _write(self) -> None:
        """Write the state that was noted last, if it is not written yet."""
        if self._noted is None:
            return
        (state, iteration), self._noted = self._noted, None
        number = 1 if self._description is None else self._description["number"] + 1
        description = {"asked": self._asked, "number": number, "iteration": iteration}
        try:
            self._description = files.write(self._folder, description, state | {"moments": self._moments}, self._group)
        except OSError as error:
            raise type(error)(f"{error}. {self._what_is_kept()}") from error
        self._next = time.monotonic() + self._interval

    def _what_is_kept(self) -> str:
        if self._description is None:
            return "Nothing of the fit is kept yet"
        return f"The checkpoint of iteration {self._description['iteration']} is whole: the same fit goes on from there"

    def ended(self, reached: str) -> None:
        """Note the digest of the mixture that the fit ended with."""
        assert self._description is not None
        self._description |= {"reached": reached}
        if self._group.first:
            files.write_description(self._folder, self._description)


@contextmanager
def checkpoint_of(
    estimator: Any, X: Any, rows: Any, sample_weight: Any, start: str | None, group: AnyGroup, asked: bool = True
) -> Iterator[Checkpoint]:
    """The checkpoint that an estimator asks for, its folder found fit to write to; else one that keeps nothing.

    Parameters
    ----------
    estimator, X, rows, sample_weight, start, group
        As for `identity`.
    asked : bool, default=True
        False keeps nothing, whatever the estimator says.

    Raises
    ------
    ValueError
        If the folder holds the checkpoint of another fit, or a damaged one.
    OSError
        If it cannot be written to, lacks room, holds other things, or another run writes there.
    """
    if estimator.checkpoint is None or not asked:
        yield Checkpoint()
        return
    # Absolute: during the fit a callback may go to another folder.
    folder = as_path("checkpoint", estimator.checkpoint).absolute()
    n_bytes = sum(group.numbers(_largest(estimator, rows)))
    with _reserved(folder, n_bytes) if group.first else nullcontext():
        group.barrier()  # before the first has looked at the folder, nobody writes there
        known_by = identity(estimator, X, rows, sample_weight, start, group)
        place = resolve_device(estimator.device)
        yield FolderCheckpoint(folder, estimator.checkpoint_interval, known_by, place, group)
        group.barrier()  # nor once it has left


@contextmanager
def _reserved(folder: Path, n_bytes: int) -> Iterator[None]:
    """A folder that a checkpoint may be written to, with so much room, kept from other runs until the block ends."""
    files.check_place(folder)
    with locked(folder):
        files.check_place(folder)  # again: meanwhile another run may have ended there
        files.clear(folder)
        probe(folder, n_bytes)
        yield


def _largest(estimator: Any, rows: Any) -> int:
    """About the bytes that the states of a fit may take, an old one beside a new one, where components are told."""
    n_rows, D = rows.shape
    # Of sizes that cannot be, the fit itself has more to say than that there is no room.
    K, q = min(estimator.n_components or 1, n_rows), min(int(np.max(estimator.n_factors, initial=0)), D)
    size = K * (1 + D * (q + 2))
    n_vectors = _VECTORS + (Anderson(size).n_vectors if estimator.solver == "em" else 0)
    return 2 * (8 * size * n_vectors + _ROW_BYTES * n_rows)
