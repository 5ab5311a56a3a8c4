"""The instrument itself: every concept, strength and prompt of an arm, run and read off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..._base.turns import running
from ...activations import TokenSelection
from .._prompts import Encoded
from .._steerer import MFASteerer
from .completions import Completions
from .measures import divergence, entropy, log_prob_of_text, merged, repeated, until_end
from .passes import Slot, next_slot, sampled
from .steered import RowMoves, RowsMoved, steered
from .vocabulary import Vocabulary, count_words

if TYPE_CHECKING:
    import pandas as pd

# Each measure as a ratio of sums over prompts: what is summed above and below the line.
RATIOS = {
    "share_next": ("slot_own", "slot_any"),
    "share_generated": ("words_own", "words_any"),
    "log_odds": ("log_odds", "prompts"),
    "kl": ("kl", "prompts"),
    "collateral": ("collateral", "prompts"),
    "entropy": ("entropy", "prompts"),
    "log_prob": ("log_prob", "tokens"),
    "repetition_2": ("repeated_2", "grams_2"),
    "repetition_3": ("repeated_3", "grams_3"),
}


class Cell(NamedTuple):
    """One concept of an arm at one strength."""

    arm: str
    concept: str
    strength: float
    move: RowsMoved | None  # None leaves the model as it is


class Batch(NamedTuple):
    """Rows of one length: which cell and prompt each is of, and its tokens."""

    number: np.ndarray  # (b,)
    prompts: np.ndarray  # (b,)
    tokens: Tensor  # (b, T)


class Sweep(NamedTuple):
    """What all cells of an evaluation have in common."""

    steerer: MFASteerer
    vocabulary: Vocabulary
    concepts: list[str]  # those that are steered to
    encoded: Encoded
    select: TokenSelection
    completions: Completions | None  # of these concepts
    chances: np.ndarray  # (concepts, prompts, new tokens)  uniform on [0, 1)
    batch_size: int

    def unsteered(self) -> tuple[Tensor, np.ndarray]:
        """For each prompt the next token's log probabilities (n, V), and how probable a content word is (n,)."""
        found = torch.empty(len(self.encoded.lengths), len(self.vocabulary.of_token))
        for _, prompts, tokens in self._batches(1):
            with running(self.steerer.model):
                slot = next_slot(self.steerer.model, tokens, self.vocabulary, nullcontext())
            found = found.to(slot.log_prob.device)
            found[prompts] = slot.log_prob
        content = found[:, self.vocabulary.is_content.to(found.device)]
        return found, content.logsumexp(-1).exp().cpu().numpy()

    def lines(self, cells: Sequence[Cell], reference: Tensor) -> pd.DataFrame:
        """What is summed, for each cell and prompt: a line each, with their numbers.

        Parameters
        ----------
        cells : sequence of Cell
            All with a move, or none.
        reference : Tensor (n, V)
            Log probabilities of the next token, unsteered, for each prompt.
        """
        import pandas as pd

        parts = []
        for batch in self._batches(len(cells)):
            with running(self.steerer.model):  # also where nothing is steered: it must not be, by another thread
                read = self._read(cells, batch, reference[batch.prompts])
            parts.append(pd.DataFrame({"cell": batch.number, "prompt": batch.prompts, **read}))
        return pd.concat(parts, ignore_index=True)

    def _read(self, cells: Sequence[Cell], batch: Batch, reference: Tensor) -> dict[str, np.ndarray]:
        """What is read off a batch: for each row (b,) what is summed over prompts."""
        model, context = self.steerer.model, partial(self._context, cells, batch)
        concepts = np.array([self.concepts.index(cell.concept) for cell in cells])[batch.number]
        own = np.array([self.vocabulary.concepts.index(concept) for concept in self.concepts])[concepts]
        slot = next_slot(model, batch.tokens, self.vocabulary, context())
        found = {"prompts": np.ones(len(own)), **self._of_slot(slot, own, reference)}
        if self.completions is not None:
            found["log_odds"] = self.completions.log_odds(model, batch.tokens, slot.log_prob, concepts, context)
        if self.chances.shape[2]:
            chances = torch.as_tensor(self.chances[concepts, batch.prompts])
            found |= self._of_text(batch.tokens, sampled(model, batch.tokens, chances, context()), own)
        return found

    def _of_slot(self, slot: Slot, own: np.ndarray, reference: Tensor) -> dict[str, np.ndarray]:
        rows, content = np.arange(len(own)), self.vocabulary.is_content.to(reference.device)
        figures = {
            "kl": divergence(slot.log_prob, reference),
            "collateral": divergence(merged(slot.log_prob, content), merged(reference, content)),
            "entropy": entropy(slot.log_prob),
        }
        numbers = {name: figure.double().cpu().numpy() for name, figure in figures.items()}
        return {"slot_own": slot.mass[rows, own], "slot_any": slot.mass[:, -1], **numbers}

    def _of_text(self, tokens: Tensor, written: Tensor, own: np.ndarray) -> dict[str, np.ndarray]:
        model = self.steerer.model
        counted = until_end(written, model.tokenizer.eos_token_id)
        n_tokens = counted.sum(1).tolist()
        kept = [row[:n] for row, n in zip(written.tolist(), n_tokens, strict=True)]
        words = count_words(model.tokenizer.batch_decode(kept, skip_special_tokens=True), self.vocabulary)
        found = {"words_own": words[np.arange(len(own)), own], "words_any": words[:, -1]}
        for n in (2, 3):
            found[f"repeated_{n}"], found[f"grams_{n}"] = repeated(kept, n).T
        log_prob = log_prob_of_text(model, torch.cat([tokens, written], dim=1), tokens.shape[1], counted)
        return found | {"log_prob": log_prob, "tokens": np.array(n_tokens)}

    def _batches(self, n_cells: int) -> Iterator[Batch]:
        lengths = np.array(self.encoded.lengths)
        for length in np.unique(lengths):
            of_length = np.flatnonzero(lengths == length)
            number, prompts = np.repeat(np.arange(n_cells), len(of_length)), np.tile(of_length, n_cells)
            for start in range(0, len(number), self.batch_size):
                rows = slice(start, start + self.batch_size)
                yield Batch(number[rows], prompts[rows], self.encoded.ids[prompts[rows], :length])

    def _context(self, cells: Sequence[Cell], batch: Batch) -> AbstractContextManager[Any]:
        """What a batch runs in: the moves of its cells, or nothing where they have none."""
        which, place = np.unique(batch.number, return_inverse=True)
        moves = [move for move in (cells[n].move for n in which) if move is not None]
        rows = self.encoded._replace(ids=batch.tokens, mask=None, lengths=[batch.tokens.shape[1]] * len(place))
        return steered(self.steerer, RowMoves(moves, torch.as_tensor(place)) if moves else None, self.select, rows)
