"""Writing an activation store, part after part, so that an interrupted run goes on where it was.

One run at a time writes to a folder. A run that replaces a store keeps its own manifest and marks its parts, and takes
the store's place when it is whole: until then the earlier one can be read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._base.checks import check_choice, check_count
from .._base.files import check_folder, probe, replacing
from .._base.home import home_path
from .._base.labels import label_array, to_disk
from .._base.leftovers import clear_leftovers
from .._base.locks import locked
from .._base.stored import DigestedFile, with_digest
from ._row_plan import LayerRows, nothing_selected
from ._store import ActivationStore
from ._store_files import check_layer
from ._store_manifest import (
    DTYPES,
    FACTS,
    FORMAT,
    MANIFEST,
    MARKS,
    NEXT,
    VERSION,
    is_own,
    mark_of,
    read_manifest,
    shard_name,
)


def write_store(
    directory: str | os.PathLike[str],
    extract: Callable[[list[str], Any, int], LayerRows],
    settings: dict[str, Any],
    source: dict[str, Any],
    texts: list[str],
    labels: Any = None,
    *,
    shard_size: int = 1000,
    dtype: str = "float16",
    select: dict[str, Any] | None = None,
    resume: bool = True,
    progress: bool = False,
    least_bytes: int = 0,
) -> ActivationStore:
    """Extract and write the parts that are missing.

    Parameters
    ----------
    directory : path
    extract : callable
        From some texts, their labels (or None) and the number of the first of them to `LayerRows`.
    settings : dict
        Whatever else the numbers depend on; a run is resumed only with the same, and the same texts and labels.
    source : dict
        As in `ActivationArray.source`.
    texts : list of n str
    labels : array-like of length n, optional
    shard_size : int
        Texts per part.
    dtype : {"float16", "float32"}
    select : dict, optional
        The selection of tokens, for the manifest.
    resume : bool
    progress : bool
    least_bytes : int
        That the first part will need; there must be room for it before anything is extracted.

    Returns
    -------
    ActivationStore

    Raises
    ------
    ValueError
        If the folder holds activations of other texts or parameters, or no rows come of the texts.
    OSError
        If the folder holds other things, another run writes to it, or it cannot be written to.
    """
    path = home_path(directory)
    if labels is not None:
        labels = to_disk(labels if isinstance(labels, np.ndarray) else label_array(labels))
    known = {name: fact for name, fact in source.items() if name != "model" or not source.get("revision")}
    key = _fingerprint(texts, labels, {**settings, **known, "shard_size": shard_size, "dtype": dtype})
    if path.exists() and not path.is_dir():
        raise ValueError(f"{str(path)!r} is a file: give a directory")
    if resume and _is_finished(path, key):
        return ActivationStore(path)
    with locked(path):
        probe(path, least_bytes)
        run = _start(path, key, _new_manifest(key, source, len(texts), dtype, select), resume)
        with _telling_what_is_kept(run):
            _write_parts(run, extract, texts, labels, shard_size, progress)
        _finish(run)
        return ActivationStore(path)


def check_store_options(shard_size: Any, dtype: Any) -> None:
    """Refuse what no store can have, before a model is run."""
    check_count("shard_size", shard_size)
    check_choice("dtype", dtype, DTYPES)


# ---------------------------------------------------------------- runs


@dataclass(frozen=True)
class _Run:
    """A store that is being written: its folder, the name of its manifest and what that says, and its parts' mark."""

    path: Path
    name: str
    manifest: dict[str, Any]
    mark: str

    def save(self, name: str | None = None) -> None:
        _write(self.path / (name or self.name), with_digest(self.manifest))

    @property
    def n_kept(self) -> int:
        """Texts of the parts that are whole."""
        shards = self.manifest["shards"]
        return shards[-1]["texts"][1] if shards else 0

    def check(self) -> None:
        """Refuse to go on where parts have been lost meanwhile."""
        for layer in self.manifest["layers"]:
            check_layer(self.path, self.manifest, layer)

    def discard(self) -> None:
        """Delete all of it."""
        (self.path / self.name).unlink(missing_ok=True)
        _delete_parts(self.path, self.mark)


def _new_manifest(key: str, source: dict[str, Any], n_texts: int, dtype: str, select: Any) -> dict[str, Any]:
    layers = source["layer"] if isinstance(source["layer"], list) else [source["layer"]]
    return {
        "format": FORMAT,
        "version": VERSION,
        "key": key,
        "source": source | {"layer": layers},
        "select": select,
        "layers": layers,
        "dtype": dtype,
        "width": 0,
        "n_texts": n_texts,
        "shards": [],
    }


def _is_finished(path: Path, key: str) -> bool:
    """Whether the store is there already; what killed runs left is cleared, if one may write there."""
    if not (path / MANIFEST).exists():
        return False
    manifest = read_manifest(path)
    if manifest["key"] != key or not any(shard["rows"] for shard in manifest["shards"]):
        return False
    if manifest["shards"][-1]["texts"][1] < manifest["n_texts"]:
        return False
    with suppress(OSError), locked(path):
        _tidy(path)
    return True


def _start(path: Path, key: str, new: dict[str, Any], resume: bool) -> _Run:
    """The run to go on with: one that is there, if it is of the same texts and parameters, or a new one."""
    _tidy(path)
    found = {name: run for name in (MANIFEST, NEXT) if (run := _open_run(path, name)) is not None}
    if MANIFEST not in found:
        first = f"{shard_name(0)}."  # of a run that was killed in it
        check_folder(path, MANIFEST, ours=is_own, left=lambda name: is_own(name) and name.startswith(first))
    if resume:
        same = [run for run in found.values() if run.manifest["key"] == key]
        if same:
            same[0].check()
            return same[0]
        if MANIFEST in found:
            raise ValueError(
                f"{str(path)!r} holds activations of other texts, labels or parameters: give another directory, or "
                "resume=False (on the command line: --force) to replace them"
            )
    if NEXT in found:
        found[NEXT].discard()
    earlier = found.get(MANIFEST)
    mark = MARKS[0] if earlier is None else next(mark for mark in MARKS if mark != earlier.mark)
    run = _Run(path, MANIFEST if earlier is None else NEXT, new, mark)
    run.discard()
    run.save()
    return run


def _open_run(path: Path, name: str) -> _Run | None:
    """The run of a manifest; None if there is none, or no part of it is whole."""
    if not (path / name).exists():
        return None
    manifest = read_manifest(path, name)
    if not manifest["shards"]:
        (path / name).unlink()
        return None
    return _Run(path, name, manifest, mark_of(f"{manifest['shards'][0]['name']}.texts.json") or "")


def _tidy(path: Path) -> None:
    """Delete what killed runs left: temporary files, and the parts of a store that was replaced."""
    clear_leftovers(path, is_own, locked=True)
    whole, following = _open_run(path, MANIFEST), _open_run(path, NEXT)
    if whole is None:
        return
    if following is not None and following.mark == whole.mark:
        (path / NEXT).unlink()
        following = None
    for mark in MARKS:
        if mark not in (whole.mark, following and following.mark):
            _delete_parts(path, mark)


def _finish(run: _Run) -> None:
    """Refuse a store without rows, and have a whole one take its place."""
    if not any(shard["rows"] for shard in run.manifest["shards"]):
        run.discard()
        raise ValueError(nothing_selected(run.manifest["select"], run.manifest["n_texts"]))
    if run.name == NEXT:
        run.save(MANIFEST)
        _tidy(run.path)


def _delete_parts(path: Path, mark: str) -> None:
    for name in os.listdir(path):
        if mark_of(name) == mark:
            (path / name).unlink()


@contextmanager
def _telling_what_is_kept(run: _Run) -> Iterator[None]:
    """Add to interrupts, and to errors of the disk, what is kept and how to go on; of nothing, leave nothing."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_what_is_kept(run)) from error
    except OSError as error:
        kind = PermissionError if isinstance(error, PermissionError) else OSError
        told = kind(f"{error}; {_what_is_kept(run)}")
        told.errno = error.errno
        raise told from error
    finally:
        if not run.manifest["shards"]:
            with suppress(OSError):
                run.discard()


def _what_is_kept(run: _Run) -> str:
    n_texts, path = run.manifest["n_texts"], str(run.path)
    if not run.n_kept:
        return f"none of {n_texts:,} texts is kept in {path!r}: the first part was not whole (see shard_size)"
    if run.name == NEXT:
        return (
            f"{run.n_kept:,} of {n_texts:,} texts are kept in {path!r} beside the earlier store; to go on, do the same "
            "without resume=False (on the command line: without --force)"
        )
    return f"{run.n_kept:,} of {n_texts:,} texts are kept in {path!r}; to go on, do the same again"


# ---------------------------------------------------------------- parts


def _write_parts(
    run: _Run, extract: Callable[..., LayerRows], texts: list[str], labels: Any, shard_size: int, progress: bool
) -> None:
    from tqdm import tqdm

    manifest = run.manifest
    with tqdm(total=len(texts), initial=run.n_kept, desc="activations", unit="text", disable=not progress) as bar:
        for start in range(run.n_kept, len(texts), shard_size):
            part = slice(start, min(start + shard_size, len(texts)))
            rows = extract(texts[part], None if labels is None else labels[part], start)
            name = shard_name(len(manifest["shards"]), run.mark)
            shard = _write_shard(run.path, name, rows, manifest["layers"], part, manifest["dtype"])
            manifest["width"] = int(rows.layers[0].shape[1])
            manifest["shards"].append(shard)
            run.save()
            bar.update(part.stop - part.start)


def _write_shard(
    path: Path, name: str, rows: LayerRows, layers: Sequence[int], part: slice, dtype: str
) -> dict[str, Any]:
    """Write the files of a part and return its entry in the manifest."""
    arrays = {
        f"layer-{layer}": _narrowed(values, dtype, layer) for layer, values in zip(layers, rows.layers, strict=True)
    }
    facts = {fact: rows.facts[fact] for fact in FACTS if fact in rows.facts}
    facts["text_index"] = facts["text_index"] + part.start
    for fact, values in facts.items():
        arrays[fact] = values if fact in ("labels", "text_index") else values.astype(np.int32)
    if "token_ids" in facts:
        ids, first = np.unique(facts["token_ids"], return_index=True)
        arrays |= {"vocabulary_ids": ids, "vocabulary": rows.facts["tokens"][first]}
    files = {f"{kind}.npy": _save(path / f"{name}.{kind}.npy", values) for kind, values in arrays.items()}
    files["texts.json"] = _write(path / f"{name}.texts.json", json.dumps(list(rows.texts)).encode())
    n_rows = len(facts["text_index"])
    return {"name": name, "rows": n_rows, "texts": [part.start, part.stop], "facts": list(facts), "files": files}


def _narrowed(values: np.ndarray, dtype: str, layer: int) -> np.ndarray:
    if dtype == "float16" and len(values) and np.abs(values).max() > np.finfo(np.float16).max:
        raise ValueError(
            f"layer {layer} has activations of {np.abs(values).max():.3g}, beyond float16's 65504: use dtype='float32' "
            "(and another directory, or resume=False, if parts are written already)"
        )
    return values.astype(dtype)


def _fingerprint(texts: list[str], labels: np.ndarray | None, settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=_plain_setting).encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    if labels is not None:
        digest.update(str(labels.dtype).encode() + labels.tobytes())
    return digest.hexdigest()


def _plain_setting(value: Any) -> Any:
    """Numpy's numbers are the plain ones; others are known by what they are shown as."""
    return value.item() if isinstance(value, np.generic) else repr(value)


def _save(path: Path, values: np.ndarray) -> dict[str, Any]:
    """Write an array; size and checksum of its file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        digested = DigestedFile(file)
        np.save(digested, values, allow_pickle=False)  # type: ignore[call-overload]
    return digested.entry


def _write(path: Path, content: bytes) -> dict[str, Any]:
    with replacing(path) as temporary, temporary.open("wb") as file:
        digested = DigestedFile(file)
        digested.write(content)
    return digested.entry
