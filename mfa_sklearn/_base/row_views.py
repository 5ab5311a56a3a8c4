"""A run of rows of a table as a table, and several tables as one; nothing is copied, and read when it is asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from .annotated import AnnotatedArray
from .checks import check_count, warn_user
from .lazy_rows import (
    Index,
    LazyRows,
    array_type_of,
    count_of,
    dtype_of,
    fact_names,
    facts_of,
    in_order,
    parts_of,
    read_facts,
    read_values,
)
from .lazy_texts import LazyTexts
from .origin import differences, told


class RowRange(LazyRows):
    """The rows from `start` to `stop` (itself excluded) of a table, with their facts; nothing is copied.

    Parameters
    ----------
    X : array, tensor or row source of shape (n, d)
    start, stop : int
        With ``0 <= start <= stop <= n``.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn._base.annotated import AnnotatedArray
    >>> from mfa_sklearn._base.row_views import RowRange
    >>> X = AnnotatedArray(np.eye(4), rows={"name": list("abcd")})
    >>> middle = RowRange(X, 1, 3)
    >>> middle.shape, middle.rows["name"].tolist(), middle[1:].rows["name"].tolist()
    ((2, 4), ['b', 'c'], ['c'])
    """

    def __init__(self, X: Any, start: int, stop: int) -> None:
        check_count("start", start, 0)
        check_count("stop", stop, start)
        if stop > len(X):
            raise ValueError(f"stop={stop} is beyond the last of {len(X)} rows")
        self.X, self.start, self.stop = X, int(start), int(stop)

    @property
    def shape(self) -> tuple[int, int]:
        return self.stop - self.start, int(self.X.shape[1])

    @property
    def dtype(self) -> np.dtype:
        return dtype_of(self.X)

    @property
    def shared(self) -> dict[str, Any]:
        return dict(facts_of(self.X, "shared"))

    @property
    def fact_names(self) -> tuple[str, ...]:
        return fact_names(self.X)

    @property
    def array_type(self) -> type[AnnotatedArray]:
        return array_type_of(self.X)

    def read_values(self, index: Index) -> np.ndarray:
        return read_values(self.X, self._there(index))

    def read_facts(self, index: Index, names: Collection[str]) -> dict[str, np.ndarray]:
        return read_facts(self.X, self._there(index), names)

    def _there(self, index: Index) -> Index:
        """Rows by their numbers in the whole table."""
        if isinstance(index, slice):
            return slice(index.start + self.start, index.stop + self.start)
        return index + self.start


class Concatenated(LazyRows):
    """Several tables one after the other, as one; nothing is copied.

    The type of its numbers is the one that holds those of all tables. Facts per row are those that all tables have;
    labels are also kept where some have none, whose rows then are without a label. A table's texts follow those of the
    tables before it, and ``text_index`` counts on with them.

    Parameters
    ----------
    tables : sequence of array, tensor or row source, of shapes (n_i, d)

    Raises
    ------
    ValueError
        If there is no table, they have different numbers of columns or hold other things than numbers, or come from
        different places.

    Warns
    -----
    UserWarning
        If facts are left out because some tables have them and others do not.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn._base.annotated import AnnotatedArray
    >>> from mfa_sklearn._base.row_views import Concatenated
    >>> X = AnnotatedArray(np.eye(2), rows={"text_index": [0, 1]}, shared={"texts": ("a", "b")})
    >>> both = Concatenated([X[:1], X[1:]])
    >>> both.shape, both.rows["text_index"].tolist(), list(both.shared["texts"])
    ((2, 2), [0, 1], ['a', 'b'])
    """

    def __init__(self, tables: Sequence[Any]) -> None:
        self.tables = tuple(tables)
        if not self.tables:
            raise ValueError("there is no table: give at least one")
        widths, kinds = [int(table.shape[1]) for table in self.tables], [*map(dtype_of, self.tables)]
        for number, (width, kind) in enumerate(zip(widths, kinds, strict=True)):
            if width != widths[0]:
                raise ValueError(f"table {number} has {width:,} columns and table 0 has {widths[0]:,}: give equal ones")
            if kind.kind not in "biuf":
                raise ValueError(f"table {number} holds {kind}: make numbers of it, as by astype(float)")
        self._offsets = np.concatenate([[0], np.cumsum([len(table) for table in self.tables])]).astype(np.int64)
        self._dtype = np.result_type(*kinds)
        _check_sources([facts_of(table, "shared").get("source") for table in self.tables])
        self._names = _common_names(self.tables)

    @property
    def shape(self) -> tuple[int, int]:
        return int(self._offsets[-1]), int(self.tables[0].shape[1])

    @property
    def dtype(self) -> np.dtype:
        return self._dtype

    @property
    def fact_names(self) -> tuple[str, ...]:
        return self._names

    @property
    def array_type(self) -> type[AnnotatedArray]:
        kinds = {array_type_of(table) for table in self.tables}
        return kinds.pop() if len(kinds) == 1 else AnnotatedArray

    @property
    def shared(self) -> dict[str, Any]:
        facts = [facts_of(table, "shared") for table in self.tables]
        found: dict[str, Any] = {}
        if "text_index" in self._names and all(fact.get("texts") is not None for fact in facts):
            found["texts"] = JoinedTexts(_distinct([fact["texts"] for fact in facts])[0])
        source = _common_source([fact.get("source") for fact in facts])
        if source:
            found["source"] = source
        incomplete = [fact["incomplete"] for fact in facts if fact.get("incomplete")]
        return found | ({"incomplete": "; ".join(incomplete)} if incomplete else {})

    def read_values(self, index: Index) -> np.ndarray:
        parts = list(parts_of(self._offsets, index))
        if len(parts) == 1:
            ((number, _, local),) = parts
            return read_values(self.tables[number], local).astype(self.dtype, copy=False)
        values = np.empty((count_of(index), self.shape[1]), self.dtype)
        for number, where, local in parts:
            values[where] = read_values(self.tables[number], local)
        return values

    def read_facts(self, index: Index, names: Collection[str]) -> dict[str, np.ndarray]:
        parts = list(parts_of(self._offsets, index)) or [(0, slice(0, 0), slice(0, 0))]
        found = [self._table_facts(number, local, names) for number, _, local in parts]
        return {name: in_order([facts[name] for facts in found], [where for _, where, _ in parts]) for name in names}

    def _table_facts(self, number: int, index: Index, names: Collection[str]) -> dict[str, np.ndarray]:
        there = set(fact_names(self.tables[number]))
        facts = read_facts(self.tables[number], index, [name for name in names if name in there])
        if "text_index" in facts:
            facts["text_index"] = facts["text_index"] + self._first_texts[number]
        return facts | {name: np.full(count_of(index), None, dtype=object) for name in names if name not in there}

    @cached_property
    def _first_texts(self) -> np.ndarray:
        """By how much each table's ``text_index`` is shifted; tables that share one object of texts go together."""
        texts = [found for table in self.tables if (found := facts_of(table, "shared").get("texts")) is not None]
        if len(texts) < len(self.tables):
            counts = [_n_texts(table) for table in self.tables]
            return np.concatenate([[0], np.cumsum(counts[:-1])]).astype(np.int64)
        distinct, which = _distinct(texts)
        return np.concatenate([[0], np.cumsum([len(found) for found in distinct])]).astype(np.int64)[which]


class JoinedTexts(LazyTexts):
    """Several collections of texts, one after the other; each is read when a text of it is asked for."""

    def __init__(self, parts: Sequence[Sequence[str]]) -> None:
        self._parts = tuple(parts)
        self._offsets = np.concatenate([[0], np.cumsum([len(part) for part in self._parts])]).astype(np.int64)

    def read(self, numbers: range) -> list[str]:
        there = np.array(numbers, dtype=np.int64)
        parts = np.searchsorted(self._offsets, there, side="right") - 1
        return [self._parts[part][i] for part, i in zip(parts, (there - self._offsets[parts]).tolist(), strict=True)]

    def __iter__(self) -> Iterator[str]:
        return (text for part in self._parts for text in part)

    def __len__(self) -> int:
        return int(self._offsets[-1])


def share_of(X: Any, rank: int, size: int) -> Any:
    """The part of the rows that is the process `rank`'s of `size` processes: the rank-th of `size` equal runs.

    Parts differ by one row at most, and are empty where there are more processes than rows. Of an array in memory or
    a memory map it is a view, of anything else a `RowRange`.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn._base.row_views import share_of
    >>> [share_of(np.arange(10).reshape(5, 2), rank, 3)[:, 0].tolist() for rank in range(3)]
    [[0], [2, 4], [6, 8]]
    """
    check_count("size", size)
    check_count("rank", rank, 0)
    if rank >= size:
        raise ValueError(f"rank={rank} is out of range: {size} processes have the ranks 0 to {size - 1}")
    start, stop = len(X) * rank // size, len(X) * (rank + 1) // size
    return X[start:stop] if isinstance(X, np.ndarray | Tensor) else RowRange(X, start, stop)


# ---------------------------------------------------------------- what tables have in common


def _common_names(tables: Sequence[Any]) -> tuple[str, ...]:
    """Facts that all tables with rows have, and labels if any has; the others are told."""
    names = {number: fact_names(table) for number, table in enumerate(tables) if len(table)}
    every = list(dict.fromkeys(name for of_one in names.values() for name in of_one))
    kept = [name for name in every if name == "labels" or all(name in of_one for of_one in names.values())]
    for name in every:
        if name not in kept:
            without = next(number for number, of_one in names.items() if name not in of_one)
            warn_user(f"{name} are left out: table {without} has none. Give it some, or leave them out of the others.")
    return tuple(kept)


def _check_sources(sources: Sequence[Mapping[str, Any] | None]) -> None:
    """Refuse tables that are known to be of different places."""
    known: dict[str, Any] = {}
    for number, source in enumerate(sources):
        found = differences(known, source)
        if found:
            raise ValueError(
                f"table {number} is of {told(source or {})}, and those before it are of {told(known)}: they differ in "
                f"{' and '.join(difference.fact for difference in found)}, so give tables of one place "
                "(numpy.asarray(X) has no source, if that is meant)"
            )
        known = dict(source or {}) | known


def _common_source(sources: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    """What the sources of all tables say alike; nothing, if one has none."""
    if any(not source for source in sources):
        return {}
    first, *others = (dict(source or {}) for source in sources)
    return {name: value for name, value in first.items() if all(name in o and o[name] == value for o in others)}


def _distinct(texts: Sequence[Sequence[str]]) -> tuple[list[Sequence[str]], list[int]]:
    """The different objects among collections of texts, and which of them each is."""
    places = {id(found): place for place, found in enumerate({id(found): found for found in texts}.values())}
    return list({id(found): found for found in texts}.values()), [places[id(found)] for found in texts]


def _n_texts(table: Any) -> int:
    """How many texts a table's ``text_index`` counts."""
    texts = facts_of(table, "shared").get("texts")
    if texts is not None:
        return len(texts)
    if not len(table):
        return 0
    return int(read_facts(table, slice(0, len(table)), ["text_index"])["text_index"].max()) + 1
