"""Running a model over token sequences and reading its hook points, with nothing computed beyond the last of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import get_ident
from typing import Any

import numpy as np

from .._base.devices import without_autocast
from ._batches import Batching
from ._packing import beside_each_other
from ._tokenize import is_encoder


@dataclass(frozen=True)
class Batch:
    """Activations of some of the sequences.

    Attributes
    ----------
    index : ndarray of int of shape (B,)
        Which sequences these are.
    values : list of tensor of shape (B, T, d)
        One per hook point; rows beyond a sequence's length are padding.
    """

    index: np.ndarray
    values: list[Any]


class _AllReadError(Exception):
    """Ends a forward pass once every hook point has been read."""


def run_batches(
    model: Any,
    sequences: Sequence[np.ndarray],
    hooks: Sequence[str],
    batch_size: int,
    batch_tokens: int | None = None,
    lengths: Sequence[Sequence[int]] | None = None,
) -> Generator[Batch, None, None]:
    """Run a model over sequences of token ids, the longest first.

    Sequences of like length share a batch, padded on the right and masked. The pass ends at the last hook point. The
    hooks are off again when the iterator ends, is closed or fails. Where memory runs out, batches are halved.

    Parameters
    ----------
    model : TransformerBridge
    sequences : list of ndarray of int64
        Token ids of each text, special tokens included.
    hooks : list of str
        Names of hook points.
    batch_size : int
        Sequences per pass.
    batch_tokens : int, optional
        Tokens per pass, padding included.
    lengths : list of lists of int, optional
        Of the texts in each sequence, where they are several and to be kept apart.
    """
    import torch

    device = next(model.original_model.parameters()).device
    order = np.argsort([-len(sequence) for sequence in sequences], kind="stable")
    batching, start = Batching(model, batch_size, batch_tokens), 0

    def run(index: np.ndarray) -> Batch:
        # Rows are in the precision that their source tells, whatever the caller computes in.
        with torch.inference_mode(), without_autocast(device):
            ids, *rest = _inputs(model, [sequences[i] for i in index], lengths and [lengths[i] for i in index])
            _forward(model, ids.to(device), rest[0].to(device), hooks, values, *rest[1:])
        return Batch(index, [_check_shape(values[name], ids.shape, name) for name in hooks])

    with _fused_attention(model), _reading(model, hooks) as values:
        while start < len(order):
            longest = len(sequences[order[start]])
            index = order[start : start + batching.size(longest)]
            batch = batching.tried(partial(run, index), len(index), longest)
            if batch is None:
                values.clear()
                continue
            yield batch
            start += len(index)


def _inputs(model: Any, sequences: Sequence[np.ndarray], lengths: Any) -> list[Any]:
    """Token ids, attention mask and, where texts stand beside each other, positions."""
    import torch

    ids, mask = pad_right(sequences, model.tokenizer.pad_token_id or 0)
    kept_apart = [torch.from_numpy(mask)] if lengths is None else beside_each_other(model, lengths)
    return [torch.from_numpy(ids), *kept_apart]


def pad_right(sequences: Sequence[np.ndarray], pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and attention mask (1 for tokens, 0 for padding), both int64 of shape (B, T).

    Examples
    --------
    >>> import numpy as np
    >>> ids, mask = pad_right([np.array([5, 6]), np.array([7])], pad_id=0)
    >>> ids.tolist(), mask.tolist()
    ([[5, 6], [7, 0]], [[1, 1], [1, 0]])
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask.astype(bool)] = np.concatenate(sequences)
    return ids, mask


@contextmanager
def _reading(model: Any, hooks: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Hooks that put the activations of the current pass into the dict, on until the block is left.

    A pass that another thread makes meanwhile, past this library, is none of ours and is left alone.
    """
    values: dict[str, Any] = {}
    thread = get_ident()

    def reader(name: str) -> Any:
        def read(tensor: Any, hook: Any) -> None:
            if get_ident() != thread:
                return
            values[name] = tensor
            if len(values) == len(hooks):
                raise _AllReadError

        return read

    with model.hooks(fwd_hooks=[(name, reader(name)) for name in hooks]):
        yield values


@contextmanager
def _fused_attention(model: Any) -> Iterator[None]:
    """Let an encoder whose attention is left to `transformers` use its fused kernel.

    The bridge has models compute attention in steps, so that patterns can be read. None is read here, and for long
    texts those steps take much of the time. Attention the bridge computes itself, as for causal models, stays.
    """
    hf_model = model.original_model
    if not (is_encoder(model) and _delegates_attention(model) and getattr(hf_model, "_supports_sdpa", False)):
        yield
        return
    before = hf_model.config._attn_implementation
    hf_model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        hf_model.set_attn_implementation(before)


def _delegates_attention(model: Any) -> bool:
    """Whether a bridge leaves attention to `transformers`; what is no bridge has its own as it is."""
    if not hasattr(model, "blocks"):
        return False
    from transformer_lens.model_bridge.generalized_components import AttentionBridge

    return all(type(getattr(block, "attn", None)) is AttentionBridge for block in model.blocks)


def _forward(
    model: Any, ids: Any, mask: Any, hooks: Sequence[str], values: dict[str, Any], positions: Any = None
) -> None:
    values.clear()
    more = {} if positions is None else {"position_ids": positions}
    try:
        model(ids, attention_mask=mask, return_type=None, **more)
    except _AllReadError:
        return
    missing = [name for name in hooks if name not in values]
    raise ValueError(f"this model's forward pass never reached {missing}: choose another site")


def check_width(value: Any, width: int, name: str) -> None:
    """Refuse activations that are not as wide as the configuration says."""
    if value.shape[-1] != width:
        raise ValueError(
            f"{name} has {value.shape[-1]} numbers per token, where the model's configuration tells of {width}: "
            "this site is something else in this architecture, choose another"
        )


def _check_shape(value: Any, shape: tuple[int, ...], name: str) -> Any:
    if value.ndim != 3 or tuple(value.shape[:2]) != tuple(shape):
        raise ValueError(
            f"{name} gave activations of shape {tuple(value.shape)} for token ids of shape {tuple(shape)}: "
            "this site has no row per token in this architecture, choose another"
        )
    return value
