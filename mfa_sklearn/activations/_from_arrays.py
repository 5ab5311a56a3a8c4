"""A store written from arrays, tables on disk, or iterators of batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from scipy.sparse import issparse

from .._base.annotated import annotate, given_rows
from .._base.frames import carried
from .._base.labels import label_array
from .._base.lazy_rows import fact_names, facts_of, read_facts, read_values
from ._appended import NAMES, as_table, check_fact_names, check_facts, disk_type
from ._foreign.source import check_source
from ._writer import ActivationWriter

# Bytes that are read at once.
_BYTES = 64 * 2**20


def write_arrays(
    directory: str | os.PathLike[str],
    layers: Any,
    facts: Mapping[str, Any],
    texts: Sequence[str] | None,
    source: Mapping[str, Any] | None,
    **options: Any,
) -> None:
    """Write a store; see `ActivationStore.from_arrays`."""
    by_layer = layers if isinstance(layers, Mapping) else {None: layers}
    tables: dict[Any, Any] = {layer: _rows(rows, layer) for layer, rows in by_layer.items()}
    if not tables:
        raise ValueError("layers is empty: give the rows of at least one")
    are_tables = {hasattr(rows, "shape") for rows in tables.values()}
    if len(are_tables) > 1:
        raise TypeError("some layers are tables and others iterators of batches: give all in one form")
    given, source = check_fact_names(facts), check_source(source)
    first = next(iter(tables.values()))
    if are_tables == {True}:
        given = check_facts(given, len(first))
        _check_alike(tables)
        shared = facts_of(first, "shared")
        indexed = "text_index" in (*given, *fact_names(first))
        if texts is not None and not indexed:
            given["text_index"] = _one_each(texts, len(first))
        elif texts is None and indexed:
            texts = shared.get("texts")
        if source is None:
            of_first = () if None in tables else ("layer", "hooks")
            source = {name: said for name, said in (shared.get("source") or {}).items() if name not in of_first}
        options["dtype"] = options["dtype"] or disk_type(first)
    elif "labels" in given:
        given["labels"] = label_array(given["labels"])
    numbers = (source or {}).get("layer") if None in tables else list(tables)
    with ActivationWriter(directory, numbers, texts=texts, source=source, **options) as writer:
        for batch, of_batch in _batches(tables, given, writer.n_rows):
            writer.append(batch[None] if None in tables else batch, **of_batch)


def _one_each(texts: Sequence[str], n_rows: int) -> np.ndarray:
    """Which text each row is of, where nothing says it: there must be one for each."""
    if len(texts) != n_rows:
        raise ValueError(
            f"there are {len(texts):,} texts for {n_rows:,} rows, and no fact text_index that says which text each "
            "row is of: give it, or a text per row"
        )
    return np.arange(n_rows)


def _rows(rows: Any, layer: int | None) -> Any:
    """A table, or an iterator of batches."""
    found = given_rows(rows) if not isinstance(rows, Iterator) else rows
    if isinstance(found, list | tuple):
        found = np.asarray(found)
    if hasattr(found, "columns") and hasattr(found, "to_numpy"):
        found = annotate(found.to_numpy(), **carried(found))
    if hasattr(found, "shape"):
        if len(found.shape) != 2 or issparse(found):
            as_table(found, "the rows" if layer is None else f"layer {layer}")
        return found
    if not hasattr(found, "__iter__"):
        raise TypeError(f"rows must be a table or an iterator of batches, got {type(found).__name__}")
    return found


def _check_alike(tables: Mapping[Any, Any]) -> None:
    shapes = {layer: tuple(map(int, rows.shape)) for layer, rows in tables.items()}
    for layer, shape in shapes.items():
        if shape != next(iter(shapes.values())):
            raise ValueError(f"layer {layer} has rows of shape {shape}, and others {shapes}: give equal ones")


def _batches(
    tables: Mapping[Any, Any], given: Mapping[str, Any], n_skipped: int
) -> Iterator[tuple[dict[Any, Any], dict[str, Any]]]:
    """Rows of all layers and their facts, without those that are written already."""
    first = next(iter(tables.values()))
    if hasattr(first, "shape"):
        yield from _of_tables(tables, given, n_skipped)
        return
    start = 0
    for batches in zip_longest(*tables.values()):
        for layer, rows in zip(tables, batches, strict=True):
            if rows is None:
                raise ValueError(f"the batches of layer {layer} end before those of others: give equally many of each")
        n_rows, skip = len(batches[0]), max(0, n_skipped - start)
        facts = {name: fact[start + skip : start + n_rows] for name, fact in given.items()}
        start += n_rows
        if skip < n_rows:
            yield {layer: rows[skip:] for layer, rows in zip(tables, batches, strict=True)}, facts
    for name, fact in given.items():
        if len(fact) != start:
            raise ValueError(f"{name} have {len(fact):,} entries, and {start:,} rows came")


def _of_tables(
    tables: Mapping[Any, Any], given: Mapping[str, Any], n_skipped: int
) -> Iterator[tuple[dict[Any, Any], dict[str, Any]]]:
    first = next(iter(tables.values()))
    n_rows, carried = len(first), [n for n in fact_names(first) if n in NAMES and n not in given]
    step = max(1, _BYTES // (8 * int(first.shape[1]) * len(tables)))
    for start in range(n_skipped, n_rows, step):
        run = slice(start, min(start + step, n_rows))
        facts = {name: fact[run] for name, fact in given.items()} | read_facts(first, run, carried)
        yield {layer: read_values(rows, run) for layer, rows in tables.items()}, facts
