"""Checkpoints of the reference implementation of arXiv 2602.02464, read without running anything they hold.

Its unconstrained parameters stand for (K components, D features, q factors)

    weights   softmax(pi_logits)                            pi_logits (K,)
    means     mu                                            mu (K, D)
    loadings  dir_raw / |dir_raw| * softplus(scale_rho)     dir_raw (K, D, q), scale_rho (K, q); norm over D
    noise     softplus(psi_rho) + eps                       psi_rho (D,) or (K, D)

with eps in ``meta["eps_floor"]``, which is also the least norm divided by. Computed here in double precision.
"""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..._base.home import home_path
from .._model.params import check_shapes

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
    state, meta = _load(home_path(path))
    _check_shapes(path, state, meta)
    if meta.get("rotation_on"):
        warnings.warn(
            f"{path} shows its factors in an oblique rotation ({meta.get('rotation_kind')!r}); the loadings read are "
            "those it was trained with, which have the same densities.",
            stacklevel=3,
        )
    eps = float(meta.get("eps_floor", _DEFAULT_EPS))
    raw = {name: state[name].detach().double() for name in _NAMES}
    directions = raw["dir_raw"] / raw["dir_raw"].norm(dim=1, keepdim=True).clamp(min=eps)
    loadings = directions * softplus(raw["scale_rho"])[:, None, :]
    weights, noise = raw["pi_logits"].softmax(0), softplus(raw["psi_rho"]) + eps
    return weights.numpy(), raw["mu"].numpy(), loadings.numpy(), noise.numpy()


def _load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file; give a checkpoint that the reference's save_mfa wrote")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is not a checkpoint, or holds objects other than tensors and plain values, which are not read "
            "because reading them could run code; where you trust it, save it again without them"
        ) from error
    except (RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{path} is damaged or not a file of torch.save: {error}") from error
    wrapped = isinstance(content, dict) and "state_dict" in content
    state, meta = (content["state_dict"], content.get("meta") or {}) if wrapped else (content, {})
    held = sorted(map(str, state)) if isinstance(state, dict) else type(state).__name__
    if not isinstance(state, dict) or not all(isinstance(state.get(name), Tensor) for name in _NAMES):
        raise ValueError(f"{path} is not a checkpoint of the reference: it holds {held}, expected tensors {_NAMES}")
    return state, meta if isinstance(meta, dict) else {}


def _check_shapes(path: Any, state: dict[str, Tensor], meta: dict[str, Any]) -> None:
    version = meta.get("version", _VERSION)
    if version != _VERSION:
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
    if any(told[name] != value for name, value in (("K", K), ("D", D), ("q", q)) if name in told):
        raise ValueError(f"{path} says {told} of itself, but its tensors have K={K}, D={D}, q={q}")
