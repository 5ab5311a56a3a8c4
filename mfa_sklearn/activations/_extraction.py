"""From checked texts to rows: tokens, passes of the model, the rows that are kept, and what is known of them."""

from __future__ import annotations

from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from .._base.checks import warn_user
from .._base.turns import running
from ._forward import check_width, run_batches
from ._row_plan import LayerRows, RowPlan, pooled_later, rows_of
from ._selection import TokenSelection
from ._sinks import norm_limits, row_norms, without_sinks
from ._sites import check_hook
from ._tokenize import check_max_length, tokenize

_STEERED = (
    "the model is being steered in a `with` block around this call, so rows are those of the steered model, which "
    "their source does not tell: leave the block for the model's own"
)


class Extraction(NamedTuple):
    """A loaded model, and the parameters of `ActivationExtractor` that its rows depend on."""

    model: Any
    source: dict[str, Any]
    width: int  # of a row of one layer
    pooling: str | None
    batch_size: int
    max_length: int | None
    prepend_bos: bool | None
    select: TokenSelection
    max_norm_ratio: float | None
    dtype: np.dtype
    progress: bool

    def rows(
        self, texts: list[str], labels: Any = None, first: int = 0, limits: list[float] | None = None
    ) -> LayerRows:
        """Activations of texts, layer by layer.

        Parameters
        ----------
        texts : list of n str
        labels : array-like of length n, optional
        first : int
            Number of the first text, for messages.
        limits : list of float, optional
            Of texts that are a part of a call, `limits` of all of its texts; a part may have no rows.
        """
        layers, facts = self._read(texts, first, allow_none=limits is not None)
        if self.max_norm_ratio is not None:
            allowed = limits if limits else self._limits_of(layers, facts["text_index"], len(texts))
            layers, facts = without_sinks(layers, facts, allowed)
            layers, facts = pooled_later(layers, facts, self.pooling, len(texts), first)
        if labels is not None:
            facts["labels"] = np.asarray(labels)[facts["text_index"]]
        return LayerRows(layers, facts, tuple(texts), self.source)

    def limits(self, texts: list[str]) -> list[float]:
        """The norms that `max_norm_ratio` allows in each layer of a call with these texts; none if it is None."""
        if self.max_norm_ratio is None:
            return []

        def norms_of(run: range) -> list[np.ndarray]:
            return row_norms(self._read(texts[run.start : run.stop], run.start, allow_none=True, quiet=True)[0])

        return norm_limits(norms_of, len(texts), self.max_norm_ratio)

    def _limits_of(self, layers: list[np.ndarray], text_index: np.ndarray, n_texts: int) -> list[float]:
        """The same of texts that have been read."""
        assert self.max_norm_ratio is not None
        norms, edges = row_norms(layers), np.searchsorted(text_index, np.arange(n_texts + 1))

        def norms_of(run: range) -> list[np.ndarray]:
            return [norm[edges[run.start] : edges[run.stop]] for norm in norms]

        return norm_limits(norms_of, n_texts, self.max_norm_ratio)

    def _read(
        self, texts: list[str], first: int, allow_none: bool, quiet: bool = False
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        """Rows of every layer, attention sinks included, and what is known of them."""
        model = self.model
        # Tokenizers, too, serve one thread at a time.
        with running(model) as turn:
            if turn.in_block and not quiet:
                warn_user(_STEERED)
            check_max_length(model, self.max_length)
            for hook in self.source["hooks"]:
                check_hook(model, hook)
            sequences = tokenize(model, texts, self.max_length, self.prepend_bos, first, quiet)
            plan = RowPlan.of(model.tokenizer, sequences, self.select)
            plan.check(first, self.pooling, allow_none)
            # Sinks are told from the median over all rows, so pooling has to wait for it.
            pooling = self.pooling if self.max_norm_ratio is None else None
            return self._run(plan, pooling), plan.row_facts(model.tokenizer, pooling)

    def _run(self, plan: RowPlan, pooling: str | None) -> list[np.ndarray]:
        """The rows of every hook point, in the order of the texts."""
        from tqdm import tqdm

        hooks, n_rows = self.source["hooks"], len(plan.positions) if pooling else plan.offsets[-1]
        wanted = np.flatnonzero(np.diff(plan.offsets))
        running = run_batches(self.model, [plan.sequences[i].ids for i in wanted], hooks, self.batch_size)
        bar = tqdm(total=len(wanted), desc="activations", unit="text", disable=not self.progress)
        layers = [np.empty((n_rows, self.width), dtype=self.dtype) for _ in hooks]
        with bar, closing(running) as batches:  # closed, so that hooks are off even while an error is looked at
            for batch in batches:
                for value, hook in zip(batch.values, hooks, strict=True):
                    check_width(value, self.width, hook)
                index = wanted[batch.index]
                target = index if pooling else plan.row_index(index)
                found = rows_of(batch.values, [plan.positions[i] for i in index], pooling, self.dtype)
                for layer, rows in zip(layers, found, strict=True):
                    layer[target] = rows
                bar.update(len(index))
        return layers
