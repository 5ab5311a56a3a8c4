"""Rows that callers hand over to be stored, and the facts that they have: checked, and in the types of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse

from .._base.devices import plain_array
from .._base.labels import label_array, to_disk
from .._base.lazy_rows import facts_of
from .._base.words import shortened
from ._activation_rows import NAMES
from ._tokenize import token_strings

_WHOLE_NUMBERS = ("token_ids", "text_index", "positions", "starts", "ends")
_LARGEST = {"text_index": np.iinfo(np.int64).max}


def check_layers_of(batch: Any, layers: Sequence[int]) -> list[np.ndarray]:
    """The rows of each layer, in the order of `layers`.

    Raises
    ------
    TypeError, ValueError
        If there are others than these layers, or they are no tables of equally many rows.
    """
    if isinstance(batch, Mapping):
        if set(batch) != set(layers):
            raise ValueError(f"the rows are of the layers {sorted(batch)}, and the store is of {list(layers)}")
        found = [as_table(batch[layer], f"layer {layer}") for layer in layers]
    elif len(layers) > 1:
        raise TypeError(f"the store has the layers {list(layers)}: give a dict of them, as {{{layers[0]}: rows, ...}}")
    else:
        found = [as_table(batch, "the rows")]
    for layer, values in zip(layers, found, strict=True):
        if values.shape != found[0].shape:
            raise ValueError(
                f"layer {layer} has rows of shape {values.shape}, and layer {layers[0]} of {found[0].shape}: give "
                "equally many of each"
            )
    return found


def as_table(values: Any, name: str) -> np.ndarray:
    """Rows (n, d) as a plain array of floating-point numbers; those in bfloat16 in single precision."""
    values = plain_array(values)
    if issparse(values):
        raise TypeError(f"{name} must be a table of all numbers, got {type(values).__name__}: give its toarray()")
    array = np.asarray(values)
    if array.ndim != 2 or not array.shape[1]:
        raise ValueError(f"{name} must be a table of two dimensions, rows by features; got shape {array.shape}")
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be numbers, got {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def disk_type(batch: Any) -> str:
    """The type on disk that rows are kept in by default: their own, and single precision of wider ones."""
    first = next(iter(batch.values())) if isinstance(batch, Mapping) else batch
    if isinstance(first, torch.Tensor) and first.dtype == torch.bfloat16:
        return "bfloat16"
    return "float16" if str(getattr(first, "dtype", "")).endswith("float16") else "float32"


def check_fact_names(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that are given, without those that are None.

    Raises
    ------
    TypeError
        If there is no such fact.
    """
    for name in facts:
        if name not in NAMES:
            close = get_close_matches(str(name), NAMES, 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise TypeError(f"{name!r} is no fact of rows{hint}: there are {list(NAMES)}")
    return {name: fact for name, fact in facts.items() if fact is not None}


def facts_carried(batch: Any) -> dict[str, Any]:
    """Facts that rows carry themselves, as an `ActivationArray` does."""
    first = next(iter(batch.values())) if isinstance(batch, Mapping) else batch
    found = facts_of(first, "rows")
    return {name: found[name] for name in found if name in NAMES}


def check_facts(facts: Mapping[str, Any], n_rows: int) -> dict[str, np.ndarray]:
    """Facts of some rows, of the kinds that a store keeps.

    Raises
    ------
    TypeError, ValueError
        If one has another number of entries, or is of another kind; the message names it.
    """
    found = {}
    for name, fact in facts.items():
        entries = label_array(fact) if name == "labels" else np.asarray(plain_array(fact))
        if entries.ndim != 1 or len(entries) != n_rows:
            raise ValueError(f"{name} have shape {entries.shape} for {n_rows} rows: give one entry per row")
        if name in _WHOLE_NUMBERS:
            entries = _whole_numbers(name, entries)
        elif name in ("tokens", "roles"):
            entries = _strings(name, entries)
        elif name == "labels":
            to_disk(entries)  # which refuses what no file can hold
        found[name] = entries
    return found


def _whole_numbers(name: str, entries: np.ndarray) -> np.ndarray:
    if entries.size and entries.dtype.kind not in "iu":
        raise TypeError(f"{name} must be whole numbers, got {entries.dtype}: {shortened(entries[:3].tolist())}")
    largest = _LARGEST.get(name, np.iinfo(np.int32).max)
    if entries.size and not 0 <= entries.min() <= entries.max() <= largest:
        raise ValueError(f"{name} go from {entries.min()} to {entries.max()}: give numbers from 0 to {largest}")
    return entries.astype(np.int64)


def _strings(name: str, entries: np.ndarray) -> np.ndarray:
    if entries.dtype.kind == "U":
        return entries
    wrong = [entry for entry in entries.tolist() if not isinstance(entry, str)]
    if wrong:
        raise TypeError(f"{name} must be strings, got {shortened(wrong[0])}")
    return entries.astype(str)


class Vocabulary:
    """Which string each token id stands for, as far as rows have said; ids are made up where there are strings alone.

    Parameters
    ----------
    tokenizer : transformers tokenizer, optional
    """

    def __init__(self, tokenizer: Any = None) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[str, int] = {}
        self._strings: dict[int, str] = {}

    def add(self, facts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The facts with token ids and strings, if there are any.

        Raises
        ------
        ValueError
            If an id stands for two strings: a store keeps one.
        """
        if "token_ids" not in facts and "tokens" not in facts:
            return dict(facts)
        if "token_ids" not in facts:
            strings, inverse = np.unique(facts["tokens"], return_inverse=True)
            ids = np.array([self._ids.setdefault(token, len(self._ids)) for token in strings.tolist()], dtype=np.int64)
            return {**facts, "token_ids": ids[inverse]}
        if "tokens" not in facts:
            return {**facts, "tokens": token_strings(self._tokenizer, facts["token_ids"])}
        ids, first, inverse = np.unique(facts["token_ids"], return_index=True, return_inverse=True)
        strings = facts["tokens"][first]
        odd = np.flatnonzero(strings[inverse] != facts["tokens"])
        pairs = [(ids[inverse[row]], strings[inverse[row]], facts["tokens"][row]) for row in odd[:1]]
        known = [self._strings.setdefault(number, token) for number, token in zip(ids.tolist(), strings, strict=True)]
        pairs += [found for found in zip(ids, known, strings, strict=True) if found[1] != found[2]]
        for token_id, one, other in pairs:
            raise ValueError(
                f"token id {token_id} stands for {shortened(str(one))} and for {shortened(str(other))}: give strings "
                "that follow from the ids, or leave the ids out"
            )
        return dict(facts)

    def remember(self, ids: np.ndarray, strings: np.ndarray) -> None:
        """Take in those of rows that are stored already."""
        self._ids |= dict(zip(strings.tolist(), ids.tolist(), strict=True))
        self._strings |= dict(zip(ids.tolist(), strings.tolist(), strict=True))
