"""Checkpoints of the reference implementation of arXiv 2602.02464, read without running anything they hold.

Its unconstrained parameters stand for (K components, D features, q factors)

    weights   softmax(pi_logits)                            pi_logits (K,)
    means     mu                                            mu (K, D)
    loadings  dir_raw / |dir_raw| * softplus(scale_rho)     dir_raw (K, D, q), scale_rho (K, q); norm over D
    noise     softplus(psi_rho) + eps                       psi_rho (D,) or (K, D)

with eps in ``meta["eps_floor"]``, which is also the least norm divided by. Computed here in double precision.
"""

from __future__ import annotations

import math
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..._base.files import as_path
from .._model.params import check_params, check_shapes

_NAMES = ("pi_logits", "mu", "dir_raw", "scale_rho", "psi_rho")
_VERSION = 1
# What the reference's own reader assumes of a checkpoint that does not say.
_DEFAULT_EPS = 1e-8


def read_reference(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Weights (K,), means (K, D), loadings (K, D, q) and noise variance (D,) or (K, D) of a reference checkpoint.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, holds other objects than tensors and plain values, or lacks a parameter.
    """
    path = as_path("path", path)
    state, meta = _load(path)
    _check_shapes(path, state, meta)
    if meta.get("rotation_on") is True:
        warnings.warn(
            f"{path} shows its factors in an oblique rotation ({meta.get('rotation_kind')!r}); the loadings read are "
            "those it was trained with, which have the same densities.",
            stacklevel=3,
        )
    eps = _floor(path, meta)
    raw = {name: state[name].detach().to("cpu", torch.float64) for name in _NAMES}
    directions = raw["dir_raw"] / raw["dir_raw"].norm(dim=1, keepdim=True).clamp(min=eps)
    loadings = directions * softplus(raw["scale_rho"])[:, None, :]
    weights, noise = raw["pi_logits"].softmax(0), softplus(raw["psi_rho"]) + eps
    numbers = weights.numpy(), raw["mu"].numpy(), loadings.numpy(), noise.numpy()
    try:
        check_params(*numbers)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return numbers


def _floor(path: Path, meta: dict[str, Any]) -> float:
    eps = meta.get("eps_floor", _DEFAULT_EPS)
    known = isinstance(eps, int | float) and not isinstance(eps, bool)
    if not (known and math.isfinite(eps) and eps >= 0):
        raise ValueError(f"{path} is damaged: its eps_floor={eps!r} must be a number of at least 0")
    return float(eps)


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; give a checkpoint that the reference's save_mfa wrote")
    content = _read(path)
    wrapped = isinstance(content, dict) and "state_dict" in content
    state, meta = (content["state_dict"], content.get("meta") or {}) if wrapped else (content, {})
    held = _held(state)
    if not isinstance(state, dict) or not all(isinstance(state.get(name), Tensor) for name in _NAMES):
        raise ValueError(f"{path} is not a checkpoint of the reference: it holds {held}, expected tensors {_NAMES}")
    if not isinstance(meta, dict):
        raise ValueError(f"{path} is damaged: its meta is of type {type(meta).__name__}, expected a dict")
    for name in _NAMES:
        _check_tensor(path, name, state[name])
    return state, meta


def _read(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is not a checkpoint, or holds objects other than tensors and plain values, which are not read "
            "because reading them could run code; where you trust it, save it again without them"
        ) from error
    except Exception as error:  # of a file that is none of torch.save, the reader's errors have no end
        said = f"{type(error).__name__}: {error}"[:200]
        raise ValueError(f"{path} is damaged or not a file of torch.save ({said})") from error


def _held(state: Any) -> str:
    if not isinstance(state, dict):
        return type(state).__name__
    names = sorted(str(name)[:40] for name in state)
    return f"{names[:10]} and {len(names) - 10} more" if len(names) > 10 else str(names)


def _check_tensor(path: Path, name: str, tensor: Tensor) -> None:
    plain = tensor.layout == torch.strided and not tensor.is_nested and not tensor.is_quantized
    if not (plain and tensor.is_floating_point() and tensor.device.type != "meta"):
        raise ValueError(
            f"{path} is damaged: {name} is a tensor of {tensor.dtype}, {tensor.layout} on {tensor.device}, expected "
            "dense floating-point numbers"
        )


def _check_shapes(path: Path, state: dict[str, Tensor], meta: dict[str, Any]) -> None:
    version = meta.get("version", _VERSION)
    if not _is_number(version, _VERSION):
        raise ValueError(f"{path} has version {version!r}; this reader knows version {_VERSION}")
    shapes = {name: tuple(state[name].shape) for name in _NAMES}
    scale = shapes.pop("scale_rho")
    try:
        check_shapes(shapes)
        K, D, q = shapes["dir_raw"]
        if scale != (K, q):
            raise ValueError(f"scale_rho has shape {scale}; expected {(K, q)}")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    told = {name: meta[name] for name in ("K", "D", "q") if name in meta}
    if any(not _is_number(told[name], value) for name, value in (("K", K), ("D", D), ("q", q)) if name in told):
        raise ValueError(f"{path} says {told} of itself, but its tensors have K={K}, D={D}, q={q}")


def _is_number(value: Any, expected: int) -> bool:
    """Whether it is this number; what is none may not be comparable to one."""
    return isinstance(value, int | float) and value == expected
