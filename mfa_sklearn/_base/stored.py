"""Descriptions of stored data: JSON read with every kind of damage told as such, and checksums."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

# The entry of a description that holds its own checksum.
OWN = "sha256"


def parse_json(content: bytes) -> Any:
    """What a JSON file holds.

    Raises
    ------
    ValueError
        If it is no JSON, in another encoding than UTF-8, nested too deeply, or holds NaN or infinity, which JSON lacks.
    """
    try:
        return json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
    except MemoryError:
        raise ValueError("it is too large for the memory") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def own_digest(description: dict[str, Any]) -> str:
    """The checksum of a description, its own entry of that left out."""
    return hashlib.sha256(_canonical(description)).hexdigest()


def with_digest(description: dict[str, Any]) -> bytes:
    """A description as JSON in which its checksum stands."""
    text = _canonical(description)
    return text[:-1] + f',"{OWN}":"{hashlib.sha256(text).hexdigest()}"}}'.encode()


def _canonical(description: dict[str, Any]) -> bytes:
    rest = {name: value for name, value in description.items() if name != OWN}
    return json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()


def check_unchanged(path: Path, description: dict[str, Any]) -> None:
    """Refuse a description that is another than was written; those of earlier versions hold no checksum.

    Raises
    ------
    ValueError
        If its checksum is not the one in it.
    """
    if OWN in description and own_digest(description) != description[OWN]:
        raise ValueError(
            f"{str(path)!r} was changed after it was written, its checksum is another: restore it from a copy or, if "
            f"the change is yours, remove its entry {OWN!r}"
        )


def file_entry(path: Path) -> dict[str, Any]:
    """Size and checksum of a file, as descriptions list them."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}


class DigestedFile:
    """A file to write to, which adds up the size and the checksum of what is written.

    Parameters
    ----------
    file : binary file
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: Any) -> int:
        """Write bytes; how many."""
        self._digest.update(data)
        self._bytes += len(data)
        return self._file.write(data)

    @property
    def entry(self) -> dict[str, Any]:
        """As `file_entry`, of what was written so far."""
        return {"bytes": self._bytes, "sha256": self._digest.hexdigest()}
