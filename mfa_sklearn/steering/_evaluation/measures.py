"""What is read off next-token distributions and texts: pure functions, one figure per row.

The *collateral* divergence is the Kullback-Leibler divergence after all content words are merged into one class.
Raising a concept's words is itself a change of distribution; what remains after the merge is how far grammar, function
words and the place for a content word were disturbed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ROWS = 128


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``KL(p || q) = sum_v p_v (log p_v - log q_v)`` in nats, (n,), of log probabilities (n, V).

    As the sum of ``p (d + exp(-d) - 1)``, d = log p - log q, which is the same and has no negative term: in single
    precision the terms of the sum above cancel to some 1e-7, where a divergence of 1e-6 is to be told from none.
    """
    p, gap = log_p.exp(), log_p - log_q
    return torch.where(p > torch.finfo(p.dtype).tiny, p * (gap + torch.expm1(-gap)), log_q.exp()).sum(-1)


def entropy(log_p: Tensor) -> Tensor:
    """``-sum_v p_v log p_v`` in nats, (n,), of log probabilities (n, V)."""
    p = log_p.exp()
    return -torch.where(p > 0, p * log_p, 0).sum(-1)


def merged(log_p: Tensor, is_content: Tensor) -> Tensor:
    """Log probabilities (n, V' + 1) of the V' other tokens and, last, of all content words as one class."""
    return torch.cat([log_p[:, ~is_content], log_p[:, is_content].logsumexp(-1, keepdim=True)], dim=-1)


def repeated(texts: Sequence[Sequence[int]], n: int) -> np.ndarray:
    """Of each text's n-grams of tokens those that stood in it before, and all of them: (n_texts, 2)."""
    found = np.zeros((len(texts), 2))
    for row, text in enumerate(texts):
        grams = list(zip(*(text[start:] for start in range(n)), strict=False))
        found[row] = len(grams) - len(set(grams)), len(grams)
    return found


def until_end(written: Tensor, eos_id: int | None) -> Tensor:
    """Which tokens (n, T) count: all up to the end-of-text token, itself included."""
    is_end = torch.zeros_like(written) if eos_id is None else (written == eos_id).long()
    return is_end.cumsum(1) - is_end == 0


@torch.no_grad()
def log_prob_of_text(model: Any, ids: Tensor, n_prompt: int, counted: Tensor) -> np.ndarray:
    """Log probability (b,) of those tokens behind the first `n_prompt` of each row that are counted (b, T)."""
    parts = []
    for rows, mask in zip(ids.split(_ROWS), counted.split(_ROWS), strict=True):  # all logits of a batch are many
        logits = model(rows[:, :-1])[:, n_prompt - 1 :].float()
        log_prob = logits.gather(2, rows[:, n_prompt:, None])[..., 0] - logits.logsumexp(-1)
        parts.append(torch.where(mask, log_prob, 0).double().sum(1))
    return torch.cat(parts).cpu().numpy()
