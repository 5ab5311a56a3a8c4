"""Activations on disk: written part by part, resumable, read a slice at a time.

A store is a directory. Its parts (shards) are runs of texts: each is some ``.npy`` files, which `numpy.load` opens as
memory maps without unpickling anything, and a JSON file of texts. ``manifest.json`` lists the parts that are whole,
with sizes and checksums; it is replaced in one step after a part's files are, so that a run can stop anywhere. Token
strings are a function of token ids, so each part keeps them once per distinct id.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.annotated import row_selection
from .._base.checks import check_count
from .._base.files import as_path
from .._base.labels import from_disk
from .._base.mapped import copy_rows
from ._array import ActivationArray
from ._store_files import check_layer, check_text_index, load_array, load_texts, load_tokens, verify_files
from ._store_manifest import FACTS, cut_in
from ._store_numbers import memory_dtype, widened
from ._store_parts import open_manifest, parts_told, what_is_there

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike


class ActivationStore(Mapping[int, "StoredActivations"]):
    """Activations on disk: a mapping from layers to their arrays.

    ``store[layer]`` acts like an array of shape (n, d): it has ``shape``, ``dtype`` and ``len``, and selecting rows
    reads those rows alone, as an `ActivationArray`. The texts the activations came from need not be at hand. A store of
    one layer can stand for its array: it has a ``shape``, and ``store[rows]`` selects rows by slice, mask or list.

    Parameters
    ----------
    directory : path
        As `ActivationExtractor.extract_to` wrote it.

    Raises
    ------
    ValueError
        If the directory holds no store, or one that is damaged or of a later version.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mfa_sklearn.activations import ActivationStore
    >>> from mfa_sklearn.activations._row_plan import LayerRows
    >>> from mfa_sklearn.activations._store_writer import write_store
    >>> def extract(texts, labels, first):  # stands for a language model
    ...     facts = {"text_index": np.arange(len(texts)), "labels": labels}
    ...     return LayerRows([np.eye(len(texts), 4)], facts, tuple(texts), {})
    >>> directory, source = tempfile.mkdtemp(), {"layer": 7, "hooks": ["blocks.7.hook_resid_post"]}
    >>> write_store(directory, extract, {}, source, ["a", "b", "c"], ["x", "y", "x"], shard_size=2)
    ActivationStore(..., layers=[7], rows=3)
    >>> store = ActivationStore(directory)
    >>> store[7].shape, store[7][1:].labels.tolist(), store.texts[2]
    ((3, 4), ['y', 'x'], 'c')
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = as_path("directory", directory)
        self.manifest = open_manifest(self.directory)

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers of which there is an array."""
        return tuple(self.manifest["layers"])

    @property
    def source(self) -> dict[str, Any]:
        """Where the activations come from, as in `ActivationArray.source`, for all layers."""
        return dict(self.manifest["source"])

    @property
    def n_rows(self) -> int:
        """Rows of each layer's array."""
        return sum(shard["rows"] for shard in self.manifest["shards"])

    @property
    def n_cut_tokens(self) -> int:
        """Tokens that are left out because texts were cut at `max_length`."""
        return cut_in(self.manifest)[1]

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers that are read; those on disk as bfloat16 are read as float32."""
        return memory_dtype(self.manifest["dtype"])

    @property
    def complete(self) -> bool:
        """Whether all texts have been extracted; what an interrupted run left can be read."""
        shards = self.manifest["shards"]
        return not self.missing_parts and bool(shards) and shards[-1]["texts"][1] == self.manifest["n_texts"]

    @property
    def missing_parts(self) -> tuple[int, ...]:
        """Numbers of the parts that are not whole yet, where several processes write the store (``part``)."""
        return tuple(self.manifest.get("parts", {}).get("missing", ()))

    def verify(self) -> int:
        """Read every file of the store and compare it with the checksum it was written with.

        What is read otherwise is compared with sizes and shapes alone.

        Returns
        -------
        int
            Number of files, all as they were written.

        Raises
        ------
        ValueError
            If files are missing or changed; the message names them. Also if the manifest has been changed since the
            store was opened, or the store is of an earlier version and has no checksums.
        """
        if open_manifest(self.directory) != self.manifest:
            raise ValueError(f"{str(self.directory)!r} is another store by now: open it again")
        return verify_files(self.directory, self.manifest)

    @cached_property
    def texts(self) -> Sequence[str]:
        """The texts, read when first used."""
        return _Texts(self.directory, self.manifest["shards"])

    def open(self, layer: int | None = None) -> StoredActivations:
        """The array of a layer, on disk; of the only one by default.

        Raises
        ------
        ValueError
            If the layer is not in the store, or there are several and none is named.
        """
        if layer is None and len(self.layers) > 1:
            raise ValueError(
                f"this store has the layers {list(self.layers)}: name one, as in store.open({self.layers[0]})"
            )
        chosen = self.layers[0] if layer is None else layer
        if chosen not in self.layers:
            raise ValueError(f"layer {chosen} is not in this store, which has {list(self.layers)}")
        return StoredActivations(self, int(chosen))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the only layer.

        Raises
        ------
        ValueError
            If there are several layers.
        """
        return self.open().shape

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return self.open().__array__(dtype, copy)

    def __mfa_rows__(self) -> StoredActivations:
        """What is read where the store itself is given as rows: its only layer."""
        return self.open()

    def load(self, layer: int | None = None) -> ActivationArray:
        """The array of a layer, read into memory; see `open`."""
        return self.open(layer)[:]

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, int | np.integer) or isinstance(key, bool):
            return self.open()[key]
        if key not in self.layers:
            raise KeyError(f"layer {key} is not in this store, which has {list(self.layers)}")
        return self.open(int(key))

    def __iter__(self) -> Iterator[int]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        missing = self.manifest.get("parts")
        told = f": {parts_told(missing)}" if missing else ""
        state = "" if self.complete else f", incomplete{told}"
        cut = f", {self.n_cut_tokens:,} tokens cut" if self.n_cut_tokens else ""
        return f"ActivationStore({str(self.directory)!r}, layers={list(self.layers)}, rows={self.n_rows}{cut}{state})"


class StoredActivations:
    """The activations of one layer in a store, of shape (n, d); see `ActivationStore`.

    Selecting rows by a slice, an array of indices or a mask reads them and gives an `ActivationArray`; an integer gives
    one plain row. `numpy.asarray` reads everything. The attributes of `ActivationArray` (``tokens``, ``labels``, ...)
    are here too, for all rows, read when first used.
    """

    ndim = 2

    def __init__(self, store: ActivationStore, layer: int) -> None:
        self.store = store
        self.layer = layer
        self._shards = store.manifest["shards"]
        check_layer(store.directory, store.manifest, layer)
        self._offsets = np.concatenate([[0], np.cumsum([shard["rows"] for shard in self._shards])]).astype(np.int64)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self._offsets[-1]), int(self.store.manifest["width"])

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers that are read."""
        return self.store.dtype

    @property
    def source(self) -> dict[str, Any]:
        """Where the activations come from: the store's source, for this layer."""
        hooks = self.store.source["hooks"]
        return self.store.source | {"layer": self.layer, "hooks": [hooks[self.store.layers.index(self.layer)]]}

    @property
    def texts(self) -> Sequence[str]:
        """The texts, indexed by ``text_index``."""
        return self.store.texts

    @property
    def shared(self) -> dict[str, Any]:
        """Facts about the array as a whole, as in `ActivationArray`."""
        store = self.store
        if store.complete:
            return {"texts": self.texts, "source": self.source}
        left = what_is_there(store.manifest, store.directory)
        return {"texts": self.texts, "source": self.source, "incomplete": left}

    @cached_property
    def rows(self) -> Mapping[str, np.ndarray]:
        """Facts per row, as in `ActivationArray`, for all rows; each is read when it is first asked for."""
        return _RowFacts(self)

    def __getattr__(self, name: str) -> np.ndarray | None:
        if name in (*FACTS, "tokens"):
            return self.rows.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def batches(
        self, batch_size: int, shuffle: bool = False, random_state: int | np.random.RandomState | None = None
    ) -> Iterator[ActivationArray]:
        """All rows, `batch_size` at a time.

        Parameters
        ----------
        batch_size : int
        shuffle : bool, default=False
            Whether in random order over the whole store. This reads single rows, so it suits a fast disk or a store
            that fits the page cache.
        random_state : int, RandomState or None

        Yields
        ------
        ActivationArray of shape (at most batch_size, d)

        Raises
        ------
        TypeError, ValueError
            If `batch_size` is no whole number of at least 1.
        """
        from sklearn.utils import check_random_state

        check_count("batch_size", batch_size)
        order = check_random_state(random_state).permutation(len(self)) if shuffle else None
        for start in range(0, len(self), batch_size):
            rows = slice(start, min(start + batch_size, len(self)))
            yield self[rows if order is None else order[rows]]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        rows, keeps_columns = row_selection(key)
        if not keeps_columns:
            raise IndexError(f"{_INDEXED}: select columns of what that gives")
        if isinstance(rows, int | np.integer) and not isinstance(rows, bool):
            return np.asarray(self[np.array([rows])])[0]
        index = _row_numbers(rows, len(self))
        values = np.empty((len(index), self.shape[1]), dtype=self.dtype)
        for shard, where, local in self._parts(index):
            stored = copy_rows(self._load(shard, f"layer-{self.layer}"), local)
            values[where] = widened(stored, self.store.manifest["dtype"])
        return ActivationArray(values, rows=self.read_facts(index, self.fact_names), shared=self.shared)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a store lies on disk, so an array of it is a copy")
        whole = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for shard, start in zip(self._shards, self._offsets, strict=False):
            stored = self._load(shard, f"layer-{self.layer}")
            whole[start : start + shard["rows"]] = widened(stored, self.store.manifest["dtype"])
        return whole

    def __repr__(self) -> str:
        return f"StoredActivations(layer={self.layer}, shape={self.shape}, dtype={self.dtype})"

    def _parts(self, index: np.ndarray) -> Iterator[tuple[dict[str, Any], np.ndarray, Any]]:
        """The shards rows lie in, the places of these rows in `index`, and the rows' numbers in the shard."""
        shards = np.searchsorted(self._offsets, index, side="right") - 1
        for number in np.unique(shards):
            where = np.flatnonzero(shards == number)
            yield self._shards[number], where, _as_slice(index[where] - self._offsets[number])

    @property
    def fact_names(self) -> tuple[str, ...]:
        """Names of the facts per row that there are."""
        held = next((tuple(shard["facts"]) for shard in self._shards if shard["rows"]), ())
        return (*held, "tokens") if "token_ids" in held else held

    def read_facts(self, index: np.ndarray, names: Collection[str]) -> dict[str, np.ndarray]:
        """Facts of the rows numbered."""
        parts = list(self._parts(index))
        if not parts:
            first = next((shard for shard in self._shards if shard["rows"]), None)
            return {} if first is None else {n: self._shard_fact(first, n, slice(0)) for n in names}
        order = np.argsort(np.concatenate([where for _, where, _ in parts]), kind="stable")
        return {
            name: np.concatenate([self._shard_fact(shard, name, local) for shard, _, local in parts])[order]
            for name in names
        }

    def _shard_fact(self, shard: dict[str, Any], name: str, rows: Any) -> np.ndarray:
        directory = self.store.directory
        if name == "tokens":
            vocabulary = [self._load(shard, "vocabulary_ids"), self._load(shard, "vocabulary")]
            return load_tokens(directory, shard, self._shard_fact(shard, "token_ids", rows), vocabulary)
        fact = np.asarray(self._load(shard, name)[rows])
        if name == "text_index":
            check_text_index(directory, shard, fact)
        if name == "roles":
            return fact
        return from_disk(fact) if name == "labels" else fact.astype(np.int64)

    def _load(self, shard: dict[str, Any], name: str) -> np.ndarray:
        return load_array(self.store.directory, self.store.manifest, shard, name)


class _RowFacts(Mapping[str, np.ndarray]):
    """Facts per row of all rows, each read at first use, so that asking for one does not read the others."""

    def __init__(self, stored: StoredActivations) -> None:
        self._stored = stored
        self._read: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self:
            raise KeyError(name)
        if name not in self._read:
            self._read |= self._stored.read_facts(np.arange(len(self._stored)), [name])
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._stored.fact_names

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored.fact_names)

    def __len__(self) -> int:
        return len(self._stored.fact_names)

    def __repr__(self) -> str:
        return f"facts of {len(self._stored)} rows: {', '.join(self)}"


class _Texts(Sequence[str]):
    """Texts of all parts, read at first use, so that walking over numbers does not read them."""

    def __init__(self, directory: Path, shards: list[dict[str, Any]]) -> None:
        self._directory = directory
        self._shards = shards

    @cached_property
    def _all(self) -> tuple[str, ...]:
        found: list[str] = []
        for shard in self._shards:
            found += [""] * (shard["texts"][0] - len(found))  # of parts that are missing
            found += load_texts(self._directory, shard)
        return tuple(found)

    def __getitem__(self, index: Any) -> Any:
        return self._all[index]

    def __len__(self) -> int:
        return self._shards[-1]["texts"][1] if self._shards else 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all)

    def __reduce__(self) -> Any:
        return tuple, (self._all,)


_INDEXED = "a store is indexed by a slice, a mask or a list of rows"


def _row_numbers(key: slice | ArrayLike, n_rows: int) -> np.ndarray:
    """Row numbers of a slice, mask or array of indices."""
    if isinstance(key, slice):
        return np.arange(*key.indices(n_rows))
    index = np.asarray(key)
    if index.dtype == bool and index.ndim == 1:
        if len(index) != n_rows:
            raise IndexError(f"{_INDEXED}: a mask of {len(index)} entries does not fit {n_rows} rows")
        return np.flatnonzero(index)
    if index.ndim != 1 or (index.size and index.dtype.kind not in "iu"):
        raise IndexError(f"{_INDEXED}, not by {type(key).__name__} of shape {index.shape} and dtype {index.dtype}")
    outside = (index < -n_rows) | (index >= n_rows)
    if outside.any():
        raise IndexError(f"row {int(index[np.argmax(outside)])} is out of range for {n_rows} rows")
    return np.where(index < 0, index + n_rows, index).astype(np.int64)


def _as_slice(index: np.ndarray) -> slice | np.ndarray:
    """A run of rows as a slice, which a memory map reads without an index array."""
    if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
        return slice(int(index[0]), int(index[0]) + len(index))
    return index
