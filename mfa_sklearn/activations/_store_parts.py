"""A store that several processes write, each its own part, as the one store that readers see.

Shards are cut by the numbers of the texts, as in a run of one process, and dealt out in turn: part i of n has the
shards i, i + n, i + 2n, ... A part has a manifest of its own, ``manifest.part-i-of-n.json``, and a lock of its own, so
parts run side by side, on several machines, or one after the other, and each goes on where it was. When all shards are
there, whoever notices first, at the end of its own part or at the beginning of another call, puts them together: one
``manifest.json`` as a single process would have written it, to the byte, and the parts' manifests go. Until then a
reader puts them together in memory, and is told which parts are missing; rows of these are left out, and their texts
are empty strings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._base.stored import OWN, own_digest
from ._part import Part
from ._store_manifest import MANIFEST, check_manifest, part_name, part_of, read_manifest, rows_in, shard_number

# How often a folder is looked at whose parts are put together meanwhile.
_LOOKS = 5


def open_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a store, put together from those of its parts where there is none of the whole.

    Returns
    -------
    dict
        As `read_manifest` gives it. Where parts are missing, with an entry "parts": how many there are ("count") and
        the numbers of those that are not whole ("missing").

    Raises
    ------
    ValueError
        As `read_manifest`; also if the parts are of different runs, or read different texts.
    """
    for _ in range(_LOOKS):
        if (directory / MANIFEST).exists():
            break
        try:
            found = part_manifests(directory)
        except FileNotFoundError:  # put together meanwhile
            continue
        if found:
            return merged(directory, found)
    return read_manifest(directory)


def has_store(directory: Path) -> bool:
    """Whether there is a manifest in a folder, of a store or of a part of one."""
    return (directory / MANIFEST).exists() or any(part_of(path.name) for path in directory.glob("manifest.part-*"))


def part_manifests(directory: Path) -> dict[Part, dict[str, Any]]:
    """The manifests of parts, by their numbers.

    Raises
    ------
    FileNotFoundError
        If one goes while they are read.
    """
    parts = {path.name: part for path in directory.glob("manifest.part-*") if (part := part_of(path.name))}
    found = {}
    for name, part in sorted(parts.items(), key=lambda item: item[1][::-1]):
        if not (directory / name).exists():
            raise FileNotFoundError(name)
        found[part] = read_manifest(directory, name)
        own = found[part].get("part", {})
        if (own.get("number"), own.get("count")) != part:
            raise ValueError(f"{str(directory / name)!r} is not the manifest of {part}: it was renamed, restore it")
    return found


def merged(directory: Path, found: dict[Part, dict[str, Any]]) -> dict[str, Any]:
    """One manifest of those of parts: that of a single run where all are whole.

    Raises
    ------
    ValueError
        If they are of different runs, or read different texts.
    """
    _check_alike(directory, found)
    first = next(iter(found.values()))
    manifest = {name: entry for name, entry in first.items() if name not in ("part", OWN)}
    shards = [shard for part in found.values() for shard in part["shards"]]
    manifest["shards"] = sorted(shards, key=lambda shard: shard["texts"][0])
    manifest["width"] = max(part["width"] for part in found.values())
    manifest["n_texts"] = next((part["n_texts"] for part in found.values() if part["n_texts"] is not None), None)
    count = next(iter(found)).total
    missing = [i for i in range(count) if not _is_whole(Part(i, count), found, manifest)]
    if missing:
        manifest["parts"] = {"count": count, "missing": missing}
    try:
        check_manifest(manifest)
    except ValueError as error:
        raise ValueError(f"the parts in {str(directory)!r} do not fit together: {error}; {_ANEW}") from error
    return manifest if missing else manifest | {OWN: own_digest(manifest)}


_ANEW = "extract them again into another folder, or with resume=False (on the command line: --force)"


def _is_whole(part: Part, found: dict[Part, dict[str, Any]], manifest: dict[str, Any]) -> bool:
    """Whether all shards of a part are there; of a stream that has to have been gone through."""
    first = next(iter(found.values()))["part"]
    if manifest["n_texts"] is None or ("end" in first and (part not in found or found[part]["part"]["end"] is None)):
        return False
    own = {shard_number(shard["name"]) for shard in found[part]["shards"]} if part in found else set()
    return own >= set(range(part.number, -(-manifest["n_texts"] // first["shard_size"]), part.total))


def _check_alike(directory: Path, found: dict[Part, dict[str, Any]]) -> None:
    """Refuse parts of different runs."""
    runs = {part: (manifest["key"], part.total, manifest["part"]["mark"]) for part, manifest in found.items()}
    if names := _unlike(directory, runs):
        raise ValueError(f"{names} are parts of different runs: take those of one away, or {_ANEW}")
    ends = {part: end for part, manifest in found.items() if (end := manifest["part"].get("end")) is not None}
    if names := _unlike(directory, ends):
        raise ValueError(
            f"{names} have read different texts: a stream must give each process the same texts in the same order, so "
            f"fix the seed of what shuffles it, and {_ANEW}"
        )


def _unlike(directory: Path, facts: dict[Part, Any]) -> str:
    """The first two parts of which different things are known, in words; empty if there are none."""
    known = list(facts.items())
    other = next((part for part, fact in known if fact != known[0][1]), None)
    return f"{part_name(known[0][0])} and {part_name(other)} in {str(directory)!r}" if other else ""


def what_is_there(manifest: dict[str, Any], directory: Path) -> str:
    """What an unfinished store holds."""
    if "appended" in manifest:
        n_rows = rows_in(manifest)
        return f"{n_rows:,} rows of {str(directory)!r}, whose writer was interrupted: one with resume=True goes on"
    n_texts, there = manifest["n_texts"], sum(stop - start for start, stop in (s["texts"] for s in manifest["shards"]))
    whole = "" if n_texts is None else f" of {n_texts:,}"
    parts = f", {parts_told(manifest['parts'])}" if "parts" in manifest else ""
    return f"{there:,}{whole} texts of {str(directory)!r}{parts}"


def parts_told(parts: dict[str, Any]) -> str:
    """Which parts are missing, in words.

    Examples
    --------
    >>> parts_told({"count": 8, "missing": [1, 3]}), parts_told({"count": 4, "missing": [2]})
    ('parts 1 and 3 of 8 are missing', 'part 2 of 4 is missing')
    """
    *most, last = map(str, parts["missing"])
    if len(most) > 8:
        most, last = most[:8], f"{len(most) - 7} more"
    said = f"parts {', '.join(most)} and {last}" if most else f"part {last}"
    return f"{said} of {parts['count']} {'are' if most else 'is'} missing"
