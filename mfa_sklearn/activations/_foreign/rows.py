"""Rows of files that other programs wrote, and the layers they are of, read like those of a store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..._base.labels import none_where_missing
from ..._base.lazy_rows import Index, as_run
from ..._base.lazy_texts import LazyTexts
from .._activation_rows import ActivationRows
from .._tokenize import token_strings
from .column import Columns

# Texts that are in memory at once where all are gone through.
_TEXTS = 4096
_WHOLE_NUMBERS = ("token_ids", "text_index", "positions", "starts", "ends")


class OpenedRows(ActivationRows):
    """Activations of one layer in files of other programs, of shape (n, d), and facts of their rows.

    Parameters
    ----------
    values : Columns
    facts : dict of str to Columns
    shared : dict
        "texts" and "source", as in `ActivationArray`.
    tokenizer : transformers tokenizer, optional
        That gives the strings of token ids, where the files have none.
    """

    def __init__(
        self, values: Columns, facts: Mapping[str, Columns], shared: Mapping[str, Any], tokenizer: Any = None
    ) -> None:
        self._values, self._shared, self._tokenizer = values, dict(shared), tokenizer
        self._facts: dict[str, Any] = dict(facts)
        self._strings: dict[int, str] = {}

    def add(self, facts: Mapping[str, Any], texts: Sequence[str] | None) -> None:
        """Facts of the rows that stand in no file, and the texts, if there are any."""
        self._facts |= facts
        self._shared |= {} if texts is None else {"texts": texts}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self._values), self._values.columns[0].shape[1]

    @property
    def dtype(self) -> np.dtype:
        """Of what is read; numbers in bfloat16 are read as float32."""
        return self._values.columns[0].dtype

    @property
    def shared(self) -> dict[str, Any]:
        """Facts about the array as a whole, as in `ActivationArray`."""
        return dict(self._shared)

    @property
    def fact_names(self) -> tuple[str, ...]:
        """Names of the facts per row that there are."""
        decoded = ("tokens",) if self._tokenizer is not None and "token_ids" in self._facts else ()
        return tuple(dict.fromkeys((*self._facts, *decoded)))

    def read_values(self, index: Index) -> np.ndarray:
        """Numbers of rows, without their facts, by a run of them or by their numbers from 0."""
        return self._values.read(index)

    def read_facts(self, index: Index, names: Collection[str]) -> dict[str, np.ndarray]:
        """Facts of rows, by a run of them or by their numbers from 0."""
        return {name: self._fact(name, index) for name in names}

    def _fact(self, name: str, index: Index) -> np.ndarray:
        if name not in self._facts:  # tokens, which follow from their ids
            return self._decoded(self._facts["token_ids"].read(index))
        fact = self._facts[name].read(index)
        if name in _WHOLE_NUMBERS:
            if fact.dtype == object:  # of which some are missing
                raise ValueError(f"{self._facts[name].columns[0].told} and what follows have rows without {name}")
            return fact.astype(np.int64)
        if name == "labels":
            return none_where_missing(fact)
        if name in ("tokens", "roles"):
            return np.array(["" if entry is None else str(entry) for entry in fact.tolist()], dtype=str)
        return fact

    def _decoded(self, ids: np.ndarray) -> np.ndarray:
        """Token strings of ids; each id is decoded once."""
        distinct, inverse = np.unique(ids, return_inverse=True)
        new = [number for number in distinct.tolist() if number not in self._strings]
        self._strings |= dict(zip(new, token_strings(self._tokenizer, new).tolist(), strict=True))
        return np.array([self._strings[number] for number in distinct.tolist()], dtype=str)[inverse]


class OpenedLayers(Mapping[int, OpenedRows]):
    """Activations of several layers in files of other programs: a mapping from layers to their rows."""

    def __init__(self, layers: Mapping[int, OpenedRows], told: str) -> None:
        self._layers, self._told = dict(sorted(layers.items())), told

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers of which there are rows."""
        return tuple(self._layers)

    def open(self, layer: int | None = None) -> OpenedRows:
        """The rows of a layer; of the only one by default.

        Raises
        ------
        ValueError
            If the layer is not there, or there are several and none is named.
        """
        if layer is None and len(self._layers) > 1:
            raise ValueError(
                f"{self._told} has the layers {list(self._layers)}: name one, as in layer={self.layers[0]}"
            )
        chosen = self.layers[0] if layer is None else layer
        if chosen not in self._layers:
            raise ValueError(f"layer {chosen} is not in {self._told}, which has {list(self._layers)}")
        return self._layers[chosen]

    def __mfa_rows__(self) -> OpenedRows:
        """What is read where all of it is given as rows: its only layer."""
        return self.open()

    def __getitem__(self, layer: int) -> OpenedRows:
        if layer not in self._layers:
            raise KeyError(f"layer {layer} is not in {self._told}, which has {list(self._layers)}")
        return self._layers[layer]

    def __iter__(self) -> Iterator[int]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        rows = next(iter(self._layers.values()))
        return f"OpenedLayers({self._told}, layers={list(self._layers)}, rows={len(rows)})"


class RowTexts(LazyTexts):
    """The texts of rows that are one text each, read when one is asked for."""

    def __init__(self, column: Columns) -> None:
        self._column = column

    def read(self, numbers: range) -> list[str]:
        found = self._column.read(as_run(np.array(numbers, dtype=np.int64)))
        return ["" if text is None else str(text) for text in found.tolist()]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _TEXTS):
            yield from self[start : start + _TEXTS]

    def __len__(self) -> int:
        return len(self._column)


class RowNumbers:
    """The numbers of rows, 0 to n - 1, as a fact: the text of each where rows are texts."""

    def __init__(self, n_rows: int) -> None:
        self._n_rows = n_rows

    def __len__(self) -> int:
        return self._n_rows

    def read(self, index: Index) -> np.ndarray:
        """As `Columns.read`."""
        return np.arange(index.start, index.stop) if isinstance(index, slice) else index


class PlaceInFile:
    """Of which file each row is, or which row of its file, as a fact.

    Parameters
    ----------
    offsets : ndarray of shape (n_files + 1,)
        The first row of each file, and the number of all rows.
    within : bool
        Whether the row of the file, and not the number of the file.
    """

    def __init__(self, offsets: np.ndarray, within: bool) -> None:
        self._offsets, self._within = offsets, within

    def __len__(self) -> int:
        return int(self._offsets[-1])

    def read(self, index: Index) -> np.ndarray:
        """As `Columns.read`."""
        rows = RowNumbers(len(self)).read(index)
        numbers = np.searchsorted(self._offsets, rows, side="right") - 1
        return rows - self._offsets[numbers] if self._within else numbers
