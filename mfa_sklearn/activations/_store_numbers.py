"""The numbers of a store: in which type they are on disk, and in which they are read.

numpy has no bfloat16, so such numbers are on disk as the 16 bits of each, unsigned integers, and are read in single
precision, of which they are the upper half.
"""

from __future__ import annotations

import numpy as np
import torch

from .._base.devices import to_tensor

DTYPES = ("float16", "float32", "bfloat16")
# The largest number of each; beyond it is infinity.
_LARGEST = {"float16": 65504.0, "float32": float(np.finfo(np.float32).max), "bfloat16": 2.0**127 * (2 - 2.0**-7)}


def disk_dtype(name: str) -> np.dtype:
    """The type of an array in a file.

    Examples
    --------
    >>> disk_dtype("bfloat16"), disk_dtype("float16")
    (dtype('uint16'), dtype('float16'))
    """
    return np.dtype(np.uint16 if name == "bfloat16" else name)


def memory_dtype(name: str) -> np.dtype:
    """The type of what is read.

    Examples
    --------
    >>> memory_dtype("bfloat16"), memory_dtype("float16")
    (dtype('float32'), dtype('float16'))
    """
    return np.dtype(np.float32 if name == "bfloat16" else name)


def narrowed(values: np.ndarray, name: str, layer: int) -> np.ndarray:
    """Activations (n, d) as they are written.

    To bfloat16 they are rounded to nearest, ties to even, as torch does it.

    Raises
    ------
    ValueError
        If one is beyond what the type holds.
    """
    found = too_large(values, name, layer)
    if found:
        raise ValueError(f"{found} (and another directory, or resume=False, if parts are written already)")
    if name == "bfloat16":
        single = to_tensor(np.ascontiguousarray(values, dtype=np.float32))
        return single.to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)
    if name == "float16" and values.dtype == np.float32:  # torch is several times as fast as numpy, to the same bits
        return to_tensor(np.ascontiguousarray(values)).half().numpy()
    return values.astype(name, copy=False)


def too_large(values: np.ndarray, name: str, layer: int) -> str:
    """What is wrong with numbers (n, d) that a type on disk does not hold, and the remedy; empty if it holds them.

    Those that are missing, NaN, do not hide others.

    Examples
    --------
    >>> import numpy as np
    >>> too_large(np.array([[np.nan, 7e4]]), "float16", 3)
    "layer 3 has activations of 7e+04, beyond float16's 65504: use dtype='bfloat16' or 'float32'"
    """
    highest, lowest = values.max(initial=0), values.min(initial=0)
    if np.isnan(highest):
        highest, lowest = (both.reduce(values, axis=None, initial=0) for both in (np.fmax, np.fmin))
    largest = float(max(highest, -lowest))
    if largest <= _LARGEST[name]:
        return ""
    is_wider = name == "float16" and np.isfinite(largest)
    wider = "use dtype='bfloat16' or 'float32'" if is_wider else "no type on disk holds them"
    return f"layer {layer} has activations of {largest:.3g}, beyond {name}'s {_LARGEST[name]:.5g}: {wider}"


def widened(stored: np.ndarray, name: str) -> np.ndarray:
    """Numbers of any shape as they are read, from what is in a file: the same values to the bit.

    Examples
    --------
    >>> import numpy as np
    >>> widened(np.array([0x3F80, 0xC0A0], dtype=np.uint16), "bfloat16")
    array([ 1., -5.], dtype=float32)
    """
    return (stored.astype(np.uint32) << 16).view(np.float32) if name == "bfloat16" else stored
