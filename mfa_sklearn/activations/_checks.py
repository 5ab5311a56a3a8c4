"""What the extractor may be handed, checked before work is spent."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np


def check_texts(texts: Any) -> list[str]:
    """`texts` as a list of strings.

    Raises
    ------
    TypeError
        If it is a single string, or an entry is not a string.
    ValueError
        If it is empty, has more than one dimension, or a text in it is blank; the message names its index.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts must be a list of strings, got one string: pass [{texts[:40]!r}]")
    if not isinstance(texts, Iterable):
        raise TypeError(f"texts must be a list of strings, got {type(texts).__name__}")
    if getattr(texts, "ndim", 1) != 1:
        raise ValueError(f"texts must have one dimension, got shape {getattr(texts, 'shape', None)}: pass one column")
    found = list(texts)
    if not found:
        raise ValueError("texts is empty: pass at least one text")
    for index, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"texts[{index}] must be a string, got {type(text).__name__}: {text!r}")
        if not text.strip():
            raise ValueError(f"texts[{index}] is empty: leave it out")
    return [str(text) for text in found]


def check_labels(labels: Any, n_texts: int) -> None:
    """Refuse labels that are not one per text."""
    if labels is not None and np.shape(labels)[:1] != (n_texts,):
        raise ValueError(f"labels have shape {np.shape(labels)} for {n_texts} texts: pass one label per text")


def check_keep(keep: Any) -> None:
    """Refuse what is neither None, nor token strings, nor a function."""
    if isinstance(keep, str):
        raise TypeError(f"keep must be a set of token strings, got one string: pass {{{keep!r}}}")
    if not (keep is None or callable(keep) or isinstance(keep, Collection)):
        raise TypeError(f"keep must be a set of token strings or a function, got {type(keep).__name__}")
    if isinstance(keep, Collection) and not callable(keep):
        others = [token for token in keep if not isinstance(token, str)]
        if others:
            raise TypeError(f"keep must be a set of token strings, got {others[0]!r} among them: no token is that")
