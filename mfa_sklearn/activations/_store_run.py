"""A run that writes a store, or a part of one: begun, gone on with, put in the place of an earlier store.

A run that replaces a store keeps its own manifest and marks its shards, and takes the store's place when it is whole:
until then the earlier one can be read. One process alone holds the folder's lock all the while. Parts hold the locks
of their own, and the folder's for a moment, while they begin and end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._base.files import check_folder, probe
from .._base.leftovers import clear_leftovers, lock_name
from .._base.locks import locked
from .._base.stored import parse_json, with_digest
from ._part import ALL, Part
from ._row_plan import nothing_selected
from ._shard_files import write_file
from ._store_files import check_layer
from ._store_manifest import (
    FORMAT,
    MANIFEST,
    MARKS,
    NEXT,
    is_own,
    mark_of,
    part_name,
    read_manifest,
    shard_name,
    shard_number,
)
from ._store_parts import merged, part_manifests


@dataclass(frozen=True)
class Run:
    """What is being written: its folder, the name of its manifest and what that says, its shards' mark, its part."""

    path: Path
    name: str
    manifest: dict[str, Any]
    mark: str
    part: Part = ALL

    def save(self, name: str | None = None) -> None:
        write_file(self.path / (name or self.name), with_digest(self.manifest))

    def add(self, shard: dict[str, Any]) -> None:
        """Say in the manifest that a shard is whole."""
        self.manifest["shards"].append(shard)
        try:
            self.save()
        except BaseException:
            self.manifest["shards"].pop()  # so that it is not told to be kept
            raise

    @property
    def n_kept(self) -> int:
        """Texts of the shards that are whole."""
        return sum(stop - start for start, stop in (shard["texts"] for shard in self.manifest["shards"]))

    def check(self) -> None:
        """Refuse to go on where shards have been lost meanwhile."""
        for layer in self.manifest["layers"]:
            check_layer(self.path, self.manifest, layer)

    def discard(self) -> None:
        """Delete all of it."""
        (self.path / self.name).unlink(missing_ok=True)
        _delete_shards(self.path, self.mark, self.part.takes)


@contextmanager
def part_lock(path: Path, part: Part) -> Iterator[None]:
    """Be the only one to write a part of a store."""
    with locked(path, lock_name(f"part-{part.number}-of-{part.total}")):
        yield


def check_place(path: Path) -> None:
    """Refuse, before work is spent, a place where no store can be written, whatever texts it is to be of.

    Raises
    ------
    ValueError
        If it is a file.
    OSError
        If it is a folder that holds other things, or cannot be made or written to.
    """
    check_others(path)
    if not (path / MANIFEST).exists() and not part_manifests(path):
        _check_empty(path)
    probe(next(folder for folder in (path, *path.absolute().parents) if folder.is_dir()))


def check_others(path: Path) -> None:
    """Refuse a file, and a folder whose manifest is another program's; a damaged one is told of where it is read."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{str(path)!r} is a file: give a directory")
    try:
        manifest = parse_json((path / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FileExistsError(
            f"cannot write to {str(path)!r}: it holds other things ({MANIFEST!r} is not the manifest of an activation "
            "store), name a new or an empty folder"
        )


def _check_empty(path: Path) -> None:
    """Refuse a folder with anything but what a run leaves that was killed in its first shard."""
    first = f"{shard_name(0)}."
    check_folder(path, MANIFEST, ours=is_own, left=lambda name: is_own(name) and name.startswith(first))


def is_finished(path: Path, key: str) -> bool:
    """Whether the store is there already; what killed runs left is cleared, if one may write there."""
    if not (path / MANIFEST).exists() or not _is_whole(manifest := read_manifest(path)) or manifest["key"] != key:
        return False
    with suppress(OSError), locked(path, brief=True):
        _tidy(path)
    return True


def _is_whole(manifest: dict[str, Any]) -> bool:
    shards = manifest["shards"]
    return any(shard["rows"] for shard in shards) and shards[-1]["texts"][1] == manifest["n_texts"]


def start(path: Path, new: dict[str, Any], resume: bool, part: Part, shard_size: int) -> Run:
    """The run to go on with, if one of the same texts and parameters is there, or a new one.

    The folder's lock must be held.

    Parameters
    ----------
    path : Path
    new : dict
        The manifest of a new run.
    resume : bool
    part : Part
    shard_size : int

    Raises
    ------
    ValueError
        If something else is there, and may not be replaced.
    """
    if resume:
        put_together(path)
    _tidy(path)
    found = {name: run for name in (MANIFEST, NEXT) if (run := _open_run(path, name)) is not None}
    parts = part_manifests(path)
    if MANIFEST not in found and not parts:
        _check_empty(path)
    siblings = {p: m for p, m in parts.items() if m["key"] == new["key"] and p.total == part.total}
    if resume:
        # Of appended rows, the key does not say that a whole store is the one to be written.
        runs = reversed(found.values()) if "appended" in new else found.values()
        same = next((run for run in runs if run.manifest["key"] == new["key"]), None)
        if same is not None and (part.is_all or _is_whole(same.manifest)):
            same.check()
            return same
        _check_same(path, new["key"], part, found, parts, siblings)
    _discard_parts(path, {p: m for p, m in parts.items() if p not in siblings})
    if NEXT in found:
        found[NEXT].discard()
    if part.is_all:
        return _new_run(path, new, found.get(MANIFEST))
    return _start_part(path, new, resume, part, shard_size, found.get(MANIFEST), siblings)


def _new_run(path: Path, new: dict[str, Any], earlier: Run | None) -> Run:
    """A run of one process, beside the store that it replaces if there is one."""
    run = Run(path, MANIFEST if earlier is None else NEXT, new, _free_mark(earlier))
    run.discard()
    run.save()
    return run


def _start_part(
    path: Path,
    new: dict[str, Any],
    resume: bool,
    part: Part,
    shard_size: int,
    earlier: Run | None,
    siblings: dict[Part, dict[str, Any]],
) -> Run:
    """A part, gone on with or begun, beside its siblings."""
    if resume and part in siblings:
        run = _part_run(path, part, siblings[part])
        run.check()
        return run
    mark = next((manifest["part"]["mark"] for manifest in siblings.values()), None)
    if mark is None:
        mark = _free_mark(earlier)
        _delete_shards(path, mark)
    own: dict[str, Any] = {"number": part.number, "count": part.total, "shard_size": shard_size, "mark": mark}
    own |= {"end": None} if new["n_texts"] is None else {}
    run = _part_run(path, part, new | {"part": own})
    run.discard()
    run.save()
    return run


def _part_run(path: Path, part: Part, manifest: dict[str, Any]) -> Run:
    return Run(path, part_name(part), manifest, manifest["part"]["mark"], part)


def _free_mark(earlier: Run | None) -> str:
    return MARKS[0] if earlier is None else next(mark for mark in MARKS if mark != earlier.mark)


def _check_same(
    path: Path, key: str, part: Part, found: dict[str, Run], parts: dict[Part, Any], siblings: dict[Part, Any]
) -> None:
    """Refuse to go on beside another run, or beside the same one in another number of parts."""
    if siblings and len(siblings) == len(parts):
        return
    counts = {p.total for p, manifest in parts.items() if manifest["key"] == key}
    counts |= {1} if any(run.manifest["key"] == key for run in found.values()) else set()
    if counts:
        count = max(counts)
        there = f"{count} parts" if count > 1 else "one part, that of a single process"
        again = f"part=(i, {count}) (on the command line: --part i/{count})" if count > 1 else "part=None (--part 0/1)"
        raise ValueError(
            f"{str(path)!r} holds a run of the same texts and parameters in {there}, and this is {part}: go on with "
            f"{again}, or begin anew with resume=False (on the command line: --force)"
        )
    if MANIFEST in found or parts:
        raise ValueError(
            f"{str(path)!r} holds activations of other texts, labels or parameters: give another directory, or "
            "resume=False (on the command line: --force) to replace them"
        )


def _open_run(path: Path, name: str) -> Run | None:
    """The run of a manifest; None if there is none, or no shard of it is whole."""
    if not (path / name).exists():
        return None
    manifest = read_manifest(path, name)
    if not manifest["shards"]:
        (path / name).unlink()
        return None
    return Run(path, name, manifest, mark_of(f"{manifest['shards'][0]['name']}.texts.json") or "")


def _tidy(path: Path) -> None:
    """Delete what killed runs left: temporary files, and the shards of a store that was replaced."""
    parts = part_manifests(path)
    whole, following = _open_run(path, MANIFEST), _open_run(path, NEXT)
    for part, manifest in list(parts.items()):
        if whole and (manifest["key"], manifest["part"]["mark"]) == (whole.manifest["key"], whole.mark):
            (path / part_name(part)).unlink(missing_ok=True)
            del parts[part]
    # Those of parts may be written just now.
    clear_leftovers(path, is_own, locked=not parts)
    if whole is None:
        return
    if following is not None and following.mark == whole.mark:
        (path / NEXT).unlink()
        following = None
    for mark in {*MARKS} - {whole.mark, following and following.mark, *(m["part"]["mark"] for m in parts.values())}:
        _delete_shards(path, mark)


def finish(run: Run) -> None:
    """Refuse a store without rows, and have a whole one take its place. The folder's lock must be held."""
    if not run.part.is_all:
        put_together(run.path)
        return
    if not any(shard["rows"] for shard in run.manifest["shards"]):
        run.discard()
        raise ValueError(nothing_selected(run.manifest.get("select"), run.manifest["n_texts"]))
    if run.name == NEXT:
        run.save(MANIFEST)
        _tidy(run.path)


def put_together(path: Path) -> None:
    """One manifest in place of the parts', if all are whole. The folder's lock must be held."""
    found = part_manifests(path)
    if not found or "parts" in (manifest := merged(path, found)):
        return
    if not any(shard["rows"] for shard in manifest["shards"]):
        for part, own in found.items():
            _part_run(path, part, own).discard()
        raise ValueError(nothing_selected(manifest.get("select"), manifest["n_texts"]))
    write_file(path / MANIFEST, with_digest(manifest))
    for part in found:
        (path / part_name(part)).unlink(missing_ok=True)
    _tidy(path)


def _discard_parts(path: Path, parts: dict[Part, dict[str, Any]]) -> None:
    """Delete parts, of which nobody may be writing one."""
    for part, manifest in parts.items():
        with part_lock(path, part):
            _part_run(path, part, manifest).discard()


def _delete_shards(path: Path, mark: str, takes: Callable[[int], bool] = lambda _: True) -> None:
    for name in os.listdir(path):
        if mark_of(name) == mark and takes(shard_number(name)):
            (path / name).unlink(missing_ok=True)


@contextmanager
def telling_what_is_kept(run: Run) -> Iterator[None]:
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
        if not run.manifest["shards"] and not run.manifest.get("part", {}).get("done"):
            with suppress(OSError):
                run.discard()


def _what_is_kept(run: Run) -> str:
    n_texts, path = run.manifest["n_texts"], str(run.path)
    whole = "texts of a stream" if n_texts is None else f"of {n_texts:,} texts"
    kept = f"{whole} {'are' if run.n_kept else 'is'} kept in {path!r}"
    kept += "" if run.part.is_all else f" by {run.part}"
    if not run.n_kept:
        return f"none {kept}: the first part was not whole (see shard_size)"
    if run.name == NEXT:
        return (
            f"{run.n_kept:,} {kept} beside the earlier store; to go on, do the same "
            "without resume=False (on the command line: without --force)"
        )
    return f"{run.n_kept:,} {kept}; to go on, do the same again"
