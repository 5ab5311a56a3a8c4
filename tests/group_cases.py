"""Worlds of processes that run named functions together, each with its rank, and hand back results or errors.

Processes are forked from a clean server that has imported what they need, because importing takes seconds and a fork of
the tests' own process would inherit threads. Worlds meet in a file, so that no port is needed.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from sklearn.exceptions import ConvergenceWarning

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["torch", "torch.distributed", "torch._dynamo", "mfa_sklearn", "mfa_sklearn.mixture", "group_cases"]
)
# Seconds that an exchange, and an answer may take: far more than they need, for machines that are busy with other work.
EXCHANGE_LIMIT, LIMIT = 120, 300

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Failure:
    """What a function raised on a rank."""

    def __init__(self, error: BaseException) -> None:
        self.kind, self.message = type(error).__name__, str(error)
        self.trace = "".join(traceback.format_exception(error))

    def __repr__(self) -> str:
        return f"{self.kind}: {self.message}\n{self.trace}"


def _member(rank: int, size: int, path: str, seconds: float, calls: Sequence[Call], pipe: Connection) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", ConvergenceWarning)
    store = dist.FileStore(path, size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=seconds))
    for function, args in calls:
        try:
            pipe.send(function(rank, size, *args))
        except BaseException as error:
            pipe.send(Failure(error))
    dist.destroy_process_group()


def world(size: int, *calls: Call, seconds: float = EXCHANGE_LIMIT) -> list[list[Any]]:
    """What each call, a function of module level and its arguments after rank and size, gave: by call, then by rank.

    A rank that has ended before its time has None for what it owes.
    """
    found: list[list[Any]] = [[] for _ in range(size)]
    with tempfile.TemporaryDirectory() as folder:
        pipes, processes = [], []
        for rank in range(size):
            mine, theirs = _CONTEXT.Pipe(duplex=False)
            args = (rank, size, str(Path(folder) / "store"), seconds, calls, theirs)
            processes.append(_CONTEXT.Process(target=_member, args=args, daemon=True))
            processes[-1].start()
            theirs.close()
            pipes.append(mine)
        try:
            _collect(pipes, found)
        finally:
            for process in processes:
                process.join(5)
                process.kill()
    return [[some[i] if i < len(some) else None for some in found] for i in range(len(calls))]


def _collect(pipes: list[Connection], found: list[list[Any]]) -> None:
    open_pipes = list(pipes)
    while open_pipes:
        ready = wait(open_pipes, LIMIT)
        assert ready, f"no answer within {LIMIT} seconds; so far {found}"
        for pipe in ready:
            assert isinstance(pipe, Connection)
            try:
                found[pipes.index(pipe)].append(pipe.recv())
            except EOFError:
                open_pipes.remove(pipe)


def share(values: Any, rank: int, cuts: Sequence[int]) -> Any:
    """A rank's rows of all, which are cut at these places."""
    ends = [0, *cuts, len(values)]
    return values[ends[rank] : ends[rank + 1]]
