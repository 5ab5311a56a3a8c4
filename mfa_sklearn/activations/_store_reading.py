"""What is shared by the calls that read one shard of a store after the other: the tokens of the next, and progress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from .._base.progress import Progress, progress
from ._tokenize import TokenSequence, read_texts


class StoreReading:
    """Tokens of the shard that comes next are read by another thread while the model runs over this one.

    Nothing that users have written runs in that thread: texts come, selections are asked and warnings are given in the
    thread of the caller, who has the model's turn, and so its tokenizer, for as long as the other thread reads.

    Parameters
    ----------
    verbose : bool

    Attributes
    ----------
    tokens : Progress
        Of what the model has read.
    """

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose
        self.tokens = Progress(None)
        self._next: list[str] = []
        self._found: tuple[list[str], Future[list[TokenSequence]]] | None = None

    @contextmanager
    def bar(self, total: int | None, initial: int) -> Iterator[Progress]:
        """What counts texts that are written, and tells how many tokens a second are read."""
        with progress(total, "activations", "text", shown=self._verbose, initial=initial) as texts:
            self.tokens = _Rate(texts)
            yield texts

    def announce(self, texts: list[str]) -> None:
        """Say which texts come after the next ones."""
        self._next = texts

    def taken(self, texts: list[str]) -> list[TokenSequence] | None:
        """What was read of texts already, or what reading them raised; None of others."""
        found, self._found = self._found, None
        return found[1].result() if found is not None and found[0] is texts else None

    @contextmanager
    def meanwhile(self, model: Any, prepend_bos: bool | None) -> Iterator[None]:
        """Read the announced texts while the block runs; the model's turn must be held.

        Tokenizers in Python are left to the caller's thread: they may be anybody's, and would only take turns with it.
        """
        if not (self._next and getattr(model.tokenizer, "is_fast", False)):
            yield
            return
        with ThreadPoolExecutor(1, thread_name_prefix="mfa-sklearn-tokens") as pool:
            self._found = self._next, pool.submit(read_texts, model, self._next, prepend_bos)
            yield


class _Rate(Progress):
    """Tokens that were read, told by the rate, beside a count of texts."""

    def __init__(self, texts: Progress) -> None:
        super().__init__(None)
        self._texts, self._began = texts, time.monotonic()

    def update(self, n: int = 1, **figures: Any) -> None:
        super().update(n)
        seconds = max(time.monotonic() - self._began, 1e-9)
        self._texts.update(0, tokens_per_second=round(self.done / seconds))
