"""What a model says next: the first pass behind a prompt, and what follows it token by token."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._generation import check_finite
from .._prompts import special_ids
from .vocabulary import Vocabulary

# Function words are followed until a content word comes, at most so many in a row, and until so large a share of the
# probability has been accounted for; what is left counts as no concept's.
LONGEST_PATH = 10
_ENOUGH = 0.98


class Slot(NamedTuple):
    """What comes next, and at the next content slot."""

    log_prob: Tensor  # (b, V)  of the next token
    mass: np.ndarray  # (b, C + 1)  of the first content word to be of each concept, or of any


@torch.no_grad()
def next_slot(model: Any, tokens: Tensor, vocabulary: Vocabulary, context: AbstractContextManager[Any]) -> Slot:
    """Log probabilities of the next token, and of which concept the first content word after each row of tokens is.

    Parameters
    ----------
    model : hookable model
    tokens : Tensor (b, T)
    vocabulary : Vocabulary
    context : context manager
        What the model runs in.

    Raises
    ------
    ValueError
        If the logits are not numbers.
    """
    member = vocabulary.of_token.to(tokens.device, torch.float32)
    member = torch.cat([member, member.any(1, keepdim=True)], dim=1)
    barred = vocabulary.is_content.to(tokens.device)
    barred[special_ids(model)] = True
    mass = torch.zeros(len(tokens), member.shape[1], dtype=torch.float64, device=tokens.device)
    first = None
    with context:
        read = reader(model)
        for _ in range(LONGEST_PATH):
            log_prob = check_finite(read(tokens)).float().log_softmax(-1)
            first = log_prob if first is None else first
            going = mass[:, -1:] <= _ENOUGH  # row by row: what is found must not depend on the rest of the batch
            mass += torch.where(going, (1 - mass[:, -1:]) * (log_prob.exp() @ member), 0)
            if bool((mass[:, -1] > _ENOUGH).all()):
                break
            best = log_prob.masked_fill(barred, -torch.inf).argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, best], dim=1)
    assert first is not None
    return Slot(first, mass.cpu().numpy())


@torch.no_grad()
def log_prob_of_rest(
    model: Any, tokens: Tensor, completions: Tensor, lengths: Tensor, context: AbstractContextManager[Any]
) -> Tensor:
    """Log probability (b,) of all but the first token of each row's completion, given the tokens before it.

    Parameters
    ----------
    model : hookable model
    tokens : Tensor (b, T)
    completions : Tensor (b, L)
        Padded on the right with any token.
    lengths : Tensor (b,)
        Of the completions.
    context : context manager
        What the model runs in.
    """
    found = torch.zeros(len(tokens), dtype=torch.float64, device=tokens.device)
    if completions.shape[1] == 1:
        return found
    with context:
        read = reader(model)
        read(tokens)
        for step in range(1, completions.shape[1]):
            tokens = torch.cat([tokens, completions[:, step - 1 : step]], dim=1)
            log_prob = read(tokens).float().log_softmax(-1).gather(1, completions[:, step : step + 1])[:, 0]
            found += torch.where(step < lengths, log_prob, 0)
    return found


@torch.no_grad()
def sampled(model: Any, tokens: Tensor, uniform: Tensor, context: AbstractContextManager[Any]) -> Tensor:
    """Continuations (b, n) of rows of tokens, drawn at temperature 1.

    Each token is the first at which the cumulative probability exceeds a number that is uniform on [0, 1): rows with
    the same numbers are given the same chances, whatever batch they are in.

    Parameters
    ----------
    model : hookable model
    tokens : Tensor (b, T)
    uniform : Tensor (b, n)
    context : context manager
        What the model runs in.
    """
    with context:
        read = reader(model)
        for step in range(uniform.shape[1]):
            reached = check_finite(read(tokens)).float().softmax(-1).cumsum(-1)
            threshold = uniform[:, step : step + 1].to(reached) * reached[:, -1:]
            # A number just below 1 may round to 1, which is reached by no token.
            threshold = threshold.minimum(reached[:, -1:].nextafter(torch.zeros_like(threshold)))
            drawn = torch.searchsorted(reached, threshold, right=True).clamp_max(reached.shape[1] - 1)
            tokens = torch.cat([tokens, drawn], dim=1)
    return tokens[:, -uniform.shape[1] :]


def reader(model: Any) -> Callable[[Tensor], Tensor]:
    """A function of a growing sequence that gives the logits (b, V) after it, with a cache where that surely works."""
    if not hasattr(model, "original_model"):
        return lambda tokens: model(tokens)[:, -1]
    cache: Any = None

    def read(tokens: Tensor) -> Tensor:
        nonlocal cache
        if cache is None:
            logits, cache = model(tokens, return_type="logits_and_cache", use_past_kv_cache=True)
        else:
            logits, cache = model(tokens[:, -1:], return_type="logits_and_cache", past_key_values=cache)
        return logits[:, -1]

    return read
