"""What is lost of texts that are longer than a model reads, said once for a whole run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .._base.checks import warn_user


@dataclass
class Cuts:
    """Counts of what was read and what was cut off.

    Attributes
    ----------
    texts, tokens : int
        Read, the parts that were cut off included.
    cut_texts, cut_tokens : int
        Texts that were cut, and the tokens they lost.
    limit : int
        Most tokens of a text.
    context : int
        Most tokens of a text that the model could read.
    remedy : str
        What to do about long texts, besides splitting them.
    """

    texts: int = 0
    tokens: int = 0
    cut_texts: int = 0
    cut_tokens: int = 0
    limit: int = 0
    context: int = 0
    remedy: str = ""

    def add(self, whole: list[int], kept: list[int], limit: int, context: int, remedy: str = "") -> None:
        """Count texts by their numbers of tokens, before and after the cut."""
        lost = [before - after for before, after in zip(whole, kept, strict=True)]
        self.texts += len(whole)
        self.tokens += sum(whole)
        self.cut_texts += sum(n > 0 for n in lost)
        self.cut_tokens += sum(lost)
        self.limit, self.context, self.remedy = limit, context, remedy

    def warn(self) -> None:
        """Warn of what was lost, if anything was."""
        if not self.cut_texts:
            return
        remedy = f"split long texts{self.remedy}"
        if self.limit < self.context:
            remedy += f", or raise max_length, to {self.context} at most"
        warn_user(
            f"{self.cut_texts:,} of {self.texts:,} texts had more than {self.limit} tokens and were cut there: "
            f"{self.cut_tokens:,} of {self.tokens:,} tokens ({self.cut_tokens / self.tokens:.1%}) are lost; {remedy}"
        )


_run: ContextVar[Cuts | None] = ContextVar("run", default=None)


@contextmanager
def told_once() -> Iterator[None]:
    """One warning at the end for all texts that are cut inside the block, instead of one for each part."""
    cuts = Cuts()
    token = _run.set(cuts)
    try:
        yield
    finally:
        _run.reset(token)
        cuts.warn()


def count_cuts(whole: list[int], kept: list[int], limit: int, context: int, remedy: str = "") -> None:
    """Count texts by their numbers of tokens, before and after they were cut at `limit`; warn unless a run will."""
    cuts = _run.get() or Cuts()
    cuts.add(whole, kept, limit, context, remedy)
    if _run.get() is None:
        cuts.warn()
