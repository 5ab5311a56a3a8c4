"""Activations in a cache of TransformerLens, whose padding is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..._base.devices import plain_array
from ..._base.labels import label_array
from ..._base.words import shortened
from .._array import ActivationArray
from .._checks import check_texts
from .._sites import check_layers, check_site, hook_name
from .._tokenize import token_strings
from .names import layer_called, site_called
from .source import check_source, check_tokenizer


def from_cache(
    cache: Any,
    layer: int | Iterable[int] | None = None,
    *,
    tokens: Any = None,
    mask: Any = None,
    site: str = "residual",
    texts: Sequence[str] | None = None,
    labels: Any = None,
    tokenizer: Any = None,
    source: Mapping[str, Any] | None = None,
) -> ActivationArray | dict[int, ActivationArray]:
    """The activations in a cache of TransformerLens as rows, one per token.

    Parameters
    ----------
    cache : ActivationCache, or mapping of str to tensor
        As ``model.run_with_cache`` gives it: names of hook points ("blocks.4.hook_resid_post") and their activations,
        of shape (B, T, d), or (T, d) of one sequence.
    layer : int or list of int, optional
        Of which layers; by default of all that the cache has of the site.
    tokens : array or tensor of int of shape (B, T), optional
        The token ids that the model read.
    mask : array or tensor of bool of shape (B, T), optional
        Where tokens are to be rows: the attention mask, which leaves out padding, or any other. By default all are.
    site : str, default="residual"
        One of `SITES`.
    texts : list of B str, optional
    labels : array-like of length B, optional
        One for each sequence, whose rows have it.
    tokenizer : str, path or transformers tokenizer, optional
        Of the model, for token strings; a model of TransformerLens has it as ``model.tokenizer``.
    source : dict, optional
        "model", "revision" and others, as in `ActivationArray.source`.

    Returns
    -------
    ActivationArray of shape (n, d), or a dict of one per layer
        In the order of the sequences and their tokens. A dict where there are several layers, or a list is asked for.

    Raises
    ------
    TypeError, ValueError
        If the cache has no such layers, or tokens, mask, texts or labels do not fit them.

    Examples
    --------
    >>> import torch
    >>> from mfa_sklearn.activations import from_cache
    >>> cache = {"blocks.4.hook_resid_post": torch.zeros(2, 3, 8)}  # 2 sequences of up to 3 tokens
    >>> X = from_cache(cache, tokens=[[5, 6, 7], [8, 9, 0]], mask=[[1, 1, 1], [1, 1, 0]])
    >>> X.shape, X.token_ids.tolist(), X.positions.tolist(), X.source["layer"]
    ((5, 8), [5, 6, 7, 8, 9], [0, 1, 2, 0, 1], 4)
    """
    check_site(site)
    known, reader = check_source(source) or {}, check_tokenizer(tokenizer)
    chosen = _layers(cache, layer, site)
    values = {number: _sequences(cache[hook_name(site, number)], hook_name(site, number)) for number in chosen}
    n_sequences, length = next(iter(values.values())).shape[:2]
    for number, found in values.items():
        if found.shape[:2] != (n_sequences, length):
            raise ValueError(
                f"layer {number} has (B, T) {found.shape[:2]}, and layer {chosen[0]} {(n_sequences, length)}"
            )
    kept = _kept(mask, n_sequences, length)
    facts = _facts(kept, tokens, labels, reader)
    shared = {"texts": _checked_texts(texts, n_sequences)} if texts is not None else {}
    arrays = {
        number: ActivationArray(
            found[kept],
            facts,
            shared | {"source": known | {"layer": number, "site": site, "hooks": [hook_name(site, number)]}},
        )
        for number, found in values.items()
    }
    return arrays if len(arrays) > 1 or isinstance(layer, Iterable) else arrays[chosen[0]]


def _layers(cache: Any, layer: Any, site: str) -> list[int]:
    """The layers asked for, found to be there."""
    names = list(cache.keys()) if hasattr(cache, "keys") else None
    if names is None:
        raise TypeError(f"cache must be an ActivationCache or a dict, got {type(cache).__name__}")
    there = sorted({layer_called(name) or 0 for name in map(str, names) if site_called(name) == site})
    if layer is None:
        if not there:
            raise ValueError(f"the cache has no activations of site {site!r}: there are {shortened(names, 200)}")
        return there
    chosen = list(check_layers(layer))
    for number in chosen:
        if number not in there:
            raise ValueError(
                f"the cache has no {hook_name(site, number)!r}; of site {site!r} it has the layers {there}"
            )
    return chosen


def _sequences(values: Any, name: str) -> np.ndarray:
    """Activations (B, T, d) of a hook point; those of one sequence without a batch get one."""
    array = np.asarray(plain_array(values))
    if array.ndim not in (2, 3):
        raise ValueError(f"{name!r} has shape {array.shape}: activations are of shape (B, T, d), or (T, d)")
    return array[None] if array.ndim == 2 else array


def _table(name: str, values: Any, n_sequences: int, length: int) -> np.ndarray:
    array = np.asarray(plain_array(values))
    array = array[None] if array.ndim == 1 else array
    if array.shape != (n_sequences, length):
        raise ValueError(f"{name} have shape {array.shape}, and the activations (B, T) {(n_sequences, length)}")
    return array


def _kept(mask: Any, n_sequences: int, length: int) -> np.ndarray:
    """Where tokens are rows, (B, T)."""
    if mask is None:
        return np.ones((n_sequences, length), dtype=bool)
    kept = _table("mask", mask, n_sequences, length)
    if not np.isin(kept, (0, 1)).all():
        raise ValueError(f"mask must be True or False, or 1 or 0, got {shortened(np.unique(kept)[:5].tolist())}")
    if not kept.any():
        raise ValueError("mask leaves no token: give one that is True where tokens are to be rows")
    return kept.astype(bool)


def _facts(kept: np.ndarray, tokens: Any, labels: Any, tokenizer: Any) -> dict[str, np.ndarray]:
    text_index, positions = np.nonzero(kept)
    facts: dict[str, np.ndarray] = {}
    if tokens is not None:
        ids = _table("tokens", tokens, *kept.shape)
        if ids.dtype.kind not in "iu":
            raise TypeError(f"tokens must be token ids, got {ids.dtype}")
        facts["token_ids"] = ids[kept].astype(np.int64)
        if tokenizer is not None:
            facts["tokens"] = token_strings(tokenizer, facts["token_ids"])
    elif tokenizer is not None:
        raise ValueError("there is a tokenizer and no tokens: give the token ids that the model read, tokens=")
    facts |= {"text_index": text_index.astype(np.int64), "positions": positions.astype(np.int64)}
    if labels is not None:
        found = label_array(labels)
        if len(found) != len(kept):
            raise ValueError(f"labels have shape {found.shape} for {len(kept)} sequences: pass one for each")
        facts["labels"] = found[text_index]
    return facts


def _checked_texts(texts: Sequence[str], n_sequences: int) -> tuple[str, ...]:
    found = tuple(check_texts(texts))
    if len(found) != n_sequences:
        raise ValueError(f"there are {len(found):,} texts for {n_sequences:,} sequences: give one for each")
    return found
