"""The texts of a run that writes a store, a shard of them at a time: a list, or a stream that is read once.

A list is known as a whole before work is spent, so a digest of it stands in the key of the run. Of a stream each shard
keeps a running digest: of all texts, and labels, up to its end. A run that is gone on with, and a part that leaves
out other parts' shards, read the stream from its beginning and compare.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from io import IOBase
from itertools import chain, islice, zip_longest
from typing import Any, NamedTuple

import numpy as np

from .._base.labels import label_array, label_kind, to_disk
from .._base.words import shortened
from .._texts.columns import Columns
from .._texts.text_stream import TextStream
from ._chats import ChatText


class ShardTexts(NamedTuple):
    """The texts of a shard.

    Attributes
    ----------
    number : int
    start : int
        Number of its first text.
    texts : list of str
    labels : ndarray or None
        As they are written to disk.
    given : str or None
        The running digest of a stream.
    """

    number: int
    start: int
    texts: list[str]
    labels: np.ndarray | None
    given: str | None

    @property
    def stop(self) -> int:
        return self.start + len(self.texts)


class ListedTexts:
    """Texts that are all there.

    Parameters
    ----------
    texts : list of n str
    labels : array-like of length n, optional
    """

    def __init__(self, texts: list[str], labels: Any = None) -> None:
        if labels is not None:
            labels = to_disk(labels if isinstance(labels, np.ndarray) else label_array(labels))
        self.texts = self.sample = texts
        self.labels = labels
        self.n_texts: int | None = len(texts)

    def key(self, settings: dict[str, Any]) -> str:
        """What a run of these texts is known by."""
        digest = _settings_digest(settings)
        for text in self.texts:
            _add_text(digest, text)
        if self.labels is not None:
            digest.update(str(self.labels.dtype).encode() + self.labels.tobytes())
        return digest.hexdigest()

    def shards(self, size: int) -> Iterator[ShardTexts]:
        """All texts, `size` at a time."""
        for number, start in enumerate(range(0, len(self.texts), size)):
            some = slice(start, start + size)
            labels = None if self.labels is None else self.labels[some]
            yield ShardTexts(number, start, self.texts[some], labels, None)


class StreamedTexts:
    """Texts of which it is not known how many there are; they are gone through once.

    Parameters
    ----------
    entries : iterable of str, of chats, or of pairs of one of these and its label
    check : callable
        From some texts and the number of the first of them to checked strings.
    n_head : int
        How many texts are read ahead, for `sample`.

    Raises
    ------
    ValueError
        If there is no text.
    """

    def __init__(self, entries: Iterable[Any], check: Callable[[list[Any], int], list[str]], n_head: int = 1) -> None:
        left = iter(entries)
        head = list(islice(left, max(1, n_head)))
        if not head:
            raise ValueError("the stream of texts is empty: pass at least one text (a generator can be read once only)")
        self._left = chain(head, left)
        self._check = check
        self.labeled = is_pair(head[0])
        self.sample = check([self._text(entry, i) for i, entry in enumerate(head)], 0)
        self.n_texts: int | None = None
        self._kind = ""

    def key(self, settings: dict[str, Any]) -> str:
        """What a run is known by that reads a stream with these settings; its texts are compared as they come."""
        return _settings_digest(settings | {"stream": "labeled" if self.labeled else "texts"}).hexdigest()

    def shards(self, size: int) -> Iterator[ShardTexts]:
        """All texts, `size` at a time; `n_texts` is known when they have been gone through."""
        digest, start, number = hashlib.sha256(), 0, 0
        while entries := list(islice(self._left, size)):
            texts = self._check([self._text(entry, start + i) for i, entry in enumerate(entries)], start)
            labels = self._labels([entry[1] for entry in entries], start) if self.labeled else None
            for i, text in enumerate(texts):
                _add_text(digest, text)
                if self.labeled:
                    digest.update(hashlib.sha256(repr(_plain(entries[i][1])).encode()).digest())
            yield ShardTexts(number, start, texts, labels, digest.hexdigest())
            start, number = start + len(texts), number + 1
        self.n_texts = start

    def _text(self, entry: Any, number: int) -> Any:
        if is_pair(entry) != self.labeled:
            kinds = ("a text and its label", "a text alone")
            first, here = kinds if self.labeled else kinds[::-1]
            raise TypeError(f"texts[0] is {first}, and texts[{number}] is {here}: give pairs or texts throughout")
        return entry[0] if self.labeled else entry

    def _labels(self, labels: list[Any], start: int) -> np.ndarray:
        """Labels as they are written to disk, found to be of the kind of those before them."""
        found = label_array(labels)
        stored, kind = to_disk(found), label_kind(found) or self._kind
        if self._kind and kind != self._kind:
            known = next(label for label in found.tolist() if label is not None)
            raise TypeError(
                f"labels of texts[{start}] to texts[{start + len(labels) - 1}] are {kind}, such as {shortened(known)}, "
                f"and those before them {self._kind}: map all to one kind"
            )
        self._kind = kind
        return stored


def without_rows(texts: Any, labels: Any) -> Any:
    """`texts`; where they are rows, such as those of a data set, a stream of what their known columns hold.

    Raises
    ------
    TypeError, ValueError
        If labels are given besides rows, or rows have no such columns.
    """
    if isinstance(texts, str | bytes | Mapping | Set | IOBase | TextStream) or not isinstance(texts, Iterable):
        return texts
    entries = iter(texts)
    head = list(islice(entries, 1))
    again = texts if entries is not texts else chain(head, entries)
    if not (head and isinstance(head[0], Mapping)) or {"role", "content"} <= set(head[0]):
        return again
    if labels is not None:
        raise TypeError(
            "texts are rows, which may have labels of their own: leave labels out and name their column, as in "
            "datasets.stream_texts(texts, label_column=...)"
        )
    return TextStream(again, Columns())


def is_stream(texts: Any) -> bool:
    """Whether it can be gone through and does not say how long it is."""
    return isinstance(texts, Iterable) and not hasattr(texts, "__len__")


def paired(texts: Iterable[Any], labels: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Texts and labels that are read side by side.

    Raises
    ------
    ValueError
        If the one ends before the other.
    """
    none = object()
    for number, (text, label) in enumerate(zip_longest(texts, labels, fillvalue=none)):
        if text is none or label is none:
            short = "texts" if text is none else "labels"
            raise ValueError(f"{short} end before number {number}: give one label for each text, or pairs of both")
        yield text, label


def is_pair(entry: Any) -> bool:
    """Whether an entry of a stream is a text with its label: a tuple of two, which no chat is."""
    return isinstance(entry, tuple) and len(entry) == 2


def _settings_digest(settings: dict[str, Any]) -> Any:
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=_plain_setting).encode())


def _add_text(digest: Any, text: str) -> None:
    digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    if isinstance(text, ChatText):
        digest.update(repr(text.spans).encode())


def _plain(value: Any) -> Any:
    """Numpy's numbers and strings are the plain ones."""
    return value.item() if isinstance(value, np.generic) else value


def _plain_setting(value: Any) -> Any:
    """Numpy's numbers are the plain ones; others are known by what they are shown as."""
    return value.item() if isinstance(value, np.generic) else repr(value)
