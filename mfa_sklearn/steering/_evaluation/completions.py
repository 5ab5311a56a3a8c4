"""Paired completions: is a concept's own continuation more likely than another concept's?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .controls import shuffled_cycle
from .passes import log_prob_of_rest


class Completions(NamedTuple):
    """Completions of each concept, each beside one of another concept."""

    ids: Tensor  # (C, m, L)  padded with 0
    lengths: Tensor  # (C, m)
    partner: np.ndarray  # (C,)  the concept whose completions stand beside each concept's

    def log_odds(
        self,
        model: Any,
        tokens: Tensor,
        first: Tensor,
        concepts: np.ndarray,
        context: Callable[[], AbstractContextManager],
    ) -> np.ndarray:
        """Mean over the pairs of log p(own) - log p(other), (b,), behind each row of tokens.

        Parameters
        ----------
        model : hookable model
        tokens : Tensor (b, T)
        first : Tensor (b, V)
            Log probabilities of the next token.
        concepts : ndarray (b,)
            Whose completions are the own ones of each row.
        context : callable
            Makes what the model runs in.
        """
        total = torch.zeros(len(tokens), dtype=torch.float64, device=tokens.device)
        for sign, chosen in ((1, concepts), (-1, self.partner[concepts])):
            for pair in range(self.ids.shape[1]):
                ids, lengths = (part[chosen, pair].to(tokens.device) for part in (self.ids, self.lengths))
                total += sign * first.gather(1, ids[:, :1])[:, 0]
                total += sign * log_prob_of_rest(model, tokens, ids, lengths, context())
        return (total / self.ids.shape[1]).cpu().numpy()


def read_completions(
    model: Any, completions: Mapping[str, Sequence[str]], concepts: Sequence[str], seed: int | None
) -> Completions:
    """Completions as tokens, and which concept each is compared with.

    Raises
    ------
    TypeError
        If they are no strings in lists.
    ValueError
        If a concept has none, or not as many as the others, or there is no other concept.
    """
    if not isinstance(completions, Mapping):
        raise TypeError(f"completions must be a dict of concept to a list of strings, got {type(completions).__name__}")
    missing = [concept for concept in concepts if concept not in completions]
    if missing:
        raise ValueError(f"completions has none for {missing}: give some, or leave these concepts out of the arms")
    if len(concepts) < 2:
        raise ValueError("completions are compared with those of another concept: give at least two, or None")
    texts = [_checked(concept, completions[concept]) for concept in concepts]
    counts = sorted({len(own) for own in texts})
    if len(counts) > 1:
        raise ValueError(f"completions holds {counts[0]} to {counts[-1]} strings a concept: give each as many")
    found = [[model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in own] for own in texts]
    lengths = torch.tensor([[len(ids) for ids in own] for own in found])
    if not bool((lengths > 0).all()):
        place = (lengths == 0).nonzero()[0].tolist()
        raise ValueError(f"completions[{concepts[place[0]]!r}] holds {texts[place[0]][place[1]]!r}, which has no token")
    longest = int(lengths.max())
    ids = torch.tensor([[row + [0] * (longest - len(row)) for row in own] for own in found])
    return Completions(ids, lengths, shuffled_cycle(len(concepts), np.random.default_rng(seed)))


def _checked(concept: str, given: Any) -> list[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"completions[{concept!r}] must be a list of strings, got {given!r}: pass [{given!r}]")
    found = list(given)
    others = [text for text in found if not isinstance(text, str)]
    if others:
        raise TypeError(f"completions[{concept!r}] holds {others[0]!r}, which is no string")
    if not found:
        raise ValueError(f"completions[{concept!r}] is empty: give at least one string")
    return found
