"""What the demo says, and where it keeps it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._base.files import replacing

SUMMARY = "summary.txt"


@dataclass
class Report:
    """Says what happens, and keeps it for the folder."""

    folder: Path
    lines: list[str] = field(default_factory=list)
    start: float = field(default_factory=time.perf_counter)

    def say(self, text: str = "") -> None:
        """Print a line and keep it."""
        print(text, flush=True)
        self.lines.append(text)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Head a part and say at its end how long it took."""
        begun = time.perf_counter()
        self.say(f"\n== {title}")
        yield
        self.say(f"   ({time.perf_counter() - begun:.1f} s)")

    def table(self, head: Sequence[str], lines: Mapping[str, Sequence[str]], n_texts: int = 0) -> None:
        """Say a table: a line for each name, its entries below the words of `head`, which may be of several lines.

        Entries stand to the right of their columns; in the last `n_texts` columns to the left.
        """
        deepest = max(word.count("\n") for word in head)
        above = [("\n" * (deepest - word.count("\n")) + word).split("\n") for word in head]
        rows = [*(("", cells) for cells in zip(*above, strict=True)), *lines.items()]
        widths = [max(map(len, column)) for column in zip(*(cells for _, cells in rows), strict=True)]
        first = max(map(len, lines))
        for name, cells in rows:
            places = zip(cells, widths, range(len(widths)), strict=True)
            aligned = [
                cell.ljust(width) if place >= len(widths) - n_texts else cell.rjust(width)
                for cell, width, place in places
            ]
            self.say("   ".join(["", name.ljust(first), *aligned]).rstrip())

    def keep(self, name: str, table: Any, index: bool = False) -> None:
        """Write a table to the folder."""
        with replacing(self.folder / name) as temporary:
            table.to_csv(temporary, index=index)

    def draw(self, name: str, figure: Any) -> None:
        """Write a figure to the folder, without a screen, whatever backend the user's matplotlib is set to."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(figure)
        with replacing(self.folder / name) as temporary:
            figure.savefig(temporary, dpi=120)

    def close(self) -> None:
        """Write the summary, and say where everything is."""
        self.say(f"\n== Kept, after {time.perf_counter() - self.start:.0f} s")
        for path in sorted(path for path in self.folder.iterdir() if not path.name.startswith(".")):
            self.say(f"   {path.name}")
        self.save()
        print(f"\nAll of this is in {self.folder.resolve()}", flush=True)
        for page in sorted(self.folder.resolve().glob("*.html")):
            print(f"To browse the regions open {page.as_uri()}", flush=True)

    def save(self) -> None:
        """Write what was said so far to the file by which the folder of a demo is known."""
        with replacing(self.folder / SUMMARY) as temporary:
            temporary.write_text("\n".join(self.lines).strip() + "\n", encoding="utf-8")
