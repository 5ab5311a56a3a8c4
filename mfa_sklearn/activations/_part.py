"""Which part of an extraction a process does: as it is told, or as what launched it says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._base.checks import check_count
from .._base.words import shortened


class Part(NamedTuple):
    """One of several processes that write a store together.

    Attributes
    ----------
    number : int
        From 0.
    total : int
        How many there are; of 1, it is no part but the whole.
    """

    number: int
    total: int

    @property
    def is_all(self) -> bool:
        return self.total == 1

    def takes(self, shard: int) -> bool:
        """Whether a shard is of this part: they are dealt out in turn, so that no part needs to know how many follow.

        Examples
        --------
        >>> [Part(1, 3).takes(shard) for shard in range(5)]
        [False, True, False, False, True]
        """
        return shard % self.total == self.number

    def __str__(self) -> str:
        return f"part {self.number} of {self.total}"


ALL = Part(0, 1)


def as_part(value: Any, environment: Mapping[str, str] | None = None) -> Part:
    """The part that `extract_to` is asked for.

    Parameters
    ----------
    value : None, "auto" or (int, int)
        All of it; what the environment says; number and count.
    environment : mapping, optional
        By default that of the process.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If the number is not one of the count, or the environment's numbers are none.

    Examples
    --------
    >>> as_part((1, 4)), as_part("auto", {"RANK": "2", "WORLD_SIZE": "8"}), as_part("auto", {})
    (Part(number=1, total=4), Part(number=2, total=8), Part(number=0, total=1))
    """
    if value is None:
        return ALL
    if isinstance(value, str) and value == "auto":
        return _launched(os.environ if environment is None else environment)
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"part={shortened(value)} must be None, 'auto' or two numbers, as (0, 4) for the first of four")
    number, count = check_count("part[0]", value[0], least=0), check_count("part[1]", value[1])
    if number >= count:
        raise ValueError(
            f"part=({number}, {count}): parts are counted from 0, so those of {count} are (0, {count}) to "
            f"({count - 1}, {count})"
        )
    return Part(number, count)


def _launched(environment: Mapping[str, str]) -> Part:
    """The part of a process that torchrun or a SLURM array has launched; an array may launch torchrun in each task."""
    rank, size = _numbers(environment, "RANK", "WORLD_SIZE") or (0, 1)
    task = _numbers(environment, "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
    if task is not None:
        first = _number(environment, "SLURM_ARRAY_TASK_MIN", 0)
        step = _number(environment, "SLURM_ARRAY_TASK_STEP", 1)
        place, rest = divmod(task[0] - first, max(step, 1))
        if rest or not 0 <= place < task[1]:
            raise ValueError(
                f"SLURM_ARRAY_TASK_ID={task[0]} is none of the {task[1]} numbers from {first} on in steps of {step}: "
                "name the part yourself, as part=(0, 4) (on the command line: --part 0/4), or give the array "
                "numbers without gaps"
            )
        rank, size = place * size + rank, task[1] * size
    if not 0 <= rank < size:
        raise ValueError(f"RANK={rank} is none of WORLD_SIZE={size}: name the part yourself, as part=(0, {size})")
    return Part(rank, size)


def _numbers(environment: Mapping[str, str], *names: str) -> tuple[int, ...] | None:
    """The numbers of some variables, if all are set."""
    if not all(environment.get(name) for name in names):
        return None
    return tuple(_number(environment, name, 0) for name in names)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"{name}={shortened(text)} of the environment is no whole number: name the part yourself, as "
            "part=(0, 4) (on the command line: --part 0/4), or part=None for all"
        ) from None
