"""Which tokens become rows, and taking them out of a model's padded batches in the order of the texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._array import ActivationArray
from ._selection_facts import kept_tokens
from ._tokenize import TokenSequence, token_strings
from ._windows import Window


@dataclass(frozen=True)
class LayerRows:
    """Activations of some texts: an array per layer (n, d), their common row facts, texts and source.

    Attributes
    ----------
    cut : (int, int)
        How many of the texts were cut, and how many tokens that cost.
    """

    layers: list[np.ndarray]
    facts: dict[str, np.ndarray]
    texts: tuple[str, ...]
    source: dict[str, Any]
    cut: tuple[int, int] = (0, 0)

    def stacked(self) -> ActivationArray:
        """One array of shape (n, n_layers * d)."""
        values = self.layers[0] if len(self.layers) == 1 else np.concatenate(self.layers, axis=1)
        return ActivationArray(values, rows=self.facts, shared={"texts": self.texts, "source": self.source})


@dataclass(frozen=True)
class RowPlan:
    """Which tokens of which sequences become rows: `positions` per sequence, `offsets` (n_texts + 1,) of their rows.

    `windows` are those in which long sequences are read; None reads each whole.
    """

    sequences: list[TokenSequence]
    positions: list[np.ndarray]
    offsets: np.ndarray
    select: Any = None
    windows: list[list[Window]] | None = None

    @classmethod
    def of(
        cls,
        tokenizer: Any,
        sequences: list[TokenSequence],
        select: Any,
        windows: list[list[Window]] | None = None,
    ) -> RowPlan:
        positions = kept_tokens(tokenizer, sequences, select)
        offsets = np.concatenate([[0], np.cumsum([len(p) for p in positions])])
        return cls(sequences, positions, offsets, select, windows)

    def check(self, first: int, pooling: str | None, allow_none: bool) -> None:
        """Refuse texts without rows where there must be some; `first` is the number of the first text."""
        if self.offsets[-1] == 0 and not allow_none:
            raise ValueError(nothing_selected(self.select, len(self.positions), self.sequences))
        bare = first + np.flatnonzero(np.diff(self.offsets) == 0)
        if pooling and len(bare):
            raise ValueError(
                f"select={self.select!r} chooses no token of texts[{bare[0]}] to pool, nor of {len(bare) - 1} others: "
                "leave them out"
            )

    def taken(self, pooling: str | None) -> list[np.ndarray]:
        """Positions per sequence whose activations are read."""
        if pooling in ("first", "last"):
            return [p[:1] if pooling == "first" else p[-1:] for p in self.positions]
        return self.positions

    def row_facts(self, tokenizer: Any, pooling: str | None) -> dict[str, np.ndarray]:
        counts = np.diff(self.offsets)
        text_index = np.repeat(np.arange(len(counts)), counts)
        if pooling == "mean":
            return {"text_index": np.arange(len(counts))}
        kept = [s.select(p) for s, p in zip(self.sequences, self.positions, strict=True)]
        ids = np.concatenate([s.ids for s in kept])
        facts = {"token_ids": ids, "text_index": text_index, "positions": np.concatenate(self.positions)}
        if kept[0].starts is not None:
            facts["starts"] = np.concatenate([s.starts for s in kept])  # type: ignore[misc]
            facts["ends"] = np.concatenate([s.ends for s in kept])  # type: ignore[misc]
        if kept[0].roles is not None:
            facts["roles"] = np.concatenate([s.roles for s in kept])  # type: ignore[misc]
        if pooling:
            chosen = self.offsets[:-1] if pooling == "first" else self.offsets[1:] - 1
            facts = {name: fact[chosen] for name, fact in facts.items()}
        return {"tokens": token_strings(tokenizer, facts["token_ids"]), **facts}


def nothing_selected(select: Any, n_texts: int, sequences: Sequence[TokenSequence] = ()) -> str:
    """What is said of a selection that gives no row at all."""
    roles = sorted({str(role) for s in sequences if s.roles is not None for role in s.roles} - {""})
    told = f" with the roles {', '.join(map(repr, roles))}" if roles else ""
    return f"select={select!r} chooses no token of the {n_texts} texts{told}: choose more tokens"


def rows_of(
    values: Sequence[Any],
    places: np.ndarray,
    dtype: Any,
    groups: np.ndarray | None = None,
    buffers: list[Any] | None = None,
) -> Iterator[np.ndarray]:
    """Rows of a padded batch, per hook point, as numpy.

    Parameters
    ----------
    values : list of tensor of shape (B, T, d)
        One per hook point.
    places : ndarray of int of shape (n,)
        Of the rows, counted through the batch: sequence times T, plus the place in it.
    dtype : {float32, float64}
        Of the rows.
    groups : ndarray of int of shape (n,), optional
        0 to G - 1: rows of a group are summed up, which gives (G, d).
    buffers : list, optional
        Empty at first; memory that later calls use again, so what is yielded holds until the next is asked for. Fresh
        memory for each batch may cost more than the copy.
    """
    import torch

    index = torch.from_numpy(places)
    for value in values:
        device = value.device  # layers may lie on several
        index = index.to(device)
        rows = _selected(value.flatten(0, 1), index, buffers)
        rows = rows.to(torch.float64 if dtype == np.float64 else torch.float32)
        _check_finite(rows, value.dtype)
        if groups is not None:
            sums = torch.zeros((int(groups.max()) + 1, rows.shape[1]), dtype=rows.dtype, device=device)
            rows = sums.index_add_(0, torch.from_numpy(groups).to(device), rows)
        yield rows.cpu().numpy()


def _selected(value: Any, index: Any, buffers: list[Any] | None) -> Any:
    """Rows of a tensor, (n, d); where there are `buffers`, in the one that is there, grown where it is too small."""
    import torch

    if buffers is None or value.device.type != "cpu":
        return value.index_select(0, index)
    kept = buffers.pop() if buffers else None
    if kept is None or kept.dtype != value.dtype or kept.shape[1] != value.shape[1] or len(kept) < len(index):
        kept = value.new_empty((len(index), value.shape[1]))
    buffers.append(kept)
    return torch.index_select(value, 0, index, out=kept[: len(index)])


def pooled_later(
    layers: list[np.ndarray], facts: dict[str, np.ndarray], pooling: str | None, n_texts: int, first: int
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Pool token rows, which are in the order of the texts."""
    if pooling is None:
        return layers, facts
    counts = np.bincount(facts["text_index"], minlength=n_texts)
    if not counts.all():
        raise ValueError(f"max_norm_ratio leaves no token of texts[{first + int(np.argmin(counts))}] to pool: raise it")
    ends = np.cumsum(counts)
    if pooling == "mean":
        means = [np.add.reduceat(layer, ends - counts, axis=0) / counts[:, None] for layer in layers]
        return [m.astype(layers[0].dtype) for m in means], {"text_index": np.arange(n_texts)}
    chosen = ends - counts if pooling == "first" else ends - 1
    return [layer[chosen] for layer in layers], {name: fact[chosen] for name, fact in facts.items()}


def _check_finite(rows: Any, dtype: Any) -> None:
    # A sum keeps what is not finite, and is quick; it may also be finite rows that add up to that.
    if not rows.sum().isfinite() and not rows.isfinite().all():
        raise ValueError(
            f"the model's activations in {dtype} are not finite: use dtype='bfloat16' or 'float32', "
            "and if they are still not, look for NaN in its weights"
        )
