"""A checkpoint's folder: a description, and a file of tensors and plain values that it names.

``checkpoint.json`` says what fit it is of, and names the file of the state of each process with its checksum. A new
state is written beside the old one; it counts from the moment on that ``checkpoint.json`` is replaced. So whenever a
process ends, the last checkpoint that was written whole is there. The state is what `torch.save` writes, because that
keeps how tensors lie in memory, which the last digits of sums depend on; it is read without unpickling objects.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from ... import __version__
from ..._base.files import check_folder, reading, replacing
from ..._base.group import ALONE, AnyGroup
from ..._base.leftovers import clear_leftovers, is_passing
from ..._base.stored import DigestedFile, check_unchanged, file_entry, parse_json, with_digest

FORMAT = "mfa-sklearn.checkpoint"
FORMAT_VERSION = 1
NAME = "checkpoint.json"
_STATE = re.compile(r"state-\d+-\d+\.pt")
REMEDY = "delete the folder to begin anew, or name another"


class UnusableCheckpointError(ValueError):
    """A checkpoint that the fit asked for cannot go on from: it is of another one, or damaged."""


def is_ours(name: str) -> bool:
    """Whether it is the name of a file that a checkpoint consists of."""
    return name == NAME or _STATE.fullmatch(name) is not None


def check_place(folder: Path) -> Path:
    """`folder`, if it can be made, is empty, or holds a checkpoint or what a killed run left of its first one.

    Raises
    ------
    FileExistsError
        If it is a file, or a folder of something else.
    ValueError
        If the checkpoint in it is damaged.
    """
    if (folder / NAME).is_file():
        read_description(folder)  # its own words are better than that the folder holds other things
    return check_folder(folder, NAME, ours=is_ours, left=lambda name: _STATE.fullmatch(name) is not None)


def read_description(folder: Path) -> dict[str, Any] | None:
    """What the checkpoint in a folder says of itself; None if there is none.

    Raises
    ------
    ValueError
        If it is damaged, or is none of this version's.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with reading(path, "a checkpoint"):
            description = parse_json(path.read_bytes())
            if not isinstance(description, dict) or description.get("format") != FORMAT:
                raise ValueError(f"{str(path)!r} is not of a checkpoint, whose format is {FORMAT!r}")
            check_unchanged(path, description)
        version = description.get("format_version"), description.get("version")
        if version != (FORMAT_VERSION, __version__):
            raise ValueError(
                f"{str(path)!r} was written by mfa-sklearn {version[1]} (format {version[0]}), and this is "
                f"{__version__} (format {FORMAT_VERSION}): go on with that version"
            )
        if not all(isinstance(description.get(name), kind) for name, kind in _ENTRIES.items()):
            raise ValueError(f"{str(path)!r} lacks some of {sorted(_ENTRIES)}")
    except ValueError as error:
        raise UnusableCheckpointError(f"{error}; {REMEDY}") from error
    return description


_ENTRIES = {"asked": dict, "states": list, "number": int, "iteration": int}


def read_state(folder: Path, description: dict[str, Any], device: torch.device, rank: int = 0) -> dict[str, Any]:
    """The state of a process that a description names, its tensors on a device.

    Raises
    ------
    ValueError
        If its file is missing, is not the one that was written, or cannot be read.
    """
    try:
        entry = dict(description["states"][rank])
        path = folder / str(entry.get("file"))
        if not _STATE.fullmatch(path.name) or not path.is_file():
            raise ValueError(f"{str(path)!r}, which {NAME} names, is missing")
        found = file_entry(path)
        if found != {name: entry.get(name) for name in found}:
            raise ValueError(
                f"{str(path)!r} is not the file that {NAME} describes: it has {found['bytes']} bytes and SHA-256 "
                f"{found['sha256']}, expected {entry.get('bytes')} bytes and {entry.get('sha256')}"
            )
        with reading(path, "a checkpoint's state"):
            return torch.load(path, map_location=device, weights_only=True)
    except (ValueError, TypeError, IndexError) as error:
        raise UnusableCheckpointError(f"{error}; {REMEDY}") from error


def write(folder: Path, description: dict[str, Any], state: dict[str, Any], group: AnyGroup = ALONE) -> dict[str, Any]:
    """Write a state and, once those of all processes are whole, their description; it with what was added to it.

    Raises
    ------
    OSError
        If there is no room or right to write; the checkpoint that was there before counts on.
    """
    name = f"state-{description['number']}-{group.rank}.pt"
    entries = group.objects({"file": name} | _write_state(folder / name, state))
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "version": __version__}
    description = head | description | {"states": entries}
    if group.first:
        write_description(folder, description)
    return description


def write_description(folder: Path, description: dict[str, Any]) -> None:
    """Have a description count; states that it does not name are deleted."""
    with replacing(folder / NAME) as temporary:
        temporary.write_bytes(with_digest(description))
    named = {entry["file"] for entry in description["states"]}
    for path in folder.iterdir():
        if _STATE.fullmatch(path.name) and path.name not in named:
            with suppress(OSError):
                path.unlink()


def clear(folder: Path) -> None:
    """Delete what killed runs left half written; nobody else may be writing there."""
    clear_leftovers(folder, is_ours, locked=True)


def discard(folder: Path) -> None:
    """Delete a checkpoint, and its folder if nothing else is there."""
    for path in folder.iterdir():
        if is_passing(path.name, is_ours) or is_ours(path.name):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _write_state(path: Path, state: dict[str, Any]) -> dict[str, Any]:
    """Write a state; its size and checksum."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        noted = _Noted(file)
        try:
            torch.save(state, cast("IO[bytes]", noted))
        except Exception:
            # What the system said reaches us as an error of another kind.
            if noted.error is not None:
                raise noted.error from None
            raise
    return noted.entry


class _Noted(DigestedFile):
    """A file that keeps the error that writing to it ended with."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._binary = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write bytes; how many."""
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Hand what is buffered to the system."""
        self._binary.flush()
