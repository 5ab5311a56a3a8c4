"""The manifest of an activation store: what it says, and whether that can be.

    format, version   what wrote it
    key               of texts, labels and parameters; a run is resumed only with the same
    source            as in `ActivationArray.source`
    select            the selection of tokens, as `TokenSelection.to_dict` writes it, predicates as digests; only told
    layers            of which there are arrays, all of one width
    dtype             of the numbers; those of bfloat16 are on disk as unsigned integers
    width             columns; 0 before the first part is whole
    n_texts           of the whole run; null of a stream that has not been gone through
    shards            those that are whole, in the order of their texts
    appended          of rows that a program handed over (`_writer.py`): the names of the facts that it gave; such rows
                      may have no texts, which then are not counted, and know less of where they come from
    sha256            of all that

and of each shard its name, the number of its rows, the range of its texts, its facts per row, and of each of its files
the size and the checksum; of a stream of texts also a digest of all texts up to its end (given); where texts were cut,
how many, and how many tokens that cost (cut). Manifests of earlier versions have no checksums and sizes, and no
selection: reading needs none.

Where several processes write a store together, each has a manifest of its own with an entry "part" besides, until all
are whole and one manifest of the above form takes their place (`_store_parts.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .._base.stored import OWN, check_unchanged, parse_json
from .._base.words import shortened
from ._part import Part
from ._store_numbers import DTYPES, disk_dtype

FORMAT = "mfa-sklearn activations"
VERSION = 1
# Facts kept on disk as they are; token strings follow from the ids.
FACTS = ("token_ids", "text_index", "positions", "starts", "ends", "labels", "roles")
MANIFEST = "manifest.json"
# Of a run that is to replace a whole store, until it is whole itself.
NEXT = "manifest.next.json"

# Parts of a store that replaces another in the same folder have the other mark, so that both can be there.
MARKS = ("", "b")
_SHARD = re.compile(r"shard-\d{5,}b?")
_KINDS = rf"layer-\d+\.npy|({'|'.join(FACTS)}|vocabulary|vocabulary_ids)\.npy|texts\.json"
_OWN_FILE = re.compile(rf"(?P<shard>shard-\d{{5,}}(?P<mark>b?))\.({_KINDS})")
_PART_MANIFEST = re.compile(r"manifest\.part-(\d{1,9})-of-(\d{1,9})\.json")
# A file of the format .npy has a head before its numbers, a multiple of 64 bytes long.
_HEAD_BYTES = range(64, 4097, 64)


def shard_name(number: int, mark: str = "") -> str:
    """The name that all files of a part begin with."""
    return f"shard-{number:05d}{mark}"


def shard_number(name: str) -> int:
    """The number in a shard's name.

    Examples
    --------
    >>> shard_number("shard-00012b.texts.json")
    12
    """
    return int(name.removeprefix("shard-").partition(".")[0].rstrip("b"))


def file_names(shard: dict[str, Any], layers: Sequence[int]) -> list[str]:
    """What the names of a part's files end in."""
    vocabulary = ["vocabulary_ids.npy", "vocabulary.npy"] if "token_ids" in shard["facts"] else []
    return [*(f"layer-{k}.npy" for k in layers), *(f"{fact}.npy" for fact in shard["facts"]), *vocabulary, "texts.json"]


def mark_of(name: str) -> str | None:
    """The mark of the store that a file of a part belongs to; None if it is no such file."""
    found = _OWN_FILE.fullmatch(name)
    return found and found["mark"]


def is_own(name: str) -> bool:
    """Whether a store may have a file of this name."""
    return name in (MANIFEST, NEXT) or part_of(name) is not None or mark_of(name) is not None


def part_name(part: Part) -> str:
    """The name of a part's manifest."""
    return f"manifest.part-{part.number}-of-{part.total}.json"


def part_of(name: str) -> Part | None:
    """The part that a manifest is of; None if it is no such file."""
    found = _PART_MANIFEST.fullmatch(name)
    part = found and Part(int(found[1]), int(found[2]))
    return part if part and part.number < part.total else None


def new_manifest(
    key: str, source: dict[str, Any], layers: Sequence[int], dtype: str, n_texts: int | None = None, select: Any = None
) -> dict[str, Any]:
    """The manifest of a run that begins."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "key": key,
        "source": source,
        "select": select,
        "layers": list(layers),
        "dtype": dtype,
        "width": 0,
        "n_texts": n_texts,
        "shards": [],
    }


def read_manifest(directory: Path, name: str = MANIFEST) -> dict[str, Any]:
    """The manifest of a store, checked.

    Raises
    ------
    ValueError
        If there is none, it is damaged, another program's or of a later version, or it was changed.
    """
    path = directory / name
    if not path.is_file():
        raise ValueError(f"no activation store at {str(directory)!r}: it has no {name}, as extract_to writes it")
    if path.is_symlink():
        raise ValueError(f"{str(path)!r} is a link, which is not followed: put the file itself there")
    try:
        manifest = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is damaged ({error}): delete the store and extract again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{str(path)!r} is not the manifest of an activation store: give another directory")
    version = manifest.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ValueError(f"{str(directory)!r} has version {version}, this package reads up to {VERSION}")
    try:
        check_manifest(manifest)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is damaged: {error}; delete the store and extract again") from error
    check_unchanged(path, manifest)
    return manifest


def check_manifest(manifest: dict[str, Any]) -> None:
    """Refuse what no store can have.

    Raises
    ------
    ValueError
        With the entry, its value, and what it must be.
    """
    _check_entries(manifest, _MANIFEST)
    layers, hooks = manifest["layers"], manifest["source"].get("hooks")
    if "appended" in manifest:
        appended = manifest["appended"]
        if not (isinstance(appended, dict) and _is_list_of(lambda n: isinstance(n, str))(appended.get("names"))):
            raise ValueError(f"appended={shortened(appended)} must have the names of facts")
        hooks = [""] * len(layers) if hooks is None else hooks
    if not (isinstance(hooks, list) and len(hooks) == len(layers) and all(isinstance(hook, str) for hook in hooks)):
        raise ValueError(f"hooks={shortened(hooks)} of its source must be {len(layers)} names, one per layer")
    may_be_open = "appended" in manifest or manifest["n_texts"] is not None
    if not may_be_open and not all("given" in shard for shard in manifest["shards"]):
        raise ValueError("n_texts=None must be a whole number: it is no stream of texts")
    if "part" in manifest:
        _check_part(manifest["part"])
    last = 0
    for number, shard in enumerate(manifest["shards"]):
        try:
            _check_shard(shard, manifest, last)
        except ValueError as error:
            raise ValueError(f"of part {number}, {error}") from error
        last = shard["texts"][1]
    names = [shard["name"] for shard in manifest["shards"]]
    if len(set(names)) < len(names):
        raise ValueError(f"part {next(name for name in names if names.count(name) > 1)!r} is listed twice")
    if len({tuple(shard["facts"]) for shard in manifest["shards"] if shard["rows"]}) > 1:
        raise ValueError("its parts have other facts per row")


def _check_shard(shard: Any, manifest: dict[str, Any], first: int) -> None:
    if not isinstance(shard, dict):
        raise ValueError(f"{shortened(shard)} must be an object")
    _check_entries(shard, _PART | (_APPENDED if "appended" in manifest else {}))
    start, stop = shard["texts"]
    n_texts, has_gaps = manifest["n_texts"], "part" in manifest or "parts" in manifest
    most, is_empty = stop if n_texts is None else n_texts, stop <= start and "appended" not in manifest
    if start < first or (start > first and not has_gaps) or is_empty or not start <= stop <= most:
        raise ValueError(f"texts={[start, stop]} must go on at {first} and end by n_texts={n_texts}")
    if manifest["width"] == 0:
        raise ValueError("there are rows, but width=0")
    if not isinstance(shard.get("given", ""), str):
        raise ValueError(f"given={shortened(shard['given'])} must be a string")
    cut = shard.get("cut", [0, 0])
    if not (_is_list_of(is_count)(cut) and len(cut) == 2):
        raise ValueError(f"cut={shortened(cut)} must be two whole numbers")
    if "files" in shard:
        _check_files(shard, manifest)


def _check_part(part: Any) -> None:
    fits = isinstance(part, dict) and all(is_count(part.get(name)) for name in ("number", "count", "shard_size"))
    if not (fits and part["number"] < part["count"] and part["shard_size"] and part.get("mark") in MARKS):
        raise ValueError(f"part={shortened(part)} must have a number below its count, a shard_size and a mark")


def rows_in(manifest: dict[str, Any]) -> int:
    """How many rows of each layer the shards have that are whole."""
    return sum(shard["rows"] for shard in manifest["shards"])


def cut_in(manifest: dict[str, Any]) -> tuple[int, int]:
    """How many texts of a store were cut, and how many tokens that cost."""
    texts, tokens = zip((0, 0), *(shard.get("cut", (0, 0)) for shard in manifest["shards"]), strict=True)
    return sum(texts), sum(tokens)


def _check_files(shard: dict[str, Any], manifest: dict[str, Any]) -> None:
    files = shard["files"]
    expected = file_names(shard, manifest["layers"])
    if not isinstance(files, dict) or set(files) != set(expected):
        raise ValueError(f"files={shortened(files)} must be {expected}")
    for name, entry in files.items():
        if not (isinstance(entry, dict) and is_count(entry.get("bytes")) and isinstance(entry.get(OWN), str)):
            raise ValueError(f"{name}={shortened(entry)} must have a size and a checksum")
    for layer in manifest["layers"]:
        check_size(shard, manifest, f"layer-{layer}.npy", files[f"layer-{layer}.npy"]["bytes"])


def check_size(shard: dict[str, Any], manifest: dict[str, Any], name: str, size: int) -> None:
    """Refuse a layer's file that cannot hold the rows of its part."""
    numbers = shard["rows"] * manifest["width"] * disk_dtype(manifest["dtype"]).itemsize
    if size - numbers not in _HEAD_BYTES:
        raise ValueError(f"rows={shard['rows']} of {manifest['width']} numbers do not fit {name} of {size} bytes")


_Rule = tuple[Callable[[Any], bool], str]


def is_count(value: Any) -> bool:
    """Whether it is a whole number of at least zero."""
    return type(value) is int and value >= 0


def _is_list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _are_distinct(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: _is_list_of(fits)(value) and len(set(value)) == len(value) > 0


_MANIFEST: dict[str, _Rule] = {
    "version": (lambda value: type(value) is int and 1 <= value <= VERSION, f"a number from 1 to {VERSION}"),
    "key": (lambda value: isinstance(value, str), "a string"),
    "source": (lambda value: isinstance(value, dict), "an object"),
    "layers": (_are_distinct(is_count), "a list of different whole numbers"),
    "dtype": (lambda value: isinstance(value, str) and value in DTYPES, f"one of {list(DTYPES)}"),
    "width": (is_count, "a whole number"),
    "n_texts": (lambda value: value is None or is_count(value), "a whole number or null"),
    "shards": (lambda value: isinstance(value, list), "a list"),
}
_PART: dict[str, _Rule] = {
    "name": (lambda value: isinstance(value, str) and bool(_SHARD.fullmatch(value)), "such as 'shard-00000'"),
    "rows": (is_count, "a whole number"),
    "texts": (lambda value: _is_list_of(is_count)(value) and len(value) == 2, "two whole numbers"),
    "facts": (
        lambda value: (
            _are_distinct(lambda name: isinstance(name, str) and name in FACTS)(value) and "text_index" in value
        ),
        f"of {list(FACTS)}, with 'text_index'",
    ),
}


# Of rows that were appended, which need have no facts.
_APPENDED: dict[str, _Rule] = {
    "facts": (
        lambda value: _is_list_of(lambda name: name in FACTS)(value) and len(set(value)) == len(value),
        f"of {list(FACTS)}",
    ),
}


def _check_entries(content: dict[str, Any], rules: dict[str, _Rule]) -> None:
    for name, (fits, what) in rules.items():
        if name not in content:
            raise ValueError(f"it has no {name!r}")
        if not fits(content[name]):
            raise ValueError(f"{name}={shortened(content[name])} must be {what}")
