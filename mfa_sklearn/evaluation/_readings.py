"""What a language model reads so that its loss on texts can be taken, and which rows of that are replaced.

A causal model reads a text once and predicts each of its tokens from those before it. A masked model reads it once for
each of its tokens, with that token masked, and predicts it from all others: the log probabilities sum up to the
pseudo-log-likelihood of Salazar, Liang, Nguyen & Kirchhoff (2020), "Masked language model scoring".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..activations._forward import pad_right
from ..activations._row_plan import RowPlan
from ..activations._selection import as_selection
from ..activations._tokenize import TokenSequence, is_encoder, tokenize

# Architectures, as a configuration names them, whose weights hold a head that fills gaps.
_FILLS_GAPS = ("ForMaskedLM", "ForPreTraining")


class Batch(NamedTuple):
    """Sequences of one forward pass, padded on the right, and the tokens that are predicted in it."""

    ids: Tensor  # (B, T)
    mask: Tensor  # (B, T), 1 where a token is real
    replaced: Tensor  # (B, T), True where an activation is one of the rows
    row: Tensor  # (P,), the sequence of each predicted token
    column: Tensor  # (P,), where its logits stand
    target: Tensor  # (P,), the token itself
    text: np.ndarray  # (B,)

    def on(self, device: torch.device) -> Batch:
        """The same on a device."""
        ids, mask, replaced, row, column, target = (part.to(device) for part in self[:-1])
        return Batch(ids, mask, replaced, row, column, target, self.text)


def check_predicts(model: Any) -> None:
    """Refuse models whose logits say nothing of a token.

    Raises
    ------
    ValueError
        Of an encoder whose weights have no head for masked tokens, or whose tokenizer has no such token.
    """
    if not is_encoder(model):
        return
    config = getattr(getattr(model, "original_model", None), "config", None)
    saved = getattr(config, "architectures", None) or []
    if saved and not any(name.endswith(_FILLS_GAPS) for name in saved):
        raise ValueError(
            f"the model was saved as {saved[0]}, without a head that fills gaps: the loader puts random numbers there, "
            "and losses would be of these. Take the checkpoint of the masked language model (...ForMaskedLM)"
        )
    if getattr(model.tokenizer, "mask_token_id", None) is None:
        raise ValueError("the model is an encoder, and its tokenizer has no mask token: nothing can be predicted by it")


@dataclass(frozen=True)
class Readings:
    """The texts as a model reads them, and the rows among their tokens.

    Attributes
    ----------
    plan : RowPlan
    mask_id : int or None
        The token that stands for a masked one; None for causal models.
    pad_id : int
    with_mask : bool
        Whether a mask is a row where its token is one: it counts as special.
    """

    plan: RowPlan
    mask_id: int | None
    pad_id: int
    with_mask: bool

    @classmethod
    def of(
        cls,
        model: Any,
        texts: Sequence[str],
        max_length: int | None = None,
        prepend_bos: bool | None = None,
        select: Any = None,
    ) -> Readings:
        """Texts, read as `ActivationExtractor` with these parameters reads them.

        Raises
        ------
        ValueError
            If no token is a row, or none is predicted.
        """
        selection = as_selection(select)
        sequences = tokenize(model, texts, max_length, prepend_bos)
        plan = RowPlan.of(model.tokenizer, sequences, selection)
        plan.check(0, None, allow_none=False)
        mask_id = model.tokenizer.mask_token_id if is_encoder(model) else None
        pad_id = getattr(model.tokenizer, "pad_token_id", None) or 0
        with_mask = any(part.special for part in selection.parts)
        readings = cls(plan, mask_id, pad_id, with_mask)
        if not readings.n_tokens.any():
            raise ValueError("no text has a token that follows another: there is nothing to predict, give longer texts")
        return readings

    @property
    def n_tokens(self) -> np.ndarray:
        """How many tokens of each text are predicted, (n_texts,)."""
        return np.array([len(self._predicted(sequence)) for sequence in self.plan.sequences])

    def _predicted(self, sequence: TokenSequence) -> np.ndarray:
        """Positions of a text's own tokens; in a causal model of those that follow a token."""
        found = np.flatnonzero(~sequence.special)
        return found if self.mask_id is not None else found[found > 0]

    def plain(self, batch_size: int) -> Iterator[Batch]:
        """Every text that has rows, once and without a mask."""
        texts = np.flatnonzero(np.diff(self.plan.offsets))
        yield from self._batches(texts, np.full(len(texts), -1), batch_size)

    def n_predicting(self, batch_size: int) -> int:
        """How many batches `predicting` gives."""
        n_sequences = int(self.n_tokens.sum()) if self.mask_id is not None else len(self.plan.sequences)
        return -(-n_sequences // batch_size)

    def predicting(self, batch_size: int) -> Iterator[Batch]:
        """Every text as often as predicting its tokens takes, the longest first."""
        if self.mask_id is None:
            n_texts = len(self.plan.sequences)
            yield from self._batches(np.arange(n_texts), np.full(n_texts, -1), batch_size)
            return
        masked = [self._predicted(sequence) for sequence in self.plan.sequences]
        yield from self._batches(np.repeat(np.arange(len(masked)), self.n_tokens), np.concatenate(masked), batch_size)

    def _batches(self, texts: np.ndarray, masked: np.ndarray, batch_size: int) -> Iterator[Batch]:
        """Sequences of like length together; `masked` is the position that is masked, -1 for none."""
        lengths = np.array([len(sequence) for sequence in self.plan.sequences])
        order = np.argsort(-lengths[texts], kind="stable")
        for start in range(0, len(order), batch_size):
            some = order[start : start + batch_size]
            yield self._batch(texts[some], masked[some])

    def _batch(self, texts: np.ndarray, masked: np.ndarray) -> Batch:
        sequences = [self.plan.sequences[text] for text in texts]
        ids, mask = pad_right([sequence.ids for sequence in sequences], self.pad_id)
        replaced = np.zeros(ids.shape, dtype=bool)
        row, column = self._places(sequences, masked)
        target = ids[row, column if self.mask_id is not None else column + 1]
        for number, (text, position) in enumerate(zip(texts, masked, strict=True)):
            replaced[number, self.plan.positions[text]] = True
            if position >= 0:
                ids[number, position] = self.mask_id
                replaced[number, position] &= self.with_mask
        read, real, rows = torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(replaced)
        places = (torch.from_numpy(row), torch.from_numpy(column), torch.from_numpy(target))
        return Batch(read, real, rows, *places, text=texts)

    def _places(self, sequences: list[TokenSequence], masked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where logits of predicted tokens stand: at the mask, or at the token before."""
        if self.mask_id is not None:
            row = np.flatnonzero(masked >= 0)
            return row, masked[row]
        predicted = [self._predicted(sequence) for sequence in sequences]
        row = np.repeat(np.arange(len(predicted)), [len(positions) for positions in predicted])
        return row, np.concatenate(predicted) - 1
