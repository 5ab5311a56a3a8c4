"""Where and how precisely to compute: devices, precisions, seeded draws, tensors to numpy."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .checks import check_choice, unmasked

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

# Of the weights and the computation of a language model.
MODEL_DTYPES = ("float32", "float64", "float16", "bfloat16")


def resolve_device(device: str | torch.device) -> torch.device:
    """The torch device meant by `device`; "auto" is CUDA where there is one.

    None is refused: where `device` is a parameter, "auto" is its default and says the same.

    Raises
    ------
    ValueError
        If there is no such device in this machine, or it holds no numbers.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r} is not a torch device; use 'auto', 'cpu', 'cuda' or 'cuda:0'") from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}, but this machine or this build of torch has no CUDA; use device='cpu'")
    if resolved.type != "cpu":
        _check_computes(resolved)
    return resolved


def _check_computes(device: torch.device) -> None:
    """Refuse a device that this machine has not, or on which there are no numbers (such as "meta")."""
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        said = str(error).strip().partition("\n")[0]
        raise ValueError(f"device={str(device)!r} cannot compute here ({said}); use 'auto' or 'cpu'") from error


def working_dtype(dtype: DTypeLike | torch.dtype | None, X: Any) -> torch.dtype:
    """What a mixture computes in: as asked for, else double for double input and single for everything narrower."""
    if dtype is None or (isinstance(dtype, str) and dtype == "auto"):
        kind = str(X.dtype).removeprefix("torch.")
        wide = kind == "float64" or kind.startswith(("int", "uint", "bool"))
        return torch.float64 if wide else torch.float32
    name = str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else np.dtype(dtype).name
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype={dtype!r} is not a working precision; use 'auto', 'float32' or 'float64'")
    return torch.float32 if name == "float32" else torch.float64


def model_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """What a language model computes in.

    Examples
    --------
    >>> model_dtype("bfloat16")
    torch.bfloat16
    """
    return getattr(torch, model_dtype_name(dtype))


def model_dtype_name(dtype: str | torch.dtype) -> str:
    """The plain name of what a language model computes in.

    Examples
    --------
    >>> model_dtype_name(torch.float16)
    'float16'
    """
    name = str(dtype).removeprefix("torch.")
    check_choice("dtype", name, MODEL_DTYPES)
    return name


def to_numpy(tensor: Tensor, dtype: DTypeLike | None = None) -> np.ndarray:
    """A tensor from any device as a numpy array of its own; bfloat16, which numpy has not, in single precision."""
    tensor = tensor.detach().cpu()
    array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array if dtype is None else array.astype(dtype, copy=False)


def plain_array(values: Any) -> Any:
    """What numpy can read of values that may be a tensor, on any device and with a gradient, or a masked array."""
    return to_numpy(values) if isinstance(values, Tensor) else unmasked(values)


def to_tensor(array: Any, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of an array, which is copied where it may not be written to (torch warns of sharing such memory)."""
    values = np.asarray(array)
    return torch.as_tensor(values if values.flags.writeable else values.copy(), device=device, dtype=dtype)


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """What is computed inside the block keeps the precision of its tensors, also under the caller's autocast."""
    return torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext()


class DrawsOf(TorchFunctionMode):
    """Inside the block, samples that code of others draws with `torch.multinomial` come from a generator of one's own.

    Unlike a seed of torch's global generator this holds for the calling thread alone, and leaves nothing to put back.

    Parameters
    ----------
    seed : int
    device : str or torch.device, optional
        Where the draws are made; the CPU by default.
    """

    def __init__(self, seed: int, device: str | torch.device | None = None) -> None:
        super().__init__()
        self._generator = torch.Generator(device=torch.device("cpu" if device is None else device)).manual_seed(seed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Hand the generator to the draws, and everything else on as it is."""
        kwargs = dict(kwargs or {})
        if func in (torch.multinomial, Tensor.multinomial):
            kwargs["generator"] = self._generator
        return func(*args, **kwargs)
