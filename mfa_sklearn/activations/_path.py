"""Rows at a path: the folder of an activation store, or files that other programs wrote."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .._base.files import reading
from ._activation_rows import ActivationRows
from ._foreign.files import files_of
from ._foreign.formats import FORMATS
from ._foreign.opened import open_activations
from ._foreign.rows import OpenedLayers
from ._store import ActivationStore
from ._store_parts import has_store

_GIVE = (
    "give a folder that `extract` wrote (ActivationExtractor.extract_to), or a file or a folder of files that end in "
    f"{', '.join(FORMATS)}"
)
# How other files of rows are read, by their suffix.
_READERS = {
    ".npz": "numpy.load({!r})[NAME]",
    ".csv": "pandas.read_csv({!r})",
    ".tsv": "pandas.read_csv({!r}, sep='\\t')",
}


def rows_at(path: str | os.PathLike[str], layer: int | None = None) -> ActivationRows | np.ndarray:
    """The table at a path; it stays on disk and is read as its rows are needed.

    Parameters
    ----------
    path : path
        A folder that `ActivationExtractor.extract_to` wrote, or what `open_activations` opens without being told more.
    layer : int, optional
        Which layer of a folder; by default its only one.

    Raises
    ------
    ValueError
        If there is nothing to read, or the layer is not there or not named.
    """
    path = Path(path)
    if path.is_dir() and has_store(path):
        with reading(path, "a folder of activations"):
            store = ActivationStore(path)
        return store.open(layer)
    if not path.exists():
        raise ValueError(f"there is no {str(path)!r}: {_GIVE}")
    if not path.is_dir() and path.suffix.lower() not in FORMATS:
        reader = _READERS.get(path.suffix.lower(), "").format(str(path))
        raise ValueError(f"cannot read {str(path)!r}: {_GIVE}{reader and f', or its rows, as {reader} gives them'}")
    if not path.is_dir() and path.suffix.lower() == ".npy":
        (file,) = files_of(path)
        return _table(file, layer)
    opened = open_activations(path, layer)
    return opened.open() if isinstance(opened, ActivationStore | OpenedLayers) else opened


def _table(path: Path, layer: int | None) -> np.ndarray:
    """The array of one file, which is no more than a memory map."""
    if layer is not None:
        raise ValueError(f"{str(path)!r} is one table, which has no layers: leave layer={layer} out")
    with reading(path, "a .npy file"):
        table = np.lib.format.open_memmap(path, mode="r")
    if table.ndim != 2 or table.dtype.kind not in "biuf":
        shape = " x ".join(map(str, table.shape)) or "a single entry"
        raise ValueError(f"{str(path)!r} holds {table.dtype} of {shape}: give a table of numbers, rows by columns")
    return table
