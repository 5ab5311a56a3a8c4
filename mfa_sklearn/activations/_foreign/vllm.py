"""Hidden states that vLLM saved, one file for each request."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..._base.files import as_path
from ..._base.lazy_texts import LazyTexts
from ..._base.words import shortened
from .._checks import check_texts
from .._sites import check_layers
from .chosen import Chosen
from .column import Column, layers_of
from .files import files_of
from .formats import columns_of
from .opened import opened_layers
from .rows import OpenedLayers, OpenedRows, PlaceInFile
from .source import check_source, check_tokenizer

_STATES, _TOKENS = "hidden_states", "token_ids"


def import_vllm(
    folder: str | os.PathLike[str],
    layer: int | None = None,
    *,
    layers: Sequence[int] | None = None,
    texts: Sequence[str] | None = None,
    tokenizer: Any = None,
    source: Mapping[str, Any] | None = None,
) -> OpenedRows | OpenedLayers:
    """Hidden states that vLLM saved; they stay where they are, and rows are read as they are needed.

    vLLM's ``ExampleHiddenStatesConnector`` writes a ``.safetensors`` file for each request: ``hidden_states`` of shape
    (n_tokens, n_layers, d), and ``token_ids`` (n_tokens,). Each token is a row that knows its id, its position and its
    request (``text_index``); requests are in the order of the files' names.

    vLLM counts what goes into a block: its layer k is what block k - 1 of this library wrote (site "residual", layer
    k - 1), and its layer 0 are the embeddings.

    Parameters
    ----------
    folder : path
        The connector's ``shared_storage_path``, or one file of it.
    layer : int, optional
        The layer to open, where there are several.
    layers : list of int, optional
        The numbers to call the layers by, in the order in which vLLM was given them; by default 0, 1, ...
    texts : list of str, optional
        The requests' texts, in the order of the files' names; by default the tokens decoded, if there is a tokenizer.
    tokenizer : str, path or transformers tokenizer, optional
        Of the model, for token strings.
    source : dict, optional
        "model", "revision" and others, as in `ActivationArray.source`.

    Returns
    -------
    array-like of shape (n, d), or a mapping of layers to such
        As `open_activations` gives them.

    Raises
    ------
    ValueError
        If a file is damaged, is no request's, has other layers or another width than the first, or has other numbers of
        tokens and of rows, as where a prompt was processed in chunks; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from safetensors.numpy import save_file
    >>> from mfa_sklearn.activations import import_vllm
    >>> folder = tempfile.mkdtemp()
    >>> states = np.zeros((3, 2, 8), dtype=np.float32)  # 3 tokens, 2 layers
    >>> save_file({"hidden_states": states, "token_ids": np.array([5, 6, 7])}, f"{folder}/request-0.safetensors")
    >>> opened = import_vllm(folder, layers=[3, 11], source={"model": "Qwen/Qwen3-8B", "site": "residual"})
    >>> opened[11].shape, opened[11][:].positions.tolist()
    ((3, 8), [0, 1, 2])
    """
    path, known = as_path("folder", folder), check_source(source)
    numbers = None if layers is None else check_layers(layers)
    reader = check_tokenizer(tokenizer)
    requests = [_request(file) for file in files_of(path)]
    chosen = _layers_of(requests, numbers)
    opened = opened_layers(chosen, str(path), None, reader, known)
    offsets = np.concatenate([[0], np.cumsum([len(tokens) for _, tokens in requests])]).astype(np.int64)
    found = _texts(texts, reader, requests)
    for rows in opened.values():
        rows.add({"text_index": PlaceInFile(offsets, False), "positions": PlaceInFile(offsets, True)}, found)
    return opened.open(layer) if layer is not None or len(opened) == 1 else opened


def _request(path: Path) -> tuple[Column, Column]:
    """The hidden states and the token ids of a file."""
    if path.suffix.lower() != ".safetensors":
        raise ValueError(
            f"{str(path)!r} is no .safetensors file, as vLLM's connector writes: open it by open_activations"
        )
    named = {column.name: column for column in columns_of(path)}
    missing = [name for name in (_STATES, _TOKENS) if name not in named]
    if missing:
        raise ValueError(
            f"{str(path)!r} has no {missing[0]!r}, as vLLM's connector writes it: there are {shortened(sorted(named))}"
        )
    states, tokens = named[_STATES], named[_TOKENS]
    if len(states.shape) != 3 or states.dtype.kind != "f":
        raise ValueError(f"{states.told} holds {states.dtype} of shape {states.shape}, not (tokens, layers, width)")
    if len(tokens.shape) != 1 or tokens.dtype.kind not in "iu":
        raise ValueError(f"{tokens.told} holds {tokens.dtype} of shape {tokens.shape}, not an id per token")
    if len(states) != len(tokens):
        raise ValueError(
            f"{str(path)!r} has {len(tokens):,} tokens and hidden states of {len(states):,}: vLLM may write so where "
            "it reads a prompt in chunks or takes a part of it from its cache; run it again with "
            "enable_chunked_prefill=False and enable_prefix_caching=False"
        )
    return states, tokens


def _layers_of(requests: Sequence[tuple[Column, Column]], numbers: Sequence[int] | None) -> Chosen:
    first = requests[0][0]
    layers: dict[int | None, list[Column]] = {number: [] for number, _ in layers_of(first, numbers)}
    for states, _ in requests:
        if states.shape[1:] != first.shape[1:] or states.dtype != first.dtype:
            raise ValueError(
                f"{states.told} holds {states.dtype} of (layers, width) {states.shape[1:]}, and {first.told} "
                f"{first.dtype} of {first.shape[1:]}: import them apart"
            )
        for number, column in layers_of(states, numbers):
            layers[number].append(column)
    return Chosen(layers, {"token_ids": [tokens for _, tokens in requests]})


def _texts(
    texts: Sequence[str] | None, tokenizer: Any, requests: Sequence[tuple[Column, Column]]
) -> Sequence[str] | None:
    if texts is None:
        return None if tokenizer is None else DecodedTexts(tokenizer, [tokens for _, tokens in requests])
    found = tuple(check_texts(texts))
    if len(found) != len(requests):
        raise ValueError(f"there are {len(found):,} texts for {len(requests):,} requests: give one for each file")
    return found


class DecodedTexts(LazyTexts):
    """The texts of requests, decoded from their tokens when they are asked for."""

    def __init__(self, tokenizer: Any, tokens: Sequence[Column]) -> None:
        self._tokenizer, self._tokens = tokenizer, tuple(tokens)

    def read(self, numbers: range) -> list[str]:
        found = (self._tokens[number] for number in numbers)
        return [str(self._tokenizer.decode(tokens.read(slice(0, len(tokens))).tolist())) for tokens in found]

    def __len__(self) -> int:
        return len(self._tokens)
