"""What CUDA does with tensors that meet in an operation, for the pretend device: which it takes, and how it rounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

# Operations that copy from any device to any other.
_COPIES = {"aten::copy_", "aten::_to_copy"}
# Operations on a device that take a number as a tensor of the processor, without dimensions.
_TAKE_NUMBERS = {"aten::where", "aten::masked_fill", "aten::masked_fill_", "aten::fill", "aten::fill_"}
# Of two operands, neither of which may be such a number.
_TAKE_TENSORS = {"aten::clamp", "aten::clamp_", "aten::lerp", "aten::lerp_"}
INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"}
# Matrix products, and where their factors are among the arguments.
_PRODUCTS = {"aten::mm": 0, "aten::bmm": 0}
_PRODUCTS |= dict.fromkeys(("aten::addmm", "aten::addmm_", "aten::baddbmm", "aten::baddbmm_"), 1)


def tensors_in(*values: Any) -> Iterator[Tensor]:
    """The tensors among arguments and in sequences of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif type(value) in (list, tuple):
            yield from tensors_in(*value)


def common_place(func: Any, args: Any, kwargs: Any, written: list[Tensor]) -> torch.device:
    """Where an operation is made, if CUDA would make it."""
    name = func._schema.name
    tensors = list(tensors_in(*args, *kwargs.values()))
    places = {t.place for t in tensors if t.is_cuda}
    first = next(t.place for t in tensors if t.is_cuda)
    if name in _COPIES:
        return first
    strangers = [t for t in tensors if not t.is_cuda]
    if len(places) > 1 or not all(_excused(t, func, name, args, tensors, written) for t in strangers):
        found = " and ".join(sorted({str(p) for p in places} | {"cpu" for _ in strangers}))
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {found}! "
            f"(when checking the arguments of {name})"
        )
    if name == "aten::linalg_lstsq" and kwargs.get("driver") not in (None, "gels"):
        raise RuntimeError(f"torch.linalg.lstsq: `driver` on CUDA is 'gels', got {kwargs['driver']!r}")
    return first


def _excused(tensor: Tensor, func: Any, name: str, args: Any, tensors: list[Tensor], written: list[Tensor]) -> bool:
    """Whether CUDA takes this tensor of the processor in an operation with tensors of a device."""
    if any(tensor is one for one in written):
        return False
    if name in INDEXING:
        number = tensor.dim() == 0 and len(args) > 2 and tensor is args[2]
        return args[0].is_cuda and (number or any(tensor is index for index in args[1]))
    binary = torch.Tag.pointwise in func.tags and len(tensors) == 2 and name not in _TAKE_TENSORS
    return tensor.dim() == 0 and (binary or name in _TAKE_NUMBERS)


def as_multiplied(name: str, args: Any) -> Any:
    """The arguments of an operation, with the factors of products as CUDA takes them: TF32, if torch is set to it."""
    if name not in _PRODUCTS or not _rounds():
        return args
    first = _PRODUCTS[name]
    return [*args[:first], *map(to_tf32, args[first : first + 2]), *args[first + 2 :]]


def _rounds() -> bool:
    matmul = torch.backends.cuda.matmul
    return matmul.fp32_precision == "tf32" if hasattr(matmul, "fp32_precision") else matmul.allow_tf32


def to_tf32(factor: Tensor) -> Tensor:
    """Numbers of single precision, rounded to the ten bits after the point that tensor cores read."""
    if factor.dtype != torch.float32:
        return factor
    bits = factor.contiguous().view(torch.int32)
    return ((bits + 0x0FFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)
