"""A store written from rows that callers have already, batch after batch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .._base.checks import check_choice, check_count, check_flag
from .._base.files import as_path, probe
from .._base.labels import from_disk, label_kind, to_disk
from .._base.lazy_rows import in_order
from .._base.locks import locked
from .._base.stored import own_digest
from .._base.words import shortened
from ._appended import Vocabulary, check_fact_names, check_facts, check_layers_of, disk_type, facts_carried
from ._checks import check_texts
from ._foreign.source import check_source, check_tokenizer
from ._part import ALL
from ._row_plan import LayerRows
from ._shard_files import write_shard
from ._sites import check_layers, hook_name
from ._store_files import load_array, load_texts
from ._store_manifest import check_manifest, new_manifest, rows_in, shard_name
from ._store_numbers import DTYPES, too_large
from ._store_parts import has_store
from ._store_run import Run, check_others, finish, start

# Bytes of a layer's rows that are gathered before a shard is written.
_SHARD_BYTES = 64 * 2**20


class ActivationWriter:
    """Writes rows that you have, batch after batch, as an `ActivationStore`.

    It is a context manager. The store is whole when its block ends well. Of a block that ends with an error, or is
    interrupted, the rows that came so far are kept: such a store can be read, says that it is not whole, and a
    writer with ``resume=True`` goes on with it, after its `n_rows` rows and `n_texts` texts. One writer at a time
    writes to a folder.

    Parameters
    ----------
    directory : path
        A folder that is new, empty, or holds a store.
    layers : int or list of int, optional
        Of which layers the rows are; by default of one that is not known.
    texts : list of str, optional
        That the fact "text_index" counts; those of later batches can be given to `append`.
    tokenizer : str, path or transformers tokenizer, optional
        That the token ids are of, where no token strings are given.
    source : dict, optional
        Where the rows come from, as far as known: "model", "revision", "site", "pooling" and others, as in
        `ActivationArray.source`. Whatever is fitted on the rows keeps it, and refuses rows from elsewhere.
    dtype : {"float16", "bfloat16", "float32"}, optional
        Of the numbers on disk; by default that of the first rows, and "float32" of wider ones.
    resume : bool, default=False
        Whether to go on with the store that an interrupted writer left there, if there is one.
    overwrite : bool, default=False
        Whether to replace a store that is there; it can be read until the new one is whole.
    shard_rows : int, optional
        Rows per file; by default as many as take 64 MiB.

    Attributes
    ----------
    n_rows : int
        Rows that were appended so far, by earlier writers too.
    n_texts : int
        Texts that were given so far, to earlier writers too.

    Raises
    ------
    FileExistsError
        If there is a store, or something else.
    ValueError
        If the store that is to be gone on with is whole, or is of other layers, source or type.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mfa_sklearn import ActivationStore, ActivationWriter
    >>> folder = tempfile.mkdtemp()
    >>> with ActivationWriter(folder, layers=4, source={"model": "gpt2", "site": "residual"}) as writer:
    ...     for number in range(3):
    ...         batch = np.full((2, 8), number, dtype=np.float16)
    ...         writer.append(batch, tokens=["a", " cat"], labels=["pets", None])
    >>> store = ActivationStore(folder)
    >>> store.shape, store[4][3:5].tokens.tolist(), store[4].source["hooks"]
    ((6, 8), [' cat', 'a'], ['blocks.4.hook_resid_post'])
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        layers: int | Iterable[int] | None = None,
        *,
        texts: Sequence[str] | None = None,
        tokenizer: Any = None,
        source: Mapping[str, Any] | None = None,
        dtype: str | None = None,
        resume: bool = False,
        overwrite: bool = False,
        shard_rows: int | None = None,
    ) -> None:
        self.directory = as_path("directory", directory)
        self.layers = (0,) if layers is None else check_layers(layers)
        self._source = _source(check_source(source), None if layers is None else self.layers)
        self._texts = [] if texts is None else check_texts(texts)
        self._vocabulary = Vocabulary(check_tokenizer(tokenizer))
        if dtype is not None:
            check_choice("dtype", dtype, DTYPES)
        self._dtype, self._resume, self._overwrite = (
            dtype,
            check_flag("resume", resume),
            check_flag("overwrite", overwrite),
        )
        self._shard_rows = None if shard_rows is None else check_count("shard_rows", shard_rows)
        self.n_rows = 0
        self._names: tuple[str, ...] | None = None
        self._label_kind = ""
        self._waiting: list[tuple[list[np.ndarray], dict[str, np.ndarray]]] = []
        self._n_written_texts = 0
        self._run: Run | None = None
        self._held: ExitStack | None = None
        check_manifest(self._manifest())

    def __enter__(self) -> ActivationWriter:
        if self._held is not None:
            raise RuntimeError("a writer is for one block: make another ActivationWriter(...)")
        check_folder_of(self.directory, self._resume, self._overwrite)
        with ExitStack() as stack:
            stack.enter_context(locked(self.directory))
            probe(self.directory)
            self._run = start(self.directory, self._manifest(), self._resume, ALL, 0)
            self._go_on(self._run)
            self._held = stack.pop_all()
        return self

    @property
    def n_texts(self) -> int:
        return len(self._texts)

    def append(self, batch: Any, *, texts: Sequence[str] | None = None, **facts: Any) -> None:
        """Add rows.

        Parameters
        ----------
        batch : array or tensor of shape (n, d), or a dict of one per layer
            Facts that rows carry, as an `ActivationArray` does, are kept, unless they are given.
        texts : list of str, optional
            Texts that follow those of earlier batches.
        **facts : array-like of length n
            Facts per row, the same of all batches: "token_ids", "tokens", "text_index" (counted over all texts),
            "positions", "starts", "ends" (where a token stands in its text), "labels" (one may be None) and "roles".

        Raises
        ------
        TypeError, ValueError
            If the rows do not fit those before them, or a fact is unknown, of another kind or length; nothing of the
            batch is kept then.
        """
        run = self._run
        if run is None:
            raise RuntimeError("the writer is closed: append within its block, with ActivationWriter(...) as writer")
        layers = check_layers_of(batch, self.layers)
        given = check_fact_names(facts_carried(batch) | facts)
        found = check_facts(given, len(layers[0]))
        more = [] if texts is None else check_texts(texts)
        self._check_fit(run, layers[0], found, self.n_texts + len(more))
        kind = self._dtype or disk_type(batch)
        for problem in filter(None, (too_large(rows, kind, k) for k, rows in zip(self.layers, layers, strict=True))):
            raise ValueError(problem)
        found = self._vocabulary.add(found)
        run.manifest["width"] = int(layers[0].shape[1])
        run.manifest["dtype"] = self._dtype = kind
        self._names = self._names or tuple(sorted(given))
        self._label_kind = self._label_kind or label_kind(found.get("labels", ()))
        run.manifest["appended"]["names"] = list(self._names)
        self._texts += more
        self._waiting.append((layers, found))
        self.n_rows += len(layers[0])
        self._write_whole_shards(run)

    def _write_whole_shards(self, run: Run) -> None:
        """Write what waits, but for the rows that fill no shard."""
        at_once = self._shard_rows or max(1, _SHARD_BYTES // (4 * run.manifest["width"]))
        try:
            while self.n_rows - rows_in(run.manifest) >= at_once:
                self._write(run, at_once)
        finally:
            if self._waiting:  # what waits must not change when the caller fills the same array again
                layers, facts = self._waiting[-1]
                self._waiting[-1] = [rows.copy() for rows in layers], {name: f.copy() for name, f in facts.items()}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run, self._run = self._run, None
        assert run is not None and self._held is not None
        with self._held:
            if error is not None:
                self._keep(run, error)
                return
            try:
                self._end(run)
            except BaseException as failed:
                self._keep(run, failed)
                raise

    def _keep(self, run: Run, error: BaseException) -> None:
        """Write what waits, if that can be done, and add to an error what is kept; of nothing, leave nothing."""
        with suppress(Exception):
            self._write_rest(run)
        n_kept = rows_in(run.manifest)
        if not n_kept:
            with suppress(OSError):
                run.discard()
        error.add_note(
            f"{n_kept:,} rows are kept in {str(self.directory)!r}"
            + ("; a writer with resume=True goes on with them" if n_kept else "")
        )

    def _end(self, run: Run) -> None:
        """Write what waits, and say that it is all."""
        if not self.n_rows:
            raise ValueError(f"no rows were appended, so there is no store in {str(self.directory)!r}")
        self._write_rest(run)
        run.manifest["n_texts"] = self.n_texts
        run.save()
        finish(run)

    def _manifest(self) -> dict[str, Any]:
        key = own_digest({"layers": self.layers, "source": self._source})
        new = new_manifest(f"rows {key}", self._source, self.layers, self._dtype or "float32")
        return new | {"appended": {"names": []}}

    def _go_on(self, run: Run) -> None:
        """Take up what an earlier writer left."""
        manifest = run.manifest
        if not manifest["shards"]:
            return
        if manifest["n_texts"] is not None:
            finish(run)  # before which it may have been killed
            raise ValueError(f"the store in {str(self.directory)!r} is whole: overwrite=True replaces it")
        if self._dtype not in (None, manifest["dtype"]):
            raise ValueError(f"the store in {str(self.directory)!r} is in {manifest['dtype']}, not {self._dtype}")
        self._dtype, self._names = manifest["dtype"], tuple(manifest["appended"]["names"])
        self.n_rows = rows_in(manifest)
        self._n_written_texts = manifest["shards"][-1]["texts"][1]
        stored = [text for shard in manifest["shards"] for text in load_texts(self.directory, shard)]
        for number, (text, here) in enumerate(zip(stored, self._texts, strict=False)):
            if text != here:
                raise ValueError(
                    f"texts[{number}] is {shortened(here)}, and the store in {str(self.directory)!r} has "
                    f"{shortened(text)} there: give the texts that its writer was given"
                )
        self._texts = max(self._texts, stored, key=len)
        for shard in manifest["shards"]:
            if "token_ids" in shard["facts"]:
                both = (load_array(self.directory, manifest, shard, kind) for kind in ("vocabulary_ids", "vocabulary"))
                self._vocabulary.remember(*both)
            if "labels" in shard["facts"] and not self._label_kind:
                self._label_kind = label_kind(from_disk(load_array(self.directory, manifest, shard, "labels")))

    def _check_fit(self, run: Run, rows: np.ndarray, facts: Mapping[str, np.ndarray], n_texts: int) -> None:
        """Refuse rows of another width, or with other facts, than those before them."""
        width, names = run.manifest["width"], tuple(sorted(facts))
        if width and rows.shape[1] != width:
            raise ValueError(f"the rows have {rows.shape[1]:,} columns, and those before them {width:,}")
        if self._names is not None and names != self._names:
            odd = sorted({*names} ^ {*self._names})
            raise ValueError(
                f"the facts of these rows are {list(names)}, and of those before {list(self._names)}: {odd}"
            )
        kind = label_kind(facts.get("labels", ()))
        if kind and self._label_kind and kind != self._label_kind:
            raise TypeError(f"labels are {kind}, and those before them {self._label_kind}: map all to one kind")
        if n_texts and "text_index" not in facts:
            raise ValueError(
                f"there are {n_texts:,} texts, and no fact text_index that says which text each row is of: give it"
            )
        if "text_index" in facts and n_texts and len(rows) and facts["text_index"].max() >= n_texts:
            raise ValueError(f"text_index goes to {facts['text_index'].max()}, and there are {n_texts:,} texts so far")

    def _write_rest(self, run: Run) -> None:
        """Write the rows that wait, and the texts that came after the last row."""
        n_waiting = self.n_rows - rows_in(run.manifest)
        if n_waiting or (self.n_rows and self._n_written_texts < self.n_texts):
            self._write(run, n_waiting)

    def _write(self, run: Run, n_rows: int) -> None:
        """Write the first rows that wait as a shard, with the texts that came with them."""
        manifest, texts = run.manifest, (self._n_written_texts, self.n_texts)
        layers, facts, rest = self._taken(n_rows, manifest["width"])
        if "labels" in facts:
            facts["labels"] = to_disk(facts["labels"])
        rows = LayerRows(layers, facts, tuple(self._texts[slice(*texts)]), {})
        name = shard_name(len(manifest["shards"]), run.mark)
        shard = write_shard(run.path, name, rows, self.layers, texts, manifest["dtype"], counts_own_texts=False)
        run.add(shard)
        self._n_written_texts, self._waiting = texts[1], rest

    def _taken(self, n_rows: int, width: int) -> tuple[list[np.ndarray], dict[str, np.ndarray], list[Any]]:
        """The first `n_rows` rows that wait, their facts, and what waits behind them."""
        if not self._waiting:
            return [np.zeros((0, width))] * len(self.layers), {}, []
        whole = [_joined([layers[i] for layers, _ in self._waiting]) for i in range(len(self.layers))]
        names = self._waiting[0][1]
        facts = {n: _joined([facts[n] for _, facts in self._waiting]) for n in names}
        rest = ([values[n_rows:] for values in whole], {name: fact[n_rows:] for name, fact in facts.items()})
        waiting = [rest] if len(rest[0][0]) else []
        return [values[:n_rows] for values in whole], {name: fact[:n_rows] for name, fact in facts.items()}, waiting


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    return pieces[0] if len(pieces) == 1 else in_order(pieces, [slice(0, len(piece)) for piece in pieces])


def check_folder_of(path: Path, resume: bool, overwrite: bool) -> None:
    """Refuse a folder with a store that is neither to be gone on with nor to be replaced.

    Raises
    ------
    ValueError
        If it is to be both.
    FileExistsError
        If there is one.
    """
    if resume and overwrite:
        raise ValueError("resume=True goes on with what is there, and overwrite=True replaces it: choose one")
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{str(path)!r} is a file: give a directory")
    check_others(path)
    if has_store(path) and not (resume or overwrite):
        raise FileExistsError(
            f"{str(path)!r} holds a store: name another folder, or overwrite=True to replace it (resume=True to go on, "
            "if its writer was interrupted)"
        )


def _source(source: dict[str, Any] | None, layers: Sequence[int] | None) -> dict[str, Any]:
    """What the manifest says of where rows come from; hooks and layers only where they are known."""
    plain = json.dumps(source or {}, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value))
    found: dict[str, Any] = json.loads(plain)
    named = found.pop("layer", None)
    if layers is None:
        if named is not None:
            raise ValueError(f"source says layer {named}: give layers={named} instead")
        return found
    if named is not None and tuple(np.atleast_1d(named)) != tuple(layers):
        raise ValueError(f"source says layer {named}, and layers={list(layers)}: correct one of them")
    found["layer"] = list(layers)
    if found.get("site"):
        found.setdefault("hooks", [hook_name(found["site"], layer) for layer in layers])
    return found
