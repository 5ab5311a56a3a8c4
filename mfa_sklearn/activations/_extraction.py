"""From checked texts to rows: tokens, passes of the model, the rows that are kept, and what is known of them."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any, NamedTuple

import numpy as np

from .._base.checks import warn_user
from .._base.progress import Progress, progress
from .._base.turns import running
from ._forward import Batch, check_width, run_batches
from ._packing import check_keeps_apart, pack
from ._row_plan import LayerRows, RowPlan, pooled_later, rows_of
from ._selection import TokenSelection
from ._sinks import norm_limits, row_norms, without_sinks
from ._sites import check_hook
from ._store_reading import StoreReading
from ._tokenize import TokenSequence, check_max_length, cut_to_length, read_checked
from ._windows import Contexts, pieces_of, split

_STEERED = (
    "the model is being steered in a `with` block around this call, so rows are those of the steered model, which "
    "their source does not tell: leave the block for the model's own"
)
_REMEDY = " (stride=0 reads them in windows)"


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
    stride: int | None = None
    pack: bool = False
    batch_tokens: int | None = None

    def rows(
        self,
        texts: list[str],
        labels: Any = None,
        first: int = 0,
        limits: list[float] | None = None,
        reading: StoreReading | None = None,
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
        reading : StoreReading, optional
            What such parts share.
        """
        layers, facts, lost = self._read(texts, first, allow_none=limits is not None, reading=reading)
        if self.max_norm_ratio is not None:
            allowed = limits if limits else self._limits_of(layers, facts["text_index"], len(texts))
            layers, facts = without_sinks(layers, facts, allowed)
            layers, facts = pooled_later(layers, facts, self.pooling, len(texts), first)
        if labels is not None:
            facts["labels"] = np.asarray(labels)[facts["text_index"]]
        return LayerRows(layers, facts, tuple(texts), self.source, lost)

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
        edges = np.searchsorted(text_index, np.arange(n_texts + 1))

        def norms_of(run: range) -> list[np.ndarray]:
            return row_norms([layer[edges[run.start] : edges[run.stop]] for layer in layers])

        return norm_limits(norms_of, n_texts, self.max_norm_ratio)

    def _read(
        self,
        texts: list[str],
        first: int,
        allow_none: bool,
        quiet: bool = False,
        reading: StoreReading | None = None,
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray], tuple[int, int]]:
        """Rows of every layer, attention sinks included, what is known of them, and how much was cut."""
        model = self.model
        # Tokenizers, too, serve one thread at a time.
        with running(model) as turn:
            if turn.in_block and not quiet:
                warn_user(_STEERED)
            check_max_length(model, self.max_length)
            for hook in self.source["hooks"]:
                check_hook(model, hook)
            found = None if reading is None else reading.taken(texts)
            plan, lost = self._plan(texts, first, quiet, found)
            plan.check(first, self.pooling, allow_none)
            # Sinks are told from the median over all rows, so pooling has to wait for it.
            pooling = self.pooling if self.max_norm_ratio is None else None
            facts = plan.row_facts(model.tokenizer, pooling)
            with nullcontext() if reading is None else reading.meanwhile(model, self.prepend_bos):
                return self._run(plan, pooling, reading), facts, lost

    def _plan(
        self, texts: list[str], first: int, quiet: bool, found: list[TokenSequence] | None
    ) -> tuple[RowPlan, tuple[int, int]]:
        """What is read of the texts, and how many of them are cut, and by how many tokens."""
        model = self.model
        whole = read_checked(model, texts, self.prepend_bos, first, quiet, found)
        if self.stride is None:
            sequences, windows = cut_to_length(model, whole, self.max_length, quiet, _REMEDY), None
        else:
            limit = check_max_length(model, self.max_length)
            sequences, windows = whole, [list(split(model, sequence, limit, self.stride)) for sequence in whole]
        lost = [len(before) - len(after) for before, after in zip(whole, sequences, strict=True)]
        return RowPlan.of(model.tokenizer, sequences, self.select, windows), (sum(map(bool, lost)), sum(lost))

    def _run(self, plan: RowPlan, pooling: str | None, reading: StoreReading | None) -> list[np.ndarray]:
        """The rows of every hook point, in the order of the texts."""
        hooks, contexts = self.source["hooks"], self._contexts(plan, pooling)
        ids = contexts.ids
        running = run_batches(
            self.model, ids, hooks, self.batch_size, self.batch_tokens, contexts.lengths if self.pack else None
        )
        n_tokens = np.array([len(some) for some in ids])
        buffers: list[Any] = []
        shape = (len(plan.positions) if pooling else int(plan.offsets[-1]), self.width)
        layers = [(np.zeros if pooling == "mean" else np.empty)(shape, dtype=self.dtype) for _ in hooks]
        # Closed, so that hooks are off even while an error is looked at.
        with self._bar(int(n_tokens.sum()), reading) as bar, closing(running) as batches:
            for batch in batches:
                for value, hook in zip(batch.values, hooks, strict=True):
                    check_width(value, self.width, hook)
                self._take(batch, contexts, layers, pooling, buffers)
                bar.update(int(n_tokens[batch.index].sum()))
        if pooling == "mean":
            counts = np.diff(plan.offsets)[:, None].astype(self.dtype)
            layers = [np.divide(layer, counts, out=layer) for layer in layers]
        return layers

    def _bar(self, n_tokens: int, reading: StoreReading | None) -> AbstractContextManager[Progress]:
        """What counts the tokens that the model reads."""
        if reading is not None:
            return nullcontext(reading.tokens)
        return progress(n_tokens, "activations", "token", shown=self.progress)

    def _contexts(self, plan: RowPlan, pooling: str | None) -> Contexts:
        """What the model reads: texts or their windows, packed where that is asked for."""
        pieces = pieces_of(plan.sequences, plan.windows, plan.taken(pooling))
        if not self.pack:
            return Contexts(pieces, [[number] for number in range(len(pieces))])
        lengths = [len(piece.ids) for piece in pieces]
        contexts = Contexts(pieces, pack(lengths, check_max_length(self.model, self.max_length)))
        shared = next((some for some in contexts.pieces if len(some) > 1), None)
        if shared is not None:

            def rows(ids: list[np.ndarray], beside: list[list[int]]) -> Any:
                with closing(run_batches(self.model, ids, self.source["hooks"], 1, lengths=beside)) as batches:
                    return next(batches).values[0]

            check_keeps_apart(self.model, [piece.ids for piece in shared[:2]], max(lengths), rows)
        return contexts

    def _take(
        self, batch: Batch, contexts: Contexts, layers: list[np.ndarray], pooling: str | None, buffers: list[Any]
    ) -> None:
        """Put the rows of a batch where they belong."""
        places, pieces = contexts.taken(batch.index, batch.values[0].shape[1])
        counts = [len(piece.places) for piece in pieces]
        groups = np.repeat(np.arange(len(pieces)), counts) if pooling == "mean" else None
        ends = np.arange(1, len(pieces) + 1) if pooling else np.cumsum(counts)
        taken = rows_of(batch.values, places, self.dtype, groups, buffers)
        for layer, rows in zip(layers, taken, strict=True):
            for piece, start, stop in zip(pieces, [0, *ends[:-1]], ends, strict=True):
                if pooling == "mean":
                    layer[piece.text] += rows[start]
                else:
                    layer[piece.row : piece.row + stop - start] = rows[start:stop]
