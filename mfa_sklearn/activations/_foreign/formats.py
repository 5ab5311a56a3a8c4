"""What files of each format hold, read off their heads: nothing is unpickled, and rows are read later."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np

from ..._base.files import reading
from ..._base.lazy_rows import dtype_of
from .column import ArrayColumn, Column
from .parquet import parquet_columns

_SAFETENSORS = {
    **{"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"},
    **{"U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "BOOL": "?", "BF16": "<u2"},
}


class NpyColumn(ArrayColumn):
    """The array of a ``.npy`` file."""

    def array(self) -> np.ndarray:
        return np.lib.format.open_memmap(self.path, mode="r")


class SafetensorsColumn(ArrayColumn):
    """A tensor of a ``.safetensors`` file, mapped where it stands in it."""

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], kind: str, offset: int) -> None:
        super().__init__(path, name, shape, np.dtype(np.float32 if kind == "BF16" else _SAFETENSORS[kind]))
        self._kind, self._offset = kind, offset

    def array(self) -> Any:
        if 0 in self.shape:  # of nothing there is no map
            return np.zeros(self.shape, self.dtype)
        return np.memmap(self.path, _SAFETENSORS[self._kind], "r", self._offset, self.shape)

    def _read(self, index: Any, layer: int | None) -> np.ndarray:
        read = super()._read(index, layer)
        # bfloat16 is the upper half of single precision.
        return (read.astype(np.uint32) << 16).view(np.float32) if self._kind == "BF16" and read.size else read


class TorchColumn(ArrayColumn):
    """A tensor of a file that `torch.save` wrote."""

    def array(self) -> Any:
        return _torch_tensors(self.path)[self.name]


def npy_columns(path: Path) -> list[Column]:
    array = np.lib.format.open_memmap(path, mode="r")
    return [NpyColumn(path, "", array.shape, array.dtype)]


def safetensors_columns(path: Path) -> list[Column]:
    from safetensors import safe_open

    with safe_open(path, framework="np"):  # which checks that the head fits the file
        pass
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(size))
    found: list[Column] = []
    for name, entry in head.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] not in _SAFETENSORS:
            raise ValueError(f"{name!r} is of type {entry['dtype']}, which is not read: convert it to float32")
        start = 8 + size + entry["data_offsets"][0]
        found.append(SafetensorsColumn(path, name, tuple(entry["shape"]), entry["dtype"], start))
    return found


def torch_columns(path: Path) -> list[Column]:
    return [TorchColumn(path, name, tuple(t.shape), dtype_of(t)) for name, t in _torch_tensors(path).items()]


def _torch_tensors(path: Path) -> dict[str, Any]:
    """The tensors of a file by their names; of one tensor alone, by ""."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise ValueError("it holds other objects than tensors, which are not unpickled: save tensors alone") from error
    except RuntimeError as error:
        if "mmap can only be used" not in str(error):
            raise
        raise ValueError("it is of torch's format before 1.6, which cannot be mapped: save it again") from error
    content = {"": content} if isinstance(content, torch.Tensor) else content
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}: save one tensor, or a dict of tensors by their names")
    found = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    for tensor in found.values():
        if tensor.layout != torch.strided:
            raise ValueError(f"a tensor of it is {tensor.layout}, not a table of all numbers: save its to_dense()")
    return found


# By the suffix of a file's name: what it is, and how its columns are found.
FORMATS: dict[str, tuple[str, Callable[[Path], list[Column]]]] = {
    ".npy": ("a .npy file", npy_columns),
    ".safetensors": ("a safetensors file", safetensors_columns),
    ".pt": ("a file of torch.save", torch_columns),
    ".pth": ("a file of torch.save", torch_columns),
    ".parquet": ("a Parquet file", parquet_columns),
}


def columns_of(path: Path) -> list[Column]:
    """What a file holds.

    Raises
    ------
    ValueError
        If it cannot be read as what its name says; the message names it.
    """
    kind, read = FORMATS[path.suffix.lower()]
    with reading(path, kind):
        return read(path)
