"""How many sequences a pass takes: as many as were asked for, and fewer once memory has run out."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from .._base.checks import warn_user
from .._base.words import is_out_of_memory

Result = TypeVar("Result")

# Tokens, padding included, of the largest batch that a model may be given since memory ran out.
_most_tokens: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


class Batching:
    """Sizes of batches of sequences that are as long as their longest.

    Parameters
    ----------
    model : object
        Whose passes these are; what did not fit in memory is remembered with it.
    batch_size : int
        Most sequences.
    batch_tokens : int, optional
        Most tokens, padding included; a longer sequence is a batch by itself.
    """

    def __init__(self, model: Any, batch_size: int, batch_tokens: int | None = None) -> None:
        self._model = model
        self._batch_size = batch_size
        self._batch_tokens = batch_tokens
        self._to_tell = False

    def size(self, length: int) -> int:
        """How many sequences fit, of which the longest has this length."""
        limits = [limit for limit in (self._batch_tokens, _most_tokens.get(self._model)) if limit is not None]
        return min([self._batch_size, *(max(1, limit // length) for limit in limits)])

    def tried(self, run: Callable[[], Result], n_sequences: int, length: int) -> Result | None:
        """What `run` gives; None if memory ran out, and the batch is to be halved.

        Raises
        ------
        RuntimeError
            If memory ran out with one sequence.
        """
        try:
            result = run()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if n_sequences == 1:
                raise RuntimeError(
                    f"memory ran out with a single sequence of {length:,} tokens ({str(error)[:200]}): lower "
                    "max_length (with stride=0, long texts are read in windows), or take a smaller dtype or another "
                    "device"
                ) from error
        else:
            self._tell()
            return result
        _most_tokens[self._model] = n_sequences // 2 * length
        self._to_tell = True
        _free()
        return None

    def _tell(self) -> None:
        if self._to_tell:
            self._to_tell = False
            n_tokens = _most_tokens[self._model]
            warn_user(
                f"memory ran out: batches have {n_tokens:,} tokens at most from here on, padding included; rows are "
                f"the same. To begin so, give batch_tokens={n_tokens}"
            )


def _free() -> None:
    """Give back what the failed pass held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
