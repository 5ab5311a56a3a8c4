"""Passes of a language model over texts, with the rows of one hook point replaced, and the losses they end in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from .._base.devices import plain_array, to_numpy, to_tensor, without_autocast
from .._base.progress import progress
from .._base.turns import Turn
from ..activations._sinks import norm_limits
from ._losses import ORIGINAL, ReconstructionLoss
from ._readings import Batch, Readings

# From rows (n, D), a numpy array, to as many rows.
Reconstruct: TypeAlias = Callable[[np.ndarray], Any]
# Numbers of log probabilities that are held at once.
_PIECE = 2**22


class _Seen(NamedTuple):
    """What one pass of the untouched model gave."""

    logits: Tensor  # (P, V), of the predicted tokens
    where: Tensor  # (B, T), True where an activation is a row
    rows: Tensor  # (R, D)


class Run(NamedTuple):
    """The passes over the texts; whoever makes them has the model's turn."""

    model: Any
    hook_name: str
    turn: Turn
    readings: Readings
    batch_size: int
    max_norm_ratio: float | None

    @property
    def _device(self) -> torch.device:
        parameters = getattr(self.model, "original_model", self.model).parameters()
        return next(iter(parameters)).device

    def losses(
        self, reconstructors: Mapping[str, Reconstruct], mean_row: np.ndarray | None, verbose: bool
    ) -> ReconstructionLoss:
        """Every sum that is wanted."""
        with torch.no_grad(), without_autocast(self._device):
            self._try(reconstructors)
            limit, n_replaced = self._norm_limit()
            mean = self._mean(limit) if mean_row is None else mean_row
            arms = _ablations(mean) | dict(reconstructors)
            sums = Sums((ORIGINAL, *arms), len(self.readings.plan.sequences))
            batches = self.readings.predicting(self.batch_size)
            total = self.readings.n_predicting(self.batch_size)
            with progress(total, "losses", "batch", shown=verbose) as bar:
                for batch in batches:
                    self._measure(batch.on(self._device), arms, limit, sums)
                    bar.update()
        parts = (self.readings.n_tokens, n_replaced, sums.cross_entropy, sums.kl)
        return ReconstructionLoss(sums.names, *parts, self.hook_name)

    def _try(self, reconstructors: Mapping[str, Reconstruct]) -> None:
        """Let every candidate reconstruct a few rows before work is spent."""
        batch = next(self.readings.plain(1)).on(self._device)
        rows = _as_rows(self._read(batch, np.inf).rows)
        for name, reconstruct in reconstructors.items():
            _reconstructed(name, reconstruct, rows)

    def _norm_limit(self) -> tuple[float, np.ndarray]:
        """The longest norm that a row may have, and how many rows (n_texts,) that leaves.

        Norms are those of the texts as they are, in masked models too.
        """
        n_rows = np.diff(self.readings.plan.offsets)
        if self.max_norm_ratio is None:
            return np.inf, n_rows
        texts, norms = zip(*map(self._norms, self._plain()), strict=True)
        text, norm = np.concatenate(texts), np.concatenate(norms)

        def norms_of(run: range) -> list[np.ndarray]:
            return [norm[(text >= run.start) & (text < run.stop)]]

        limit = norm_limits(norms_of, len(n_rows), self.max_norm_ratio)[0]
        return limit, np.bincount(text[norm <= limit], minlength=len(n_rows))

    def _norms(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """The text and the norm of each row of a batch."""
        seen = self._read(batch, np.inf)
        return batch.text[to_numpy(seen.where.nonzero()[:, 0])], np.linalg.norm(_as_rows(seen.rows), axis=1)

    def _mean(self, limit: float) -> np.ndarray:
        """The mean (D,) of the rows of the texts."""
        parts = (_as_rows(self._read(batch, limit).rows) for batch in self._plain())
        sums, counts = zip(*((rows.sum(axis=0, dtype=np.float64), len(rows)) for rows in parts), strict=True)
        return np.sum(sums, axis=0) / sum(counts)

    def _plain(self) -> Iterator[Batch]:
        return (batch.on(self._device) for batch in self.readings.plain(self.batch_size))

    def _measure(self, batch: Batch, arms: Mapping[str, Reconstruct], limit: float, sums: Sums) -> None:
        """Add the losses of a batch."""
        seen = self._read(batch, limit)
        texts = batch.text[to_numpy(batch.row)]
        if bool(seen.logits.isnan().any()):
            raise ValueError("the model's own logits hold NaN: load it in float32 or bfloat16, or look at its weights")
        sums.add(ORIGINAL, texts, seen.logits, seen.logits, batch.target)
        rows = _as_rows(seen.rows)
        for name, reconstruct in arms.items():
            logits = seen.logits
            if len(rows):
                logits = self._write(batch, seen.where, to_tensor(_reconstructed(name, reconstruct, rows)))
            if bool(logits.isnan().any()):
                raise ValueError(
                    f"with the rows of {name!r} the logits hold NaN: they are too large for {logits.dtype}"
                )
            sums.add(name, texts, seen.logits, logits, batch.target)

    def _read(self, batch: Batch, limit: float) -> _Seen:
        """What the untouched model makes of a batch."""
        found: list[tuple[Tensor, Tensor]] = []

        def read(activation: Tensor, hook: Any) -> None:
            if self.turn.is_mine:
                _check_rows(activation, batch, self.hook_name)
                where = batch.replaced.to(activation.device)
                if np.isfinite(limit):
                    where = where & ~(torch.linalg.vector_norm(activation, dim=-1, dtype=torch.float64) > limit)
                found[:] = [(where, activation[where])]

        with self.model.hooks(fwd_hooks=[(self.hook_name, read)]):
            logits = self._logits(batch)
        if not found:
            raise ValueError(f"this model's forward pass never reached {self.hook_name!r}: choose another site")
        where, rows = found[0]
        if not bool(rows.isfinite().all()):
            raise ValueError(f"the model's activations in {rows.dtype} are not finite: load it in float32 or bfloat16")
        return _Seen(logits, where, rows)

    def _write(self, batch: Batch, where: Tensor, rows: Tensor) -> Tensor:
        """The logits with other rows in place."""

        def write(activation: Tensor, hook: Any) -> Tensor | None:
            if not self.turn.is_mine:
                return None
            changed = activation.clone()
            changed[where.to(activation.device)] = rows.to(activation)
            return changed

        with self.model.hooks(fwd_hooks=[(self.hook_name, write)]):
            return self._logits(batch)

    def _logits(self, batch: Batch) -> Tensor:
        """Logits (P, V) of the predicted tokens."""
        logits = self.model(batch.ids, attention_mask=batch.mask)
        return logits[batch.row.to(logits.device), batch.column.to(logits.device)]


def _ablations(mean: np.ndarray) -> dict[str, Reconstruct]:
    return {"zero": np.zeros_like, "mean": lambda rows: np.broadcast_to(mean, rows.shape)}


class Sums:
    """Sums over the predicted tokens of each text, per name."""

    def __init__(self, names: tuple[str, ...], n_texts: int) -> None:
        self.names = names
        self.cross_entropy, self.kl = np.zeros((2, len(names), n_texts))

    def add(self, name: str, texts: np.ndarray, original: Tensor, logits: Tensor, target: Tensor) -> None:
        """Add the losses (P,) of predicted tokens to their texts."""
        number, step = self.names.index(name), max(1, _PIECE // logits.shape[1])
        for start in range(0, len(logits), step):
            some = slice(start, start + step)
            log_prob = logits[some].double().log_softmax(-1)
            loss = -log_prob.gather(1, target[some, None].to(log_prob.device))[:, 0]
            np.add.at(self.cross_entropy[number], texts[some], to_numpy(loss))
            if name != ORIGINAL:
                divergence = _kl(original[some].double().log_softmax(-1), log_prob)
                np.add.at(self.kl[number], texts[some], to_numpy(divergence))


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of each row of log probabilities; a token that p rules out adds nothing."""
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0.0).sum(-1)


def _as_rows(rows: Tensor) -> np.ndarray:
    """Rows as the extractor gives them: single precision, double of double."""
    return to_numpy(rows if rows.dtype == torch.float64 else rows.float())


def _check_rows(activation: Tensor, batch: Batch, name: str) -> None:
    if activation.ndim != 3 or activation.shape[:2] != batch.ids.shape:
        raise ValueError(
            f"{name} gave activations of shape {tuple(activation.shape)} for token ids of shape "
            f"{tuple(batch.ids.shape)}: this site has no row per token in this architecture, choose another"
        )


def _reconstructed(name: str, reconstruct: Reconstruct, rows: np.ndarray) -> np.ndarray:
    """A candidate's rows, checked."""
    given = reconstruct(rows.copy())  # a function may work in place
    if given is None:
        raise ValueError(
            f"candidate {name!r} cannot reconstruct rows: it has neither reconstruct, nor cluster centers, nor "
            "inverse_transform beside transform. Give a function from rows to rows"
        )
    found = np.asarray(plain_array(given))
    if found.shape != rows.shape or found.dtype.kind not in "fiu":
        raise ValueError(f"candidate {name!r} made {found.dtype} of shape {found.shape} of rows of shape {rows.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"candidate {name!r} reconstructs rows as NaN or infinity")
    return found
