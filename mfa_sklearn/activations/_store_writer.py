"""Writing an activation store, part after part, so that an interrupted run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._base.checks import check_choice, check_count
from .._base.files import replacing
from .._base.home import home_path
from .._base.labels import label_array, to_disk
from ._row_plan import LayerRows
from ._store import DTYPES, FACTS, FORMAT, VERSION, ActivationStore, read_manifest


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
    resume: bool = True,
    progress: bool = False,
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
    resume : bool
    progress : bool

    Returns
    -------
    ActivationStore
    """
    from tqdm import tqdm

    path = home_path(directory)
    if labels is not None:
        labels = to_disk(labels if isinstance(labels, np.ndarray) else label_array(labels))
    known = {name: fact for name, fact in source.items() if name != "model" or not source.get("revision")}
    key = _fingerprint(texts, labels, {**settings, **known, "shard_size": shard_size, "dtype": dtype})
    manifest = _start(path, key, source, len(texts), dtype, resume)
    starts = range(0, len(texts), shard_size)[len(manifest["shards"]) :]
    done = starts[0] if starts else len(texts)
    with tqdm(total=len(texts), initial=done, desc="activations", unit="text", disable=not progress) as bar:
        for start in starts:
            part = slice(start, min(start + shard_size, len(texts)))
            rows = extract(texts[part], None if labels is None else labels[part], start)
            shard = _write_shard(path, _shard_name(len(manifest["shards"])), rows, manifest["layers"], part, dtype)
            manifest["width"] = int(rows.layers[0].shape[1])
            manifest["shards"].append(shard)
            _write_json(path / "manifest.json", manifest)
            bar.update(part.stop - part.start)
    return ActivationStore(path)


def check_store_options(shard_size: Any, dtype: Any) -> None:
    """Refuse what no store can have, before a model is run."""
    check_count("shard_size", shard_size)
    check_choice("dtype", dtype, DTYPES)


def _start(path: Path, key: str, source: dict[str, Any], n_texts: int, dtype: str, resume: bool) -> dict[str, Any]:
    """The manifest to go on with: the one there is, if it is of the same run, or a new one."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{str(path)!r} is a file: give a directory")
    if (path / "manifest.json").exists():
        manifest = read_manifest(path)
        if resume and manifest["key"] == key:
            return manifest
        if resume:
            raise ValueError(
                f"{str(path)!r} holds activations of other texts, labels or parameters: "
                "give another directory, or resume=False to replace them"
            )
        _delete(path, manifest)
    path.mkdir(parents=True, exist_ok=True)
    layers = source["layer"] if isinstance(source["layer"], list) else [source["layer"]]
    return {
        "format": FORMAT,
        "version": VERSION,
        "key": key,
        "source": source | {"layer": layers},
        "layers": layers,
        "dtype": dtype,
        "width": 0,
        "n_texts": n_texts,
        "shards": [],
    }


def _delete(path: Path, manifest: dict[str, Any]) -> None:
    """Delete a store's own files, those of the part it was writing included."""
    (path / "manifest.json").unlink()
    for number in range(len(manifest["shards"]) + 1):
        for file in path.glob(f"{_shard_name(number)}.*"):
            file.unlink()


def _shard_name(number: int) -> str:
    return f"shard-{number:05d}"


def _write_shard(
    path: Path, name: str, rows: LayerRows, layers: Sequence[int], part: slice, dtype: str
) -> dict[str, Any]:
    """Write the files of a part and return its entry in the manifest."""
    for layer, values in zip(layers, rows.layers, strict=True):
        _save(path / f"{name}.layer-{layer}.npy", _narrowed(values, dtype, layer))
    facts = {fact: rows.facts[fact] for fact in FACTS if fact in rows.facts}
    facts["text_index"] = facts["text_index"] + part.start
    for fact, values in facts.items():
        small = values if fact in ("labels", "text_index") else values.astype(np.int32)
        _save(path / f"{name}.{fact}.npy", small)
    if "token_ids" in facts:
        ids, first = np.unique(facts["token_ids"], return_index=True)
        _save(path / f"{name}.vocabulary_ids.npy", ids)
        _save(path / f"{name}.vocabulary.npy", rows.facts["tokens"][first])
    _write_json(path / f"{name}.texts.json", list(rows.texts))
    n_rows = len(facts["text_index"])
    return {"name": name, "rows": n_rows, "texts": [part.start, part.stop], "facts": list(facts)}


def _narrowed(values: np.ndarray, dtype: str, layer: int) -> np.ndarray:
    if dtype == "float16" and len(values) and np.abs(values).max() > np.finfo(np.float16).max:
        raise ValueError(
            f"layer {layer} has activations of {np.abs(values).max():.3g}, beyond float16's 65504: use dtype='float32'"
        )
    return values.astype(dtype)


def _fingerprint(texts: list[str], labels: np.ndarray | None, settings: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=repr).encode())
    for text in texts:
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    if labels is not None:
        digest.update(str(labels.dtype).encode() + labels.tobytes())
    return digest.hexdigest()


def _save(path: Path, values: np.ndarray) -> None:
    with replacing(path) as temporary:
        np.save(temporary, values, allow_pickle=False)


def _write_json(path: Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
