"""Stores of a few made-up activations, written in a moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from interpret_fixtures import mixture

from mfa_sklearn import ActivationStore
from mfa_sklearn.activations._row_plan import LayerRows
from mfa_sklearn.activations._store_writer import write_store

TEXTS = [f"The {animal} sat by the {place}." for animal in ("cat", "dog", "owl") for place in ("bank", "barn")] * 5
LABELS = ["river", "farm"] * 15
N_ROWS = sum(len(text.split()) for text in TEXTS)
VOCABULARY = ["The", *(f" {word}" for word in ["cat", "dog", "owl", "sat", "by", "the", "bank.", "barn."])]
SOURCE = {"layer": 7, "hooks": ["blocks.7.hook_resid_post"]}


def token_rows(texts: list[str], labels: Any, first: int) -> LayerRows:
    """One row per word; stands for a language model."""
    facts: dict[str, list] = {
        name: [] for name in ("token_ids", "tokens", "text_index", "positions", "starts", "ends", "labels")
    }
    for i, text in enumerate(texts):
        start = 0
        for position, word in enumerate(text.split(" ")):
            start = text.index(word, start)
            token = " " * (position > 0) + word
            found = (VOCABULARY.index(token), token, i, position + 1, start, start + len(word), labels[i])
            for name, fact in zip(facts, found, strict=True):
                facts[name].append(fact)
            start += len(word)
    X = mixture(5.0).sample(len(facts["tokens"]), np.random.default_rng(len(texts[0])))
    return LayerRows([X.astype(np.float32)], {name: np.array(fact) for name, fact in facts.items()}, tuple(texts), {})


def two_layers(texts: list[str], labels: Any, first: int) -> LayerRows:
    found = token_rows(texts, labels, first)
    return LayerRows(found.layers * 2, found.facts, found.texts, found.source)


def stopped_at(start: int | None, error: BaseException) -> Callable[..., LayerRows]:
    """`token_rows`, but an error for the part that begins with this text, or for any."""

    def extract(texts: list[str], labels: Any, first: int) -> LayerRows:
        if start in (None, first):
            raise error
        return token_rows(texts, labels, first)

    return extract


NEVER = stopped_at(None, RuntimeError("extracted again"))


def content(path: Path) -> dict[str, bytes]:
    """What a folder holds, to the byte."""
    return {file.name: file.read_bytes() for file in path.iterdir()}


def written(
    path: Path, extract: Callable[..., LayerRows], layers: list[int], some: slice = slice(None)
) -> ActivationStore:
    source = {
        "model": "m",
        "layer": layers,
        "site": "residual",
        "hooks": [f"blocks.{k}.hook_resid_post" for k in layers],
    }
    return write_store(path, extract, {}, source, TEXTS[some], LABELS[some], shard_size=7)
