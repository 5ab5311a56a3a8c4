"""What a notebook shows of activations: what they are of, and their first texts as tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._base.html import chips_html, escaped, facts_html, faint_html, framed_html, head_html, lines_html
from .._base.origin import told
from .._base.portable import portable_source
from .._base.words import cut, plural

# Texts and rows of each that are shown, and characters of a token or label.
_TEXTS = 5
_ROWS = 24
_CHARACTERS = 40


def activations_html(
    shape: tuple[int, int], dtype: np.dtype, rows: Mapping[str, np.ndarray], shared: Mapping[str, Any]
) -> str:
    """Activations as a snippet for notebooks.

    Parameters
    ----------
    shape : (n, d)
    dtype : dtype
    rows : mapping of str to ndarray of length n
        Facts per row; of each only the first ones are read.
    shared : mapping of str to object
        Facts about all rows.
    """
    facts = [("numbers", f"{plural(shape[0], 'row')} of {plural(shape[1], 'feature')}, {dtype}")]
    if shared.get("source"):
        facts.append(("from", told(portable_source(shared["source"]))))
    if shared.get("incomplete"):
        facts.append(("incomplete", str(shared["incomplete"])))
    if "text_index" in rows and shape[0]:
        facts.append(("texts", f"{len(np.unique(rows['text_index'])):,}"))
    if rows:
        facts.append(("each row has", ", ".join(rows)))
    return framed_html(head_html("ActivationArray") + facts_html(facts) + _texts_html(shape[0], rows))


def _texts_html(n_rows: int, rows: Mapping[str, np.ndarray]) -> str:
    """The first rows, a line for each text that they are of."""
    columns = [name for name in ("labels", "tokens") if name in rows]
    if not columns or not n_rows:
        return ""
    lines: list[list[str]] = []
    stop = 0
    while stop < n_rows and len(lines) < _TEXTS:
        start, stop = stop, _end_of_text(rows.get("text_index"), stop, n_rows)
        shown = slice(start, min(stop, start + _ROWS))
        name = str(rows["text_index"][start]) if "text_index" in rows else f"{start:,} to {stop - 1:,}"
        cells = {"labels": escaped(_cut(rows["labels"][start])) if "labels" in rows else ""}
        if "tokens" in rows:
            more = "&hellip;" if shown.stop < stop else ""
            cells["tokens"] = chips_html([_cut(token) for token in rows["tokens"][shown]]) + more
        lines.append([escaped(name), *(cells[column] for column in columns)])
    head = ["text" if "text_index" in rows else "rows", *({"labels": "label", "tokens": "tokens"}[c] for c in columns)]
    rest = n_rows - stop
    return lines_html(head, lines, numbers=1) + (faint_html(f"and {plural(rest, 'row')} more") if rest else "")


def _end_of_text(text_index: Sequence[int] | np.ndarray | None, start: int, n_rows: int) -> int:
    """Where the rows of the text end that row `start` is of; without texts a few rows stand for one."""
    if text_index is None:
        return min(start + _ROWS, n_rows)
    other = np.flatnonzero(np.asarray(text_index[start:]) != text_index[start])
    return start + int(other[0]) if len(other) else n_rows


def _cut(value: Any) -> str:
    return cut("" if value is None else str(value), _CHARACTERS)
