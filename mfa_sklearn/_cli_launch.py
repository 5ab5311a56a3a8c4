"""Commands that several processes run together, started by torchrun or as it starts them (RANK, WORLD_SIZE, ... set).

The first process reports and writes; the others are silent. Whatever one of them fails with ends all of them, with one
line: the first's, or that of a process that has failed at what it does by itself.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ._base.group import AnyGroup

# Commands that share their work out; any other would do it once in every process.
SHARED = ("extract", "fit", "kmeans")
_GROUPS = itertools.count()
_NEEDED = ("MASTER_ADDR", "MASTER_PORT")
# Under which the first process tells the others that it has said what there was to say, and how long they wait for it:
# torchrun ends all processes as soon as one has failed.
_SAID, _PATIENCE = "mfa-sklearn/said", timedelta(seconds=10)


class Launch(NamedTuple):
    """Which of how many processes this one is."""

    rank: int = 0
    size: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Launch:
        """What variables of the environment say.

        Raises
        ------
        ValueError
            If they are no numbers, or do not go together.

        Examples
        --------
        >>> Launch.of({"RANK": "1", "WORLD_SIZE": "4"}), Launch.of({})
        (Launch(rank=1, size=4), Launch(rank=0, size=1))
        """
        if "RANK" not in environment or "WORLD_SIZE" not in environment:
            return cls()
        told = environment["RANK"], environment["WORLD_SIZE"]
        if not all(value.isdecimal() for value in told) or not int(told[0]) < int(told[1]):
            raise ValueError(
                f"RANK={told[0]!r} and WORLD_SIZE={told[1]!r} of the environment are to be set as torchrun does it, to "
                "a process's number from 0 and how many there are: set them so, or unset both for one process"
            )
        return cls(int(told[0]), int(told[1]))

    @classmethod
    def told_by(cls, environment: Mapping[str, str]) -> Launch:
        """The same, where mistakes are told later."""
        try:
            return cls.of(environment)
        except ValueError:
            return cls()

    def check(self, command: str) -> None:
        """Refuse a command that would do all its work once in every process."""
        if self.size > 1 and command not in SHARED:
            raise ValueError(
                f"{command!r} is the work of one process, and this is one of {self.size} (WORLD_SIZE, as torchrun sets "
                "it): start it without torchrun, or unset WORLD_SIZE"
            )


@contextmanager
def quiet(launch: Launch) -> Iterator[io.StringIO]:
    """Nothing that is printed inside the block is seen, unless it is the first process; what errors were is kept."""
    unheard = io.StringIO()
    if not launch.rank:
        yield unheard
        return
    kept = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout, sys.stderr = nowhere, unheard
        try:
            yield unheard
        finally:
            sys.stdout, sys.stderr = kept


@contextmanager
def together(launch: Launch, device: str) -> Iterator[AnyGroup]:
    """The processes as a group of `torch.distributed`, for the length of the block; an error in one is one in all.

    Raises
    ------
    ValueError
        If the environment does not say where the processes meet.
    """
    from ._base.group import ALONE, group_of

    if launch.size == 1:
        yield ALONE
        return
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise ValueError(
            f"RANK={launch.rank} and WORLD_SIZE={launch.size} are set and {' and '.join(missing)} not: start with "
            "torchrun, set what is missing, or unset RANK and WORLD_SIZE for one process"
        )
    import torch.distributed as dist

    place = _place(device)
    # A name of its own for each group, so that a later one does not find where an earlier one met.
    store = dist.PrefixStore(f"mfa-sklearn/{next(_GROUPS)}", next(dist.rendezvous("env://", *launch))[0])
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=launch.rank, world_size=launch.size)
    try:
        group = group_of(True, place)
        with group.failing_together():
            yield group
    finally:
        with suppress(RuntimeError):  # where a process is gone
            dist.destroy_process_group()


def _place(device: str) -> Any:
    """Where this process computes: of several GPUs of a machine, each process has its own."""
    import torch

    from ._base.devices import resolve_device

    local = os.environ.get("LOCAL_RANK", "")
    if device in ("auto", "cuda") and torch.cuda.is_available() and local.isdecimal():
        torch.cuda.set_device(int(local) % torch.cuda.device_count())
    return resolve_device(device)


def wait_for_first(launch: Launch, unheard: io.StringIO) -> None:
    """Where a command has failed: let the first process say why before any other ends; one that failed alone says it.

    Parameters
    ----------
    launch : Launch
    unheard : StringIO
        What `quiet` has kept of this process.
    """
    if launch.size == 1:
        return
    try:
        import torch.distributed as dist

        store, rank, _ = next(dist.rendezvous("env://", launch.rank, launch.size, timeout=_PATIENCE))
        if rank == 0:
            store.set(_SAID, "")
        else:
            store.wait([_SAID], _PATIENCE)
    except Exception:  # whatever it is: the first goes on with its own work, has ended, or cannot be asked
        for line in unheard.getvalue().splitlines()[-1:]:
            print(line, file=sys.stderr, flush=True)
