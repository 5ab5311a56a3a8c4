"""Tables of rows of every kind that may be read lazily, with what they hold, and ways to ask for rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn._base.lazy_rows import LazyRows

N_ROWS, WIDTH = 23, 3
NUMBERS = np.arange(N_ROWS * WIDTH, dtype=np.float32).reshape(N_ROWS, WIDTH)
WORDS = np.array([f"word{number}" for number in range(N_ROWS)])
KEYS: dict[str, Any] = {
    "all": slice(None),
    "a run": slice(3, 17),
    "from the end": slice(-5, None),
    "steps": slice(1, 20, 4),
    "backwards": slice(None, None, -1),
    "none": slice(7, 7),
    "the wrong way": slice(9, 2),
    "beyond": slice(20, 99),
    "ascending": np.array([0, 5, 6, 22]),
    "any order, repeated": [22, 3, 3, -1, 0, 10],
    "no numbers": np.zeros(0, dtype=int),
    "a mask": np.arange(N_ROWS) % 3 == 1,
    "rows and all columns": (slice(2, 12), slice(None)),
    "dots": ...,
}
BAD_KEYS: dict[str, tuple[Any, str]] = {
    "columns": ((slice(None), 1), "select columns of what that gives"),
    "a short mask": (np.ones(5, dtype=bool), f"a mask of 5 entries does not fit {N_ROWS} rows"),
    "out of range": ([0, N_ROWS], f"row {N_ROWS} is out of range for {N_ROWS} rows"),
    "out of range below": (-N_ROWS - 1, f"row {-N_ROWS - 1} is out of range"),
    "fractions": (np.array([0.5]), "not by ndarray of shape .* and dtype float64"),
    "words": (["a"], "not by list of shape"),
}


class AscendingOnly:
    """Stands for a data set of another package, which takes runs and strictly ascending numbers, and counts reads."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.n_read = 0

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rows: Any) -> np.ndarray:
        if not isinstance(rows, slice):
            assert (np.diff(rows) > 0).all()
        found = self._values[rows]
        self.n_read += len(found)
        return found


class NotedRows(LazyRows):
    """Rows with a word each, which note what is read of them."""

    def __init__(self, values: np.ndarray, **facts: np.ndarray) -> None:
        self._values, self._facts = values, facts
        self.read: list[tuple[str, int]] = []

    @property
    def shape(self) -> tuple[int, int]:
        return self._values.shape

    @property
    def dtype(self) -> np.dtype:
        return self._values.dtype

    @property
    def shared(self) -> dict[str, Any]:
        return {"origin": "noted"}

    @property
    def fact_names(self) -> tuple[str, ...]:
        return tuple(self._facts)

    def read_values(self, index: Any) -> np.ndarray:
        self.read.append(("values", len(self._values[index])))
        return self._values[index]

    def read_facts(self, index: Any, names: Any) -> dict[str, np.ndarray]:
        found = {name: self._facts[name][index] for name in names}
        self.read += [(name, len(fact)) for name, fact in found.items()]
        return found


def tables(values: np.ndarray, folder: Any) -> dict[str, Any]:
    """The same numbers as every kind of table."""
    np.save(folder / "rows.npy", values)
    return {
        "array": values,
        "map": np.load(folder / "rows.npy", mmap_mode="r"),
        "tensor": torch.from_numpy(values),
        "annotated": AnnotatedArray(values, rows={"word": WORDS[: len(values)]}),
        "source": AscendingOnly(values),
        "lazy": NotedRows(values, word=WORDS[: len(values)]),
    }


KINDS = ("array", "map", "tensor", "annotated", "source", "lazy")
