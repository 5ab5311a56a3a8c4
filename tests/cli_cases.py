"""What the command line's files begin with, and tables read back."""

from __future__ import annotations

import csv
from pathlib import Path

PNG = b"\x89PNG"


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
