"""The files of a shard, written one after the other, each whole or absent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._base.files import replacing
from .._base.stored import DigestedFile
from ._row_plan import LayerRows
from ._store_manifest import FACTS
from ._store_numbers import narrowed


def write_shard(
    path: Path,
    name: str,
    rows: LayerRows,
    layers: Sequence[int],
    texts: tuple[int, int],
    dtype: str,
    counts_own_texts: bool = True,
) -> dict[str, Any]:
    """Write the files of a shard; its entry in the manifest.

    Parameters
    ----------
    path : Path
        Of the folder.
    name : str
        That the files' names begin with.
    rows : LayerRows
        Of extracted rows, ``text_index`` counts the texts of the shard.
    layers : list of int
    texts : (int, int)
        Number of the first text, and of the one behind the last.
    dtype : str
        Of the numbers on disk.
    counts_own_texts : bool
        Whether ``text_index`` counts from the first text of the shard; else it counts all texts, or is not there.
    """
    arrays = {
        f"layer-{layer}": narrowed(values, dtype, layer) for layer, values in zip(layers, rows.layers, strict=True)
    }
    facts = {fact: rows.facts[fact] for fact in FACTS if fact in rows.facts}
    if counts_own_texts:
        facts["text_index"] = facts["text_index"] + texts[0]
    for fact, values in facts.items():
        arrays[fact] = values if fact in ("labels", "roles", "text_index") else values.astype(np.int32)
    if "token_ids" in facts:
        ids, first = np.unique(facts["token_ids"], return_index=True)
        arrays |= {"vocabulary_ids": ids, "vocabulary": rows.facts["tokens"][first]}
    files = {f"{kind}.npy": _save(path / f"{name}.{kind}.npy", values) for kind, values in arrays.items()}
    files["texts.json"] = write_file(path / f"{name}.texts.json", json.dumps(list(rows.texts)).encode())
    n_rows = len(rows.layers[0])
    return {"name": name, "rows": n_rows, "texts": list(texts), "facts": list(facts), "files": files}


def _save(path: Path, values: np.ndarray) -> dict[str, Any]:
    """Write an array; size and checksum of its file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        digested = DigestedFile(file)
        np.save(digested, values, allow_pickle=False)  # type: ignore[call-overload]
    return digested.entry


def write_file(path: Path, content: bytes) -> dict[str, Any]:
    """Write a file; its size and checksum."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        digested = DigestedFile(file)
        digested.write(content)
    return digested.entry
