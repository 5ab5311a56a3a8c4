"""What the extractor may be handed, checked before work is spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, KeysView, Mapping, Set
from io import IOBase
from numbers import Real
from typing import Any

import numpy as np

from .._base.labels import label_array
from .._base.words import check_unicode, shortened
from ._chats import as_text, is_chat, render


def check_texts(texts: Any, load_tokenizer: Callable[[], Any] | None = None, first: int = 0) -> list[str]:
    """`texts` as a list of strings; chats are written out by the tokenizer that is loaded for them.

    Parameters
    ----------
    texts : iterable of str or of chats
    load_tokenizer : callable, optional
    first : int
        Number of the first text, for messages.

    Raises
    ------
    TypeError
        If it is a single string, a container whose texts can be read in two ways (a dict: its keys or its values; an
        open file: its lines or all of it) or in no order (a set), or an entry is not a string.
    ValueError
        If it is empty, has more than one dimension, or a text in it is blank or holds half of a surrogate pair; the
        message names its index.
    """
    _check_container(texts)
    found = list(texts)
    if not found:
        raise ValueError("texts is empty: pass at least one text")
    if load_tokenizer is not None and is_chat(found[0]):
        found = _rendered(found, load_tokenizer(), first)
    for index, text in enumerate(found, first):
        if not isinstance(text, str):
            raise TypeError(f"texts[{index}] must be a string, got {type(text).__name__}: {_hint(text)}")
        if not text.strip():
            raise ValueError(f"texts[{index}] is empty: leave it out")
        check_unicode(f"texts[{index}]", text)
    return [as_text(text) for text in found]


def _rendered(chats: list[Any], tokenizer: Any, first: int) -> list[str]:
    for index, chat in enumerate(chats, first):
        if not is_chat(chat):
            raise TypeError(
                f"texts[{index}] must be a chat like texts[{first}], a list of messages, got {shortened(chat)}"
            )
    return [render(tokenizer, chat, f"texts[{index}]") for index, chat in enumerate(chats, first)]


def _check_container(texts: Any) -> None:
    """Refuse what is no list of texts, or could be one in two ways."""
    kind = type(texts).__name__
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts must be a list of strings, got one string: pass [{texts[:40]!r}]")
    if isinstance(texts, Mapping):
        keys = list(texts)
        known = ("text", "texts", "prompt", "sentence", *keys, "text")
        text = next(key for key in known if key in texts or not keys)
        raise TypeError(
            f"texts is a {kind} with the keys {shortened(keys[:5])}: its texts may be these keys, its values or one of "
            f"its columns, so pass that alone, as texts[{text!r}]"
        )
    if isinstance(texts, Set) and not isinstance(texts, KeysView):
        raise TypeError(f"texts is a {kind}, which has no order: pass a list, as sorted(texts)")
    if isinstance(texts, IOBase):
        raise TypeError("texts is an open file, of which a text may be a line or all of it: pass a list of strings")
    if not isinstance(texts, Iterable):
        raise TypeError(f"texts must be a list of strings, got {kind}")
    if getattr(texts, "ndim", 1) != 1:
        raise ValueError(f"texts must have one dimension, got shape {getattr(texts, 'shape', None)}: pass one column")


def _hint(text: Any) -> str:
    """What an entry that is no string looks like, and what to pass if it is a row of a table."""
    shown = shortened(text)
    if isinstance(text, Mapping) and {"role", "content"} <= set(text):
        return f"{shown}; a chat is one text, so pass a list of chats, as [messages]"
    return f"{shown}; pass one column, as [row['text'] for row in texts]" if isinstance(text, Mapping) else shown


def check_labels(labels: Any, n_texts: int) -> np.ndarray | None:
    """Labels (n_texts,), the missing ones as None, as `label_array` gives them.

    Raises
    ------
    ValueError
        If they are not one per text, in one dimension.
    TypeError
        If they are no collection, or one without an order.
    """
    if labels is None:
        return None
    found = label_array(labels)
    if len(found) != n_texts:
        raise ValueError(f"labels have shape {found.shape} for {n_texts} texts: pass one label per text")
    return found


def check_norm_ratio(ratio: float | None) -> None:
    """Refuse what is neither None nor a number above 1."""
    if ratio is not None and not (isinstance(ratio, Real) and ratio > 1):
        raise ValueError(f"max_norm_ratio must be a number above 1 or None, got {ratio!r}")
