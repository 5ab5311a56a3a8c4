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

from .._base.files import as_path
from .._base.labels import from_disk
from .._base.lazy_rows import Index, count_of, in_order, parts_of
from .._base.lazy_texts import LazyTexts
from .._base.mapped import copy_rows
from ._activation_rows import ActivationRows
from ._array import ActivationArray
from ._store_files import check_layer, check_text_index, load_array, load_texts, load_tokens, verify_files
from ._store_manifest import cut_in, rows_in
from ._store_numbers import memory_dtype, widened
from ._store_parts import open_manifest, parts_told, what_is_there

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


class ActivationStore(Mapping[int, "StoredActivations"]):
    """Activations on disk: a mapping from layers to their arrays.

    ``store[layer]`` acts like an array of shape (n, d): it has ``shape``, ``dtype`` and ``len``, and selecting rows
    reads those rows alone, as an `ActivationArray`. The texts the activations came from need not be at hand. A store of
    one layer can stand for its array: it has a ``shape``, and ``store[rows]`` selects rows by slice, mask or list.

    Parameters
    ----------
    directory : path
        As `ActivationExtractor.extract_to`, `from_arrays` or an `ActivationWriter` wrote it.

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
        return rows_in(self.manifest)

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

    @classmethod
    def from_arrays(
        cls,
        directory: str | os.PathLike[str],
        layers: Any,
        *,
        texts: Sequence[str] | None = None,
        tokenizer: Any = None,
        source: Mapping[str, Any] | None = None,
        dtype: str | None = None,
        resume: bool = False,
        overwrite: bool = False,
        shard_rows: int | None = None,
        **facts: Any,
    ) -> ActivationStore:
        """Write activations that you have as a store, piece by piece.

        Parameters
        ----------
        directory : path
            A folder that is new, empty, or holds a store.
        layers : dict of int to array-like, or array-like
            Of each layer an array, memory map or tensor of shape (n, d), anything else that is taken as rows (what
            `open_activations` opens, say), or an iterator of such batches. Rows alone are of the layer that their
            source says, or of one that is not known. Facts, texts and source that rows carry are kept.
        texts, tokenizer, source, dtype, resume, overwrite, shard_rows
            As of `ActivationWriter`. Going on (`resume`) skips the rows that are there.
        **facts : array-like of length n
            Facts per row, as of `ActivationWriter.append`.

        Returns
        -------
        ActivationStore

        Raises
        ------
        FileExistsError
            If there is a store, or something else.
        TypeError, ValueError
            If rows of layers or facts do not fit together, or a fact is unknown.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from mfa_sklearn import ActivationStore
        >>> X = np.eye(4, dtype=np.float32)
        >>> ActivationStore.from_arrays(tempfile.mkdtemp(), {7: X, 9: -X}, token_ids=[3, 1, 3, 2])
        ActivationStore(..., layers=[7, 9], rows=4)
        """
        from ._from_arrays import write_arrays

        options = {"dtype": dtype, "resume": resume, "overwrite": overwrite, "shard_rows": shard_rows}
        write_arrays(directory, layers, facts, texts, source, tokenizer=tokenizer, **options)
        return cls(directory)

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


class StoredActivations(ActivationRows):
    """The activations of one layer in a store, of shape (n, d); see `ActivationStore`.

    Selecting rows by a slice, an array of indices or a mask reads them and gives an `ActivationArray`; an integer gives
    one plain row. `numpy.asarray` reads everything. The attributes of `ActivationArray` (``tokens``, ``labels``, ...)
    are here too, for all rows, read when first used.
    """

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
        source, place = self.store.source, self.store.layers.index(self.layer)
        known = {"layer": self.layer} if source.get("layer") is not None else {}
        return source | known | ({"hooks": [source["hooks"][place]]} if "hooks" in source else {})

    @property
    def texts(self) -> Sequence[str] | None:
        """The texts, indexed by ``text_index``; None if there are none."""
        return self.store.texts if len(self.store.texts) or "appended" not in self.store.manifest else None

    @property
    def shared(self) -> dict[str, Any]:
        """Facts about the array as a whole, as in `ActivationArray`."""
        store, texts, source = self.store, self.texts, self.source
        found = ({} if texts is None else {"texts": texts}) | ({"source": source} if source else {})
        left = {} if store.complete else {"incomplete": what_is_there(store.manifest, store.directory)}
        return found | left

    @property
    def fact_names(self) -> tuple[str, ...]:
        """Names of the facts per row that there are."""
        held = next((tuple(shard["facts"]) for shard in self._shards if shard["rows"]), ())
        names = self.store.manifest.get("appended", {"names": held})["names"]
        decoded = ("tokens",) if "token_ids" in held else ()
        return (*(name for name in held if name in names), *decoded)  # ids of token strings alone are made up

    def __repr__(self) -> str:
        return f"StoredActivations(layer={self.layer}, shape={self.shape}, dtype={self.dtype})"

    def read_values(self, index: Index) -> np.ndarray:
        """Numbers of rows, without their facts, by a run of them or by their numbers from 0."""
        values = np.empty((count_of(index), self.shape[1]), dtype=self.dtype)
        for number, where, local in parts_of(self._offsets, index):
            stored = self._load(self._shards[number], f"layer-{self.layer}")
            if isinstance(where, slice) and stored.dtype == values.dtype:
                copy_rows(stored, local, values[where])
            else:
                values[where] = widened(copy_rows(stored, local), self.store.manifest["dtype"])
        return values

    def read_facts(self, index: Index, names: Collection[str]) -> dict[str, np.ndarray]:
        """Facts of rows, by a run of them or by their numbers from 0."""
        parts = list(parts_of(self._offsets, index))
        if not parts and len(self):
            parts = [(number, slice(0, 0), slice(0, 0)) for number, _, _ in parts_of(self._offsets, slice(0, 1))]
        places = [where for _, where, _ in parts]
        return {
            name: in_order([self._shard_fact(self._shards[number], name, local) for number, _, local in parts], places)
            for name in (names if parts else ())
        }

    def _shard_fact(self, shard: dict[str, Any], name: str, rows: Any) -> np.ndarray:
        directory = self.store.directory
        if name == "tokens":
            vocabulary = [self._load(shard, "vocabulary_ids"), self._load(shard, "vocabulary")]
            return load_tokens(directory, shard, self._shard_fact(shard, "token_ids", rows), vocabulary)
        fact = np.asarray(self._load(shard, name)[rows])
        if name == "text_index":
            check_text_index(directory, self.store.manifest, shard, fact)
        if name == "roles":
            return fact
        return from_disk(fact) if name == "labels" else fact.astype(np.int64)

    def _load(self, shard: dict[str, Any], name: str) -> np.ndarray:
        return load_array(self.store.directory, self.store.manifest, shard, name)


class _Texts(LazyTexts):
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

    def read(self, numbers: range) -> list[str]:
        return [self._all[number] for number in numbers]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return self._shards[-1]["texts"][1] if self._shards else 0
