"""Values packed for the way to another process of the same program, their tensors apart from the rest."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Makes a tensor of a shape and a precision, on the device that computes or on the processor.
Receive = Callable[[tuple[int, ...], torch.dtype, bool], Tensor]


def packed(value: Any) -> tuple[bytes, list[Tensor]]:
    """A value without the numbers of its tensors, and these tensors in the order in which they are wanted again."""
    file = io.BytesIO()
    pickler = _Pickler(file)
    pickler.dump(value)
    return file.getvalue(), pickler.tensors


def unpacked(message: bytes, receive: Receive) -> Any:
    """The value again, from the same program's own message; `receive` gives the tensors one by one."""
    return _Unpickler(io.BytesIO(message), receive).load()


def as_tensor(message: bytes) -> Tensor:
    """Bytes as numbers to send, (n,) uint8."""
    return torch.frombuffer(bytearray(message), dtype=torch.uint8) if message else torch.empty(0, dtype=torch.uint8)


def as_bytes(numbers: Tensor) -> bytes:
    """The bytes again."""
    return numbers.cpu().numpy().tobytes()


def as_whole(value: float) -> int:
    """The bits of a float as a whole number."""
    return struct.unpack("<q", struct.pack("<d", value))[0]


def as_float(value: int) -> float:
    """The float again."""
    return struct.unpack("<d", struct.pack("<q", value))[0]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.tensors: list[Tensor] = []

    def persistent_id(self, value: Any) -> Any:
        """Shape, precision and place of a tensor; None for all else."""
        if not isinstance(value, Tensor):
            return None
        self.tensors.append(value.detach())
        return tuple(value.shape), value.dtype, value.device.type != "cpu"


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, receive: Receive) -> None:
        super().__init__(file)
        self._receive = receive

    def persistent_load(self, what: Any) -> Tensor:
        """The next tensor."""
        return self._receive(*what)
