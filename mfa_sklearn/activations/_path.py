"""Rows at a path: the folder of an activation store, or a table in a ``.npy`` file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ._store import ActivationStore, StoredActivations

_GIVE = "give a folder that `extract` wrote (ActivationExtractor.extract_to), or a .npy file"


def rows_at(path: str | os.PathLike[str], layer: int | None = None) -> StoredActivations | np.ndarray:
    """The table at a path; it stays on disk and is read as its rows are needed.

    Parameters
    ----------
    path : path
        A folder that `ActivationExtractor.extract_to` wrote, or a ``.npy`` file.
    layer : int, optional
        Which layer of a folder; by default its only one.

    Raises
    ------
    ValueError
        If there is nothing to read, or the layer is not there or not named.
    """
    path = Path(path)
    if path.is_dir():
        return ActivationStore(path).open(layer)
    if not path.exists():
        raise ValueError(f"there is no {str(path)!r}: {_GIVE}")
    if path.suffix.lower() != ".npy":
        raise ValueError(f"cannot read {str(path)!r}: {_GIVE}")
    if layer is not None:
        raise ValueError(f"{str(path)!r} is one table, which has no layers: leave layer={layer} out")
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{str(path)!r} cannot be read ({error}): save it anew with numpy.save") from error
