"""Processes that compute one result together, each from its own rows: what they tell each other, and how none hangs.

The engine is `torch.distributed`, whose default group is used as it is (gloo on processors, nccl on GPUs). Sums are
made in the order of the ranks and every rank receives the same bits, so that a run repeats itself and decisions that
follow from sums are the same everywhere.

Every exchange begins with a header of five numbers by which the ranks see that they are at the same one: how many there
were before, which it is, the shapes, and whether a rank has failed. So ranks that have gone different ways get an error
each, and a rank that fails (`failing_together`) ends the others with its message, where they would wait for it.
"""

from __future__ import annotations

import math
import pickle
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from .alone import ALONE, Alone
from .checks import gathered_warnings
from .interrupts import interrupts_held
from .packing import as_bytes, as_float, as_tensor, as_whole, packed, unpacked

_T = TypeVar("_T")

_OPERATIONS = ("sum", "sum_own", "all_gather", "gather", "tell", "numbers", "objects", "end")
# Numbers that are summed at once: what the buffers of an exchange take.
_PIECE_NUMBERS = 2**24
# Errors that other ranks raise as what they are; others as a RuntimeError.
_KINDS = {kind.__name__: kind for kind in (ValueError, TypeError, FloatingPointError, KeyboardInterrupt)}
# The attribute of an error that all ranks have heard of.
_KNOWN = "known_to_group"

__all__ = ["ALONE", "Alone", "AnyGroup", "Group", "group_of"]

_NO_GROUP = (
    "distributed=True needs the process group of torch.distributed, and there is none. Start the processes with "
    "torchrun and call torch.distributed.init_process_group('gloo') in each ('nccl' on GPUs) before fit, or set "
    "distributed=False to fit in one process."
)
_ENDED = (
    "another process of the group has ended, or has not answered within the group's time limit ({}). What this process "
    "computed is incomplete: look at the other processes' messages, and start all of them again; where one only took "
    "long, with a larger timeout in torch.distributed.init_process_group."
)


class Group:
    """The default process group of `torch.distributed`.

    Parameters
    ----------
    device : torch.device
        Where this rank computes, and what it receives is put.

    Attributes
    ----------
    rank, size : int
    first : bool
        Whether this is the rank that decides and reports.
    bytes_sent : int
        By this rank so far, as a ring sends them.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size, self.device = dist.get_rank(), dist.get_world_size(), device
        self.first = self.rank == 0
        self.bytes_sent = self._calls = 0
        self._inside = False  # an exchange, which others wait for
        self._wire = _wire(device)

    def sum(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tensors, of one precision and the same shapes on all ranks, summed over the ranks in double precision.

        Each rank sums one part of all numbers, in the order of the ranks, and gives it to the others: the traffic is
        that of a ring, ``2 (size - 1) / size`` times the numbers.
        """
        with self._exchange("sum", _shapes(tensors)):
            sums = tuple(torch.empty_like(t, memory_format=torch.contiguous_format) for t in tensors)
            for parts, results in _pieces([t.reshape(-1) for t in tensors], [t.view(-1) for t in sums]):
                total = self._summed(parts)
                for result, part in zip(results, total.split([len(r) for r in results]), strict=True):
                    result.copy_(part)
        return sums

    def _summed(self, parts: list[Tensor]) -> Tensor:
        n = sum(map(len, parts))
        step = math.ceil(n / self.size)
        mine = torch.cat([*parts, parts[0].new_zeros(step * self.size - n)]).to(self._wire)
        received = torch.empty_like(mine)
        self._call(dist.all_to_all_single, received, mine)
        total = received[:step].double()
        for r in range(1, self.size):
            total += received[r * step : (r + 1) * step]
        self._call(dist.all_gather, list(received.split(step)), total.to(mine.dtype))
        self.bytes_sent += 2 * (self.size - 1) * step * mine.itemsize
        return received[:n]

    def own(self, n: int) -> slice:
        """This rank's part of `n` things that are shared out evenly."""
        return self._part_of(self.rank, n)

    def _part_of(self, rank: int, n: int) -> slice:
        return slice(n * rank // self.size, n * (rank + 1) // self.size)

    def sum_own(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Tensors (n, ...) summed over the ranks in double precision, of each this rank's `own` part.

        It costs half of what `sum` does; `all_gather` of what each rank makes of its part is the other half.
        """
        with self._exchange("sum_own", _shapes(tensors)):
            return tuple(self._summed_own(tensor) for tensor in tensors)

    def _summed_own(self, tensor: Tensor) -> Tensor:
        parts = [self._part_of(r, len(tensor)) for r in range(self.size)]
        mine, width = tensor[parts[self.rank]], tensor[:1].numel()
        if not width:
            return mine
        total = torch.empty(mine.shape, dtype=torch.float64, device=self._wire)
        step = max(1, _PIECE_NUMBERS // (width * self.size))
        for start in range(0, max(part.stop - part.start for part in parts), step):
            pieces = [tensor[min(p.start + start, p.stop) : min(p.start + start + step, p.stop)] for p in parts]
            sent, some = torch.cat(pieces).to(self._wire), total[start : start + step]
            received = sent.new_empty(self.size, *some.shape)
            counts = [len(some)] * self.size, [len(piece) for piece in pieces]
            self._call(dist.all_to_all_single, received.flatten(0, 1), sent, *counts)
            self.bytes_sent += (len(sent) - len(some)) * width * sent.itemsize
            torch.add(received[0].double(), received[1], out=some)
            for theirs in received[2:]:
                some += theirs
        return total.to(tensor)

    def all_gather(self, rows: Tensor) -> Tensor:
        """The rows (n, ...) of all ranks, in their order; their numbers may differ."""
        with self._exchange("all_gather", _shapes([rows[:0]]), len(rows)) as counts:
            theirs = self._gather_alike(_padded(rows.to(self._wire), max(counts)))
            if len(set(counts)) == 1:
                return theirs.flatten(0, 1).to(rows.device)
            return torch.cat([some[:count] for some, count in zip(theirs, counts, strict=True)]).to(rows.device)

    def gather(self, rows: Tensor) -> Tensor:
        """The rows (n, ...) of all ranks in their order on the first, and no rows on the others."""
        with self._exchange("gather", _shapes([rows[:0]]), len(rows)) as counts:
            mine = rows.to(self._wire).contiguous()
            arriving = counts if self.first else [0] * self.size
            received = mine.new_empty((sum(arriving), *rows.shape[1:]))
            self._call(dist.all_to_all_single, received, mine, arriving, [len(rows)] + [0] * (self.size - 1))
            self.bytes_sent += 0 if self.first else mine.numel() * mine.itemsize
            return received.to(rows.device)

    def tell(self, value: _T) -> _T:
        """The first rank's value; tensors in it arrive on the device of the rank, if they were on the first's.

        Of a float all ranks bring their own, and it needs no more than a header.
        """
        if type(value) is float:
            with self._exchange("tell", "float", as_whole(cast(float, value))) as numbers:
                return cast(_T, as_float(numbers[0]))
        message, tensors = packed(value) if self.first else (b"", [])
        with self._exchange("tell", None, len(message)) as lengths:
            told = self._broadcast(as_tensor(message) if self.first else torch.empty(lengths[0], dtype=torch.uint8))
            if self.first:
                for tensor in tensors:
                    self._broadcast(tensor)
                return value
            return unpacked(as_bytes(told), self._arriving)

    def _arriving(self, shape: tuple[int, ...], dtype: torch.dtype, on_device: bool) -> Tensor:
        told = self._broadcast(torch.empty(shape, dtype=dtype))
        return told.to(self.device) if on_device else told.cpu()

    def _broadcast(self, tensor: Tensor) -> Tensor:
        on_wire = tensor.to(self._wire).contiguous()
        self._call(dist.broadcast, on_wire, 0)
        self.bytes_sent += on_wire.numel() * on_wire.itemsize if self.first else 0
        return on_wire.cpu() if tensor.dtype == torch.uint8 else on_wire

    def decided(self, work: Callable[[], _T], rng: np.random.RandomState | None = None) -> _T:
        """What the first rank's work gives, and the generator `rng` of all ranks as that left it."""
        mine = (work(), None if rng is None else rng.get_state()) if self.first else None
        told = self.tell(mine)
        assert told is not None
        value, state = told
        if rng is not None and state is not None and not self.first:
            rng.set_state(state)
        return value

    def numbers(self, value: int) -> list[int]:
        """Each rank's whole number."""
        with self._exchange("numbers", None, value) as values:
            return values

    def objects(self, value: _T) -> list[_T]:
        """Each rank's value, for small ones that hold no tensors."""
        message = pickle.dumps(value)
        with self._exchange("objects", None, len(message)) as lengths:
            return [pickle.loads(part) for part in self._parts(message, lengths)]

    def _parts(self, mine: bytes, lengths: list[int]) -> list[bytes]:
        own = _padded(as_tensor(mine), max(lengths)).to(self._wire)
        return [as_bytes(part[:n]) for part, n in zip(self._gather_alike(own), lengths, strict=True)]

    def any(self, value: bool) -> bool:
        """Whether it is true on a rank."""
        return max(self.numbers(int(value))) > 0

    def max(self, value: float) -> float:
        """The largest of the ranks' numbers."""
        return max(map(as_float, self.numbers(as_whole(float(value)))))

    def barrier(self) -> None:
        """Wait for all ranks."""
        self.numbers(0)

    def check_alike(self, facts: dict[str, Any]) -> None:
        """Refuse facts, by what they are of, that differ from rank to rank, with an error on all."""
        theirs = self.objects(facts)
        for name, value in theirs[0].items():
            other = next((r for r, found in enumerate(theirs) if found.get(name) != value), None)
            if other is not None:
                raise _known(
                    ValueError(
                        f"the processes of the group differ in the {name}: {value!r} on rank 0, "
                        f"{theirs[other].get(name)!r} on rank {other}; give the same on all"
                    )
                )

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """An error inside the block on one rank is one on all; only the first rank warns.

        Raises
        ------
        ValueError, TypeError, RuntimeError
            What a rank failed with, by its name, on all others.
        """
        with _one_thread():
            done = False
            try:
                with nullcontext() if self.first else gathered_warnings():
                    yield
                with interrupts_held():
                    self._meet("end", None, 0)
                    done = True
            except BaseException as error:
                if self._inside:
                    _known(error)  # others wait where no header would reach them; they see that this process ends
                elif not (done or getattr(error, _KNOWN, False)):
                    self._tell_failure(_known(error))
                raise

    def _tell_failure(self, error: BaseException) -> None:
        kind = next((known.__name__ for known in type(error).__mro__ if known.__name__ in _KINDS), "")
        message = f"{kind}\n{type(error).__name__}: {error}".encode()
        try:
            with interrupts_held():
                self._meet("end", None, len(message), message)
        except BaseException as known:
            if not getattr(known, _KNOWN, False):
                raise

    @contextmanager
    def _exchange(self, operation: str, shapes: Any, number: int = 0) -> Iterator[list[int]]:
        """All ranks at one exchange, with the whole number that each brings."""
        with interrupts_held():
            numbers = self._meet(operation, shapes, number)
            self._inside = True
            yield numbers
            self._inside = False

    def _meet(self, operation: str, shapes: Any, number: int, failure: bytes = b"") -> list[int]:
        if self._inside:
            raise _known(RuntimeError("this process left an exchange with its group, which cannot go on: start again"))
        self._calls += 1
        digest = zlib.crc32(repr(shapes).encode())
        mine = [self._calls, _OPERATIONS.index(operation), digest, int(bool(failure)), number]
        own = torch.tensor(mine, device=self._wire)
        headers = self._gather_alike(own).tolist()
        if any(header[3] for header in headers):
            lengths = [header[4] if header[3] else 0 for header in headers]
            raise _failed(self._parts(failure, lengths))
        if any(header[:3] != mine[:3] for header in headers):
            raise _parted(headers)
        return [header[4] for header in headers]

    def _gather_alike(self, mine: Tensor) -> Tensor:
        """Tensors of one shape on all ranks, (size, ...)."""
        theirs = mine.new_empty(self.size, *mine.shape)
        self._call(dist.all_gather, list(theirs), mine)
        self.bytes_sent += (self.size - 1) * mine.numel() * mine.itemsize
        return theirs

    def _call(self, collective: Callable[..., Any], *args: Any) -> None:
        try:
            collective(*args)
        except RuntimeError as error:
            raise _known(RuntimeError(_ENDED.format(str(error).strip().partition("\n")[0]))) from error


AnyGroup: TypeAlias = Alone | Group
_turn = threading.RLock()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Refuse a second thread: exchanges of two would mix, each rank's in another order."""
    if not _turn.acquire(blocking=False):
        raise _known(
            RuntimeError(
                "another thread of this process is in a distributed fit, and two at a time would mix what they tell "
                "the group: fit one after the other"
            )
        )
    try:
        yield
    finally:
        _turn.release()


def group_of(distributed: bool, device: torch.device) -> AnyGroup:
    """The group that a fit on a device belongs to.

    Raises
    ------
    ValueError
        If it is to be distributed, and there is no process group.
    """
    if not distributed:
        return ALONE
    if not (dist.is_available() and dist.is_initialized()):
        raise ValueError(_NO_GROUP)
    return Group(device) if dist.get_world_size() > 1 else ALONE


def _wire(device: torch.device) -> torch.device:
    """Where tensors are that the group's backend sends: on the GPU if that is nccl, else on the processor."""
    backends = dict(part.split(":") for part in dist.get_backend_config().split(","))
    if backends.get("cuda") != "nccl" or (device.type == "cpu" and backends.get("cpu") == "gloo"):
        return torch.device("cpu")
    return device if device.type == "cuda" else torch.device("cuda", torch.cuda.current_device())


def _known(error: BaseException) -> Any:
    setattr(error, _KNOWN, True)
    return error


def _failed(messages: list[bytes]) -> BaseException:
    """What the others raise where some ranks failed."""
    rank = next(r for r, message in enumerate(messages) if message)
    kind, _, said = messages[rank].decode().partition("\n")
    return _known(_KINDS.get(kind, RuntimeError)(f"rank {rank} failed: {said}"))


def _parted(headers: list[list[int]]) -> BaseException:
    """That ranks are at different exchanges."""
    other = next(r for r, header in enumerate(headers) if header[:3] != headers[0][:3])
    seen = ", ".join(
        f"rank {r} is at '{_OPERATIONS[headers[r][1]]}' after {headers[r][0] - 1} exchanges" for r in (0, other)
    )
    return _known(
        RuntimeError(
            f"the processes of the group have gone different ways: {seen}, or of different shapes. All must call the "
            "same methods in the same order, with equal parameters; only the rows differ."
        )
    )


def _shapes(tensors: Any) -> list[tuple[tuple[int, ...], str]]:
    return [(tuple(t.shape), str(t.dtype)) for t in tensors]


def _padded(rows: Tensor, n_rows: int) -> Tensor:
    if len(rows) == n_rows:
        return rows.contiguous()
    return torch.cat([rows, rows.new_zeros((n_rows - len(rows), *rows.shape[1:]))])


def _pieces(flat: list[Tensor], results: list[Tensor]) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Parts of vectors, and the same parts of the results, about `_PIECE_NUMBERS` numbers at a time."""
    parts: tuple[list[Tensor], list[Tensor]] = [], []
    held = 0
    for vector, result in zip(flat, results, strict=True):
        for start in range(0, len(vector), _PIECE_NUMBERS):
            parts[0].append(vector[start : start + _PIECE_NUMBERS])
            parts[1].append(result[start : start + _PIECE_NUMBERS])
            held += len(parts[0][-1])
            if held >= _PIECE_NUMBERS:
                yield parts
                parts, held = ([], []), 0
    if held:
        yield parts
