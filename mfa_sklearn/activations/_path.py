"""Rows at a path: the folder of an activation store, or a table in a ``.npy`` file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .._base.files import reading
from ._store import ActivationStore, StoredActivations

_GIVE = "give a folder that `extract` wrote (ActivationExtractor.extract_to), or a .npy file"
# How other files of rows are read, by their suffix.
_READERS = {
    ".npz": "numpy.load({!r})[NAME]",
    ".csv": "pandas.read_csv({!r})",
    ".tsv": "pandas.read_csv({!r}, sep='\\t')",
    ".parquet": "pandas.read_parquet({!r})",
    ".pt": "torch.load({!r}, mmap=True)",
    ".safetensors": "safetensors.numpy.load_file({!r})[NAME]",
}


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
        with reading(path, "a folder of activations"):
            store = ActivationStore(path)
        return store.open(layer)
    if not path.exists():
        raise ValueError(f"there is no {str(path)!r}: {_GIVE}")
    if path.suffix.lower() != ".npy":
        reader = _READERS.get(path.suffix.lower(), "").format(str(path))
        raise ValueError(f"cannot read {str(path)!r}: {_GIVE}{reader and f', or its rows, as {reader} gives them'}")
    if layer is not None:
        raise ValueError(f"{str(path)!r} is one table, which has no layers: leave layer={layer} out")
    return _table(path)


def _table(path: Path) -> np.ndarray:
    with reading(path, "a .npy file"):
        table = np.lib.format.open_memmap(path, mode="r")
    if table.ndim != 2 or table.dtype.kind not in "biuf":
        shape = " x ".join(map(str, table.shape)) or "a single entry"
        raise ValueError(f"{str(path)!r} holds {table.dtype} of {shape}: give a table of numbers, rows by columns")
    return table
