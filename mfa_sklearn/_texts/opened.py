"""Files of text, plain or compressed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

COMPRESSED = ".gz"


def suffix_of(path: Path) -> str:
    """The suffix that tells the format, in lower case: of ``a.jsonl.gz`` it is ``.jsonl``."""
    name = path.name.lower().removesuffix(COMPRESSED)
    return Path(name).suffix


def is_compressed(path: Path) -> bool:
    """Whether a file is read through gzip."""
    return path.name.lower().endswith(COMPRESSED)


@contextmanager
def opened(path: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """A file of UTF-8 text, decompressed where its name ends in .gz.

    Raises
    ------
    ValueError
        If the compressed data is damaged, or ends before its end.
    """
    options: dict[str, Any] = {"mode": "rt", "encoding": "utf-8-sig", "newline": newline}
    try:
        with gzip.open(path, **options) if is_compressed(path) else path.open(**options) as file:
            yield file
    except EOFError as error:
        raise ValueError(f"{path} ends in the middle of its compressed data: copy or download it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path} holds no gzip data, or damaged data ({error}): copy or download it again, or take {COMPRESSED} "
            "off its name if it is not compressed."
        ) from error
