"""What of the content of files is the activations of which layer, and what are facts of their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..._base.words import shortened
from .column import Column, layers_of
from .formats import columns_of
from .names import USUAL, fact_called, layer_called, site_called
from .parquet import ParquetColumn, ParquetFeatures

# What kinds of numbers or strings a fact may be of; a label may be any.
_KINDS = {"token_ids": "iu", "text_index": "iu", "positions": "iu", "starts": "iu", "ends": "iu"} | dict.fromkeys(
    ("tokens", "roles", "texts"), "OU"
)


@dataclass
class Chosen:
    """Columns of several files: those of each layer's activations (None where none is known), and of each fact."""

    layers: dict[int | None, list[Column]] = field(default_factory=dict)
    facts: dict[str, list[Column]] = field(default_factory=dict)
    sites: dict[int | None, str] = field(default_factory=dict)


def choose(
    files: Sequence[Path],
    activations: str | Sequence[str] | None,
    facts: Mapping[str, str | None],
    layers: Sequence[int] | None,
) -> Chosen:
    """Look into all files, and find out what is what.

    Raises
    ------
    ValueError
        If a file cannot be read, it is not clear what its activations are, or files do not fit together; the message
        names the file.
    """
    found = Chosen()
    for path in files:
        columns = columns_of(path)
        taken = _facts_of(path, columns, facts)
        for fact, column in taken.items():
            _check_fact(fact, column)
            found.facts.setdefault(fact, []).append(column)
        free = [column for column in columns if column not in taken.values()]
        for layer, column in _activations_of(path, free, activations, layers):
            found.layers.setdefault(layer, []).append(column)
            site = site_called(column.name)
            if site:
                found.sites[layer] = site
    for fact, name in facts.items():
        if name is not None and fact not in found.facts:
            raise ValueError(f"no file has {name!r} in its name, as facts[{fact!r}] says: correct it")
    if not found.layers:
        raise ValueError(
            f"{str(files[0].parent)!r} holds no rows, that is no table of two dimensions: it has "
            f"{shortened(sorted(found.facts)) if found.facts else 'nothing that is read'}"
        )
    _check_fit(found)
    return found


def _facts_of(path: Path, columns: list[Column], facts: Mapping[str, str | None]) -> dict[str, Column]:
    """The facts in a file: those that the caller names, and others by their usual names."""
    named = {column.name: column for column in columns if column.name}
    taken: dict[str, Column] = {}
    for fact, name in facts.items():
        if name is not None and named and name not in named:
            raise ValueError(f"{str(path)!r} has no {name!r} for {fact}: there are {shortened(sorted(named), 200)}")
        if name is not None and named:
            taken[fact] = named[name]
        elif name is not None and columns and name in path.stem:
            taken[fact] = columns[0]
    for column in columns:
        usual = _usual_fact(path, column)
        if usual is not None and usual not in facts and column not in taken.values():
            taken.setdefault(usual, column)
    return taken


def _usual_fact(path: Path, column: Column) -> str | None:
    """The fact that a column is by its name, if it has one entry per row."""
    if len(column.shape) != 1:
        return None
    fact = fact_called(column.name, True) if column.name else fact_called(path.stem, False)
    # Numbers called tokens are their ids.
    return "token_ids" if fact == "tokens" and column.dtype.kind in "iu" else fact


def _check_fact(fact: str, column: Column) -> None:
    if len(column.shape) != 1:
        raise ValueError(f"{column.told} has shape {column.shape}, and {fact} are one entry per row")
    kinds = _KINDS.get(fact)
    if kinds and column.dtype.kind not in kinds:
        what = "whole numbers" if kinds == "iu" else "strings"
        raise ValueError(f"{column.told} holds {column.dtype}, and {fact} are {what}")
    if kinds == "iu" and column.has_nulls():
        raise ValueError(f"{column.told} has rows without a number, and {fact} are one per row: fill them in")


def _activations_of(
    path: Path,
    columns: list[Column],
    wanted: str | Sequence[str] | None,
    layers: Sequence[int] | None,
) -> list[tuple[int | None, Column]]:
    """The tables among the columns of a file that are no facts, with the layer of each."""
    tables = _tables(path, columns, wanted)
    found: list[tuple[int | None, Column]] = []
    for column in tables:
        if len(column.shape) == 3:
            found += layers_of(column, layers)
            continue
        layer = layer_called(column.name)
        found.append((layer_called(path.stem) if layer is None else layer, column))
    numbered = [layer for layer, _ in found]
    if len(set(numbered)) < len(numbered) or (len(numbered) > 1 and None in numbered):
        raise ValueError(
            f"{str(path)!r} holds several tables, {shortened(sorted(c.name for c in tables))}, of which no layer is "
            "told apart: name one by activations="
        )
    return found


def _tables(path: Path, columns: list[Column], wanted: str | Sequence[str] | None) -> list[Column]:
    if wanted is not None and columns and columns[0].name:
        tables = _named(path, columns, [wanted] if isinstance(wanted, str) else list(wanted))
    else:
        tables = [column for column in columns if len(column.shape) in (2, 3)]
    if not tables:
        features = [c for c in columns if isinstance(c, ParquetColumn) and c.dtype.kind == "f"]
        tables = [ParquetFeatures(features)] if features else []
    if not tables and columns:
        shapes = {column.name or path.name: column.shape for column in columns}
        raise ValueError(
            f"{str(path)!r} holds no table of rows, with two dimensions or three: {shortened(shapes, 200)}"
        )
    for column in tables:
        if column.dtype.kind not in "fiu" or column.dtype.itemsize > 8 or 0 in column.shape[1:]:
            raise ValueError(f"{column.told} holds {column.dtype} of shape {column.shape}: rows must be of numbers")
        column.check()
    return tables


def _named(path: Path, columns: list[Column], wanted: list[str]) -> list[Column]:
    """The columns that were named: tables, or features of one."""
    named = {column.name: column for column in columns}
    missing = [name for name in wanted if name not in named]
    if missing:
        raise ValueError(f"{str(path)!r} has no {missing[0]!r}: there are {shortened(sorted(named), 200)}")
    found = [named[name] for name in wanted]
    flat = [column for column in found if len(column.shape) == 1]
    if flat and len(flat) == len(found) and all(isinstance(column, ParquetColumn) for column in flat):
        return [ParquetFeatures([column for column in flat if isinstance(column, ParquetColumn)])]
    for column in found:
        if len(column.shape) not in (2, 3):
            raise ValueError(f"{column.told} has shape {column.shape}: rows are a table of two dimensions, or three")
    return found


def _check_fit(found: Chosen) -> None:
    """Refuse shards of other widths or types, layers of other rows, and facts of other rows."""
    if None in found.layers and len(found.layers) > 1:
        (column, *_) = found.layers[None]
        raise ValueError(f"{column.told} names no layer, and others do: name all by their layer, or open them apart")
    first = next(iter(found.layers.values()))
    for layer, columns in found.layers.items():
        for column in columns:
            if column.shape[1] != columns[0].shape[1]:
                raise ValueError(
                    f"{column.told} has {column.shape[1]:,} columns, and {columns[0].told} has "
                    f"{columns[0].shape[1]:,}: take one of them away"
                )
            if column.dtype != columns[0].dtype:
                raise ValueError(
                    f"{column.told} holds {column.dtype}, and {columns[0].told} {columns[0].dtype}: convert one of them"
                )
            if isinstance(column, ParquetFeatures) and isinstance(columns[0], ParquetFeatures):
                column.like(columns[0])
        _check_lengths(columns, first, f"layer {layer}")
    for fact, columns in found.facts.items():
        _check_lengths(columns, first, fact)


def _check_lengths(columns: Sequence[Column], tables: Sequence[Column], what: str) -> None:
    """Refuse other numbers of rows than the first layer's, file by file where there are equally many."""
    if len(columns) == len(tables):
        for column, table in zip(columns, tables, strict=True):
            if len(column) != len(table):
                raise ValueError(
                    f"{column.told} has {what} of {len(column):,} rows, and {table.told} {len(table):,} rows"
                )
    n_rows, n_entries = sum(map(len, tables)), sum(map(len, columns))
    if n_rows != n_entries:
        raise ValueError(
            f"{columns[0].told} and what follows have {what} of {n_entries:,} rows, and there are {n_rows:,}"
        )


def check_names(facts: Any) -> dict[str, str | None]:
    """Names that the caller gives for facts.

    Raises
    ------
    TypeError, ValueError
        If it is no mapping, or there is no such fact.
    """
    if facts is None:
        return {}
    if not isinstance(facts, Mapping):
        raise TypeError(f"facts={shortened(facts)} must say what each fact is called, as {{'labels': 'class'}}")
    for fact, name in facts.items():
        if fact not in USUAL:
            raise ValueError(f"facts={shortened(dict(facts))}: there is no fact {fact!r}, only {list(USUAL)}")
        if name is not None and not isinstance(name, str):
            raise TypeError(f"facts[{fact!r}]={name!r} must be a name, or None to leave it out")
    return dict(facts)
