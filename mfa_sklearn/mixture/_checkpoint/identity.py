"""Which fit a checkpoint is of: what was asked for, and of which rows."""

from __future__ import annotations

import hashlib
import math
import os
from typing import Any

import numpy as np
import torch

from ..._base.annotated import row_fact, shared_fact
from ..._base.devices import plain_array, to_numpy, working_dtype
from ..._base.group import AnyGroup
from ..._base.mapped import read_rows
from ..._base.words import shortened
from .._moments import ColumnMoments
from .._validation import check_weights
from .folder import REMEDY, UnusableCheckpointError

# Parameters that leave the course of a fit as it is, or only say where it ends.
_FREE = frozenset(
    {"max_iter", "verbose", "checkpoint", "checkpoint_interval", "sparse_output", "rotation", "device", "warm_start"}
)
# Rows, spread evenly, that a table is known by before it is gone through.
_ROWS_LOOKED_AT = 64
# What moments of the same rows may differ by on another machine, whose sums are in another order.
_SAME = 1e-9


def identity(
    estimator: Any, X: Any, rows: Any, sample_weight: Any, start: str | None, group: AnyGroup
) -> dict[str, Any]:
    """What a fit is known by, as plain values by names that errors can use.

    Parameters
    ----------
    estimator : MFA
    X : array-like
        As the user gave it, with what an earlier step attached.
    rows : array-like of shape (n, D)
        The same, checked.
    sample_weight : array-like (n,), optional
    start : str or None
        Digest of the mixture that a warm start begins with.
    group : Alone or Group
        Of the processes that have the other rows.
    """
    e = estimator
    free = _FREE if e.n_init == 1 else _FREE - {"max_iter"}
    asked = {name: _plain(value) for name, value in e.get_params(deep=False).items() if name not in free}
    weights = check_weights(sample_weight, rows, group)
    centers = shared_fact(X, "cluster_centers") if isinstance(e.init, str) and e.init == "auto" else None
    texts = row_fact(X, "text_index") if e.held_out is not None and e.held_out_by == "text" else None
    asked |= {
        "dtype": str(working_dtype(e.dtype, rows)).removeprefix("torch."),
        "rows": f"{rows.shape[0]} x {rows.shape[1]}, {rows.dtype}, digest {_rows_digest(rows)}",
        "sample_weight": _plain(weights.spread(rows.shape[0])) if sample_weight is not None else None,
        "centers of an earlier step": None if centers is None else _plain(np.asarray(plain_array(centers))),
        "texts of the rows": None if texts is None else _plain(np.asarray(texts)),
        "mixture to start from": start,
    }
    return of_all(asked, group)


def of_all(asked: dict[str, Any], group: AnyGroup) -> dict[str, Any]:
    """What the fit of a group is known by: of what differs between its processes, such as their rows, a list."""
    parts = group.objects(asked)
    alike = {name: all(part[name] == value for part in parts) for name, value in asked.items()}
    known_by = {name: value if alike[name] else [part[name] for part in parts] for name, value in asked.items()}
    return known_by | {"processes": group.size}


def check_same(folder: str, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse the checkpoint of another fit.

    Raises
    ------
    ValueError
        With what differs.
    """
    names = [name for name in asked | found if found.get(name) != asked.get(name)]
    if not names:
        return
    told = "; ".join(f"{name}={_told(found.get(name))}, now {_told(asked.get(name))}" for name in names[:3])
    raise UnusableCheckpointError(
        f"checkpoint={folder!r} holds another fit: {told}{' and more' if len(names) > 3 else ''}. Fit with the same "
        f"parameters and rows to go on with it, or {REMEDY}; clones of an estimator need a folder each"
    )


def moments_state(moments: ColumnMoments) -> tuple[torch.Tensor, ...]:
    """What `check_moments` compares."""
    return moments.mean, moments.variance, moments.low, moments.high


def check_moments(folder: str, found: tuple[torch.Tensor, ...], moments: ColumnMoments) -> None:
    """Refuse rows whose columns are not those of the rows that a checkpoint is of.

    Raises
    ------
    ValueError
        With the first column that differs.
    """
    scale = moments.variance.sqrt() + moments.mean.abs()
    units = scale, scale.square(), scale, scale
    names = "mean", "variance", "minimum", "maximum"
    for name, old, new, unit in zip(names, found, moments_state(moments), units, strict=True):
        apart = ~((old.to(new) - new).abs() <= _SAME * unit)
        if bool(apart.any()):
            d = int(apart.nonzero()[0])
            raise UnusableCheckpointError(
                f"checkpoint={folder!r} holds a fit to other rows: the {name} of column {d} was {float(old[d]):.6g} "
                f"and is {float(new[d]):.6g}. Fit the same rows to go on with it, or {REMEDY}"
            )


def _told(value: Any) -> str:
    return value if isinstance(value, str) else shortened(value)


def _rows_digest(rows: Any) -> str:
    """Of some rows of a table, spread evenly over it, in their order."""
    if not rows.shape[0]:
        return "of none"
    numbers = np.unique(np.linspace(0, rows.shape[0] - 1, _ROWS_LOOKED_AT).astype(np.int64))
    return _digest(to_numpy(read_rows(rows, numbers, torch.device("cpu")).double()))


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """What a description can hold of a parameter: numbers and words as they are, of what is larger a digest."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # JSON has no infinity
    if isinstance(value, np.random.RandomState):
        return "RandomState"  # its state is the checkpoint's
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, os.PathLike | torch.dtype | torch.device | type | np.dtype):
        return str(value)
    if hasattr(value, "get_params"):
        own = {name: _plain(param) for name, param in value.get_params(deep=False).items()}
        centers = getattr(value, "cluster_centers_", None)
        found = {} if centers is None else {"cluster_centers_": _plain(np.asarray(centers))}
        return {"kind": type(value).__name__} | own | found
    if hasattr(value, "fit"):
        return type(value).__name__
    array = np.asarray(plain_array(value))
    return f"array of shape {array.shape} and type {array.dtype}, digest {_digest(array)}"
