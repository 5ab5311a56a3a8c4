"""What callers say of activations that others made: where they come from, and whose tokens they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..._base.checks import import_optional
from ..._base.words import shortened
from .._sites import check_layers, check_site

# What a source may say; as the extractor writes it.
NAMES = (
    *("model", "revision", "layer", "site", "hooks", "processing", "pooling", "dtype", "d_model"),
    *("prepend_bos", "load_options"),
)


def check_source(source: Any) -> dict[str, Any] | None:
    """Where activations come from, checked; None if nothing is known.

    Raises
    ------
    TypeError, ValueError
        If it is no mapping, or names what no source has.
    """
    if source is None:
        return None
    if not isinstance(source, Mapping):
        raise TypeError(f"source={shortened(source)} must be a dict, as {{'model': 'gpt2', 'layer': 4}}")
    for name in source:
        if name not in NAMES:
            raise ValueError(f"source has {name!r}, which no source says: give any of {list(NAMES)}")
    found = dict(source)
    if found.get("site") is not None:
        check_site(found["site"])
    if found.get("layer") is not None:
        layers = check_layers(found["layer"])
        found["layer"] = layers[0] if len(layers) == 1 else list(layers)
    return found


def check_tokenizer(tokenizer: Any) -> Any:
    """A tokenizer, loaded if it is given by its name or path.

    Raises
    ------
    TypeError
        If it is none.
    """
    if isinstance(tokenizer, str | os.PathLike):
        transformers = import_optional("transformers", "loading a tokenizer")
        return transformers.AutoTokenizer.from_pretrained(os.fspath(tokenizer))
    if tokenizer is not None and not hasattr(tokenizer, "decode"):
        raise TypeError(f"tokenizer={shortened(tokenizer)} must be a tokenizer of transformers, or its name or path")
    return tokenizer
