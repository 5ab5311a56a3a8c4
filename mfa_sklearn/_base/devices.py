"""Where and how precisely to compute: devices, precisions, tensors to numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def resolve_device(device: str | torch.device) -> torch.device:
    """The torch device meant by `device`; "auto" is CUDA where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device={device!r} is not a torch device; use 'auto', 'cpu', 'cuda' or 'cuda:0'") from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device={device!r}, but this machine or this build of torch has no CUDA; use device='cpu'")
    return resolved


def resolve_dtype(dtype: Any, X: Any) -> torch.dtype:
    """Working precision: as asked for, else double for double input and single for everything narrower."""
    if dtype is None or (isinstance(dtype, str) and dtype == "auto"):
        kind = str(X.dtype).removeprefix("torch.")
        wide = kind == "float64" or kind.startswith(("int", "uint", "bool"))
        return torch.float64 if wide else torch.float32
    name = str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else np.dtype(dtype).name
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype={dtype!r} is not a working precision; use 'auto', 'float32' or 'float64'")
    return torch.float32 if name == "float32" else torch.float64


def to_numpy(tensor: Tensor, dtype: Any = None) -> np.ndarray:
    """A tensor from any device as a numpy array of its own."""
    array = tensor.detach().cpu().numpy()
    return array if dtype is None else array.astype(dtype, copy=False)
