"""The files of an activation store's parts: read as what its manifest says, and compared with their checksums.

No file outside the folder is read: names come from a pattern without separators, and links are not followed.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import numpy as np

from .._base.stored import file_entry, parse_json
from ._store_manifest import check_size, file_names
from ._store_numbers import disk_dtype

_AGAIN = "restore it from a copy, or delete the store and extract again"


def load_array(directory: Path, manifest: dict[str, Any], shard: dict[str, Any], name: str) -> np.ndarray:
    """An array of a part, as a memory map.

    Parameters
    ----------
    name : str
        A layer's ("layer-7"), a fact's, or one of the vocabulary's two.

    Raises
    ------
    ValueError
        If it is missing, damaged, or not what the manifest says; the message names the file.
    """
    path = directory / f"{shard['name']}.{name}.npy"
    try:
        check_file(path, shard)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        _check_array(array, manifest, shard, name)
    except Exception as error:  # of a damaged head numpy's parser raises nearly anything
        raise unreadable(path, error) from error
    return array


def _check_array(array: np.ndarray, manifest: dict[str, Any], shard: dict[str, Any], name: str) -> None:
    seen, rows = f"{array.dtype} of shape {array.shape}", shard["rows"]
    if name.startswith("layer-"):
        expected = disk_dtype(manifest["dtype"])
        if array.shape != (rows, manifest["width"]) or array.dtype != expected:
            raise ValueError(f"it holds {seen}, not {expected} of shape {(rows, manifest['width'])}")
    elif name == "labels":
        if array.shape[:1] != (rows,):
            raise ValueError(f"it holds {seen}, not {rows} labels")
    else:
        kinds = "U" if name in ("vocabulary", "roles") else "iu"
        length = array.shape if name.startswith("vocabulary") else (rows,)
        if array.ndim != 1 or array.shape != length or array.dtype.kind not in kinds:
            raise ValueError(f"it holds {seen}, not {rows} {'strings' if kinds == 'U' else 'whole numbers'}")


def load_tokens(directory: Path, shard: dict[str, Any], token_ids: np.ndarray, vocabulary: list[np.ndarray]) -> Any:
    """Token strings (n,) of ids (n,), from a part's distinct ids and their strings.

    Raises
    ------
    ValueError
        If an id is not among them.
    """
    ids, strings = vocabulary
    places = np.searchsorted(ids, token_ids)
    known = len(ids) == len(strings) and (not len(token_ids) or places.max() < len(ids))
    if not known or not np.array_equal(ids[places], token_ids):
        path = directory / f"{shard['name']}.vocabulary_ids.npy"
        raise unreadable(path, ValueError("it lacks ids of the part's tokens"))
    return strings[places]


def check_text_index(directory: Path, manifest: dict[str, Any], shard: dict[str, Any], found: np.ndarray) -> None:
    """Refuse numbers of texts that are not the part's; those of rows that were appended may be any."""
    start, stop = (0, manifest["n_texts"] or found.max(initial=0) + 1) if "appended" in manifest else shard["texts"]
    if len(found) and not start <= found.min() <= found.max() < stop:
        path = directory / f"{shard['name']}.text_index.npy"
        raise unreadable(path, ValueError(f"it names texts outside {start} to {stop - 1}, which are the part's"))


def load_texts(directory: Path, shard: dict[str, Any]) -> list[str]:
    """The texts of a part.

    Raises
    ------
    ValueError
        If their file is missing, damaged, or holds others; the message names it.
    """
    path = directory / f"{shard['name']}.texts.json"
    start, stop = shard["texts"]
    try:
        check_file(path, shard)
        texts = parse_json(path.read_bytes())
        if not (isinstance(texts, list) and len(texts) == stop - start and all(isinstance(t, str) for t in texts)):
            raise ValueError(f"it must be a list of {stop - start} texts")
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return texts


def check_layer(directory: Path, manifest: dict[str, Any], layer: int) -> None:
    """Refuse a layer of which a file is missing or has another size than it was written with.

    Of no rows, the file's head is read here, because there will be nothing to read it for.
    """
    for shard in manifest["shards"]:
        if not shard["rows"]:
            load_array(directory, manifest, shard, f"layer-{layer}")
        path = directory / f"{shard['name']}.layer-{layer}.npy"
        try:
            check_size(shard, manifest, path.name, check_file(path, shard))
        except (OSError, ValueError) as error:
            raise unreadable(path, error) from error


def check_file(path: Path, shard: dict[str, Any]) -> int:
    """The size of a part's file, found to be a file of this folder and as large as it was written."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is a link or no file, and what lies elsewhere is not read")
    written = shard.get("files", {}).get(path.name.removeprefix(f"{shard['name']}."))
    if written is not None and written["bytes"] != found.st_size:
        raise ValueError(f"it has {found.st_size} bytes, and was written with {written['bytes']}")
    return found.st_size


def verify_files(directory: Path, manifest: dict[str, Any]) -> int:
    """Compare all files of all parts with their checksums; how many they are.

    Raises
    ------
    ValueError
        If there are no checksums, or files are missing or differ.
    """
    if not all("files" in shard for shard in manifest["shards"]):
        raise ValueError(
            f"{str(directory)!r} has no checksums, an earlier version wrote it: extract again to have some"
        )
    bad, n_files = [], 0
    for shard in manifest["shards"]:
        for name in file_names(shard, manifest["layers"]):
            path, n_files = directory / f"{shard['name']}.{name}", n_files + 1
            try:
                check_file(path, shard)
                if file_entry(path) != shard["files"][name]:
                    bad.append(f"{path.name}: its checksum is another")
            except (OSError, ValueError) as error:
                bad.append(f"{path.name}: {error}")
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise ValueError(f"{str(directory)!r} is damaged: {'; '.join(bad[:3])}{more}; {_AGAIN}")
    return n_files


def unreadable(path: Path, error: Exception) -> ValueError:
    """An error that names the file, what is wrong with it, and what to do."""
    return ValueError(f"{str(path)!r} cannot be read ({error}): {_AGAIN}")
