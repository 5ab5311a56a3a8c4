"""Which tokens become rows, and taking them out of a model's padded batches in the order of the texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._array import ActivationArray
from ._selection_facts import kept_tokens
from ._tokenize import TokenSequence, token_strings


@dataclass(frozen=True)
class LayerRows:
    """Activations of some texts: an array per layer (n, d), their common row facts, texts and source."""

    layers: list[np.ndarray]
    facts: dict[str, np.ndarray]
    texts: tuple[str, ...]
    source: dict[str, Any]

    def stacked(self) -> ActivationArray:
        """One array of shape (n, n_layers * d)."""
        values = self.layers[0] if len(self.layers) == 1 else np.concatenate(self.layers, axis=1)
        return ActivationArray(values, rows=self.facts, shared={"texts": self.texts, "source": self.source})


@dataclass(frozen=True)
class RowPlan:
    """Which tokens of which sequences become rows: `positions` per sequence, `offsets` (n_texts + 1,) of their rows."""

    sequences: list[TokenSequence]
    positions: list[np.ndarray]
    offsets: np.ndarray
    select: Any = None

    @classmethod
    def of(cls, tokenizer: Any, sequences: list[TokenSequence], select: Any) -> RowPlan:
        positions = kept_tokens(tokenizer, sequences, select)
        return cls(sequences, positions, np.concatenate([[0], np.cumsum([len(p) for p in positions])]), select)

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

    def row_index(self, index: np.ndarray) -> np.ndarray:
        """Rows of the sequences `index`, one sequence after the other."""
        return np.concatenate([np.arange(self.offsets[i], self.offsets[i + 1]) for i in index])

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
    values: Sequence[Any], positions: Sequence[np.ndarray], pooling: str | None, dtype: Any
) -> Iterator[np.ndarray]:
    """The rows of a padded batch, per hook point, as numpy: a row per kept token, or per sequence.

    Parameters
    ----------
    values : list of tensor of shape (B, T, d)
        One per hook point.
    positions : list of B ndarray of int
        Tokens of each sequence that are kept.
    pooling : {None, "first", "last", "mean"}
    dtype : {float32, float64}
        Of the rows.
    """
    import torch

    chosen = list(positions)
    if pooling in ("first", "last"):
        chosen = [p[:1] if pooling == "first" else p[-1:] for p in chosen]
    counts = [len(p) for p in chosen]
    index = torch.from_numpy(np.repeat(np.arange(len(chosen)), counts)), torch.from_numpy(np.concatenate(chosen))
    which, where = (part.to(values[0].device) for part in index)
    for value in values:
        device = value.device  # layers may lie on several
        which, where = which.to(device), where.to(device)
        rows = value[which, where].to(torch.float64 if dtype == np.float64 else torch.float32)
        _check_finite(rows, value.dtype)
        if pooling == "mean":
            sums = torch.zeros((len(chosen), rows.shape[1]), dtype=rows.dtype, device=device).index_add_(0, which, rows)
            rows = sums / torch.tensor(counts, device=device)[:, None]
        yield rows.cpu().numpy()


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
    if not rows.isfinite().all():
        raise ValueError(
            f"the model's activations in {dtype} are not finite: use dtype='bfloat16' or 'float32', "
            "and if they are still not, look for NaN in its weights"
        )
