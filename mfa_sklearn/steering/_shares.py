"""What a model is about to write and has written, in words of concepts.

Content words are the words of any concept. See `_evaluation` for what the measures are for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ._prompts import special_ids

# Function words are followed until a content word comes, at most so many in a row, and until so large a share of the
# probability has been accounted for; what is left counts as no concept's.
_LONGEST_PATH = 10
_ENOUGH = 0.98


class Vocabulary(NamedTuple):
    """Concepts and the words that belong to them, as strings and as tokens."""

    concepts: list[str]
    of_token: Tensor  # (V, C)  1 where the token is a word of the concept
    of_word: dict[str, list[int]]  # lower-case word -> concepts

    @property
    def is_content(self) -> Tensor:
        """Whether a token is a word of any concept, (V,)."""
        return self.of_token.any(1)


def read_vocabulary(model: Any, words: Mapping[str, Sequence[str]]) -> Vocabulary:
    """Which tokens and words belong to which concept: single tokens, with and without space, capitalized or not.

    Raises
    ------
    ValueError
        If a concept has no word that is a single token; that for unknown words is none.
    TypeError
        If `words` is no mapping, or what a concept has are no strings in a list.
    """
    if not isinstance(words, Mapping):
        raise TypeError(f"words must be a dict of concept to a list of its words, got {type(words).__name__}")
    concepts, special = list(words), special_ids(model)
    of_token = torch.zeros(int(model.cfg.d_vocab), len(concepts), dtype=torch.bool)
    of_word: dict[str, list[int]] = {}
    for number, concept in enumerate(concepts):
        own = _checked_words(concept, words[concept])
        for word in own:
            of_word.setdefault(word, []).append(number)
        forms = [form for word in own for form in (" " + word, word, " " + word.capitalize(), word.capitalize())]
        encoded = model.tokenizer(forms, add_special_tokens=False)["input_ids"] if forms else []
        single = [ids[0] for ids in encoded if len(ids) == 1 and ids[0] not in special]
        if not single:
            raise ValueError(f"concept {concept!r} has no word that is a single token of this model: leave it out")
        of_token[single, number] = True
    return Vocabulary(concepts, of_token, of_word)


def _checked_words(concept: str, words: Any) -> list[str]:
    """The words of a concept in lower case, each once."""
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise TypeError(f"words[{concept!r}] must be a list of strings, got {words!r}: pass [{words!r}]")
    found = list(words)
    others = [word for word in found if not (isinstance(word, str) and word.strip())]
    if others:
        raise TypeError(f"words[{concept!r}] holds {others[0]!r}, which is no word: leave it out")
    return sorted({word.lower() for word in found})


@torch.no_grad()
def next_slot(model: Any, tokens: Tensor, vocabulary: Vocabulary, context: AbstractContextManager[Any]) -> np.ndarray:
    """Probability (b, C + 1) that the first content word after each row of tokens is of each concept, or of any.

    Parameters
    ----------
    model : hookable model
    tokens : Tensor (b, T)
    vocabulary : Vocabulary
    context : context manager
        What the model runs in.
    """
    member = vocabulary.of_token.to(tokens.device, torch.float64)
    content = vocabulary.is_content.to(tokens.device)
    barred = content.clone()
    barred[special_ids(model)] = True
    mass = torch.zeros(len(tokens), member.shape[1] + 1, dtype=torch.float64, device=tokens.device)
    with context:
        read = _reader(model)
        for _ in range(_LONGEST_PATH):
            logits = read(tokens)
            probability = logits.double().softmax(-1)
            to_come = 1 - mass[:, -1:]
            any_word = probability[:, content].sum(1, keepdim=True)
            mass += to_come * torch.cat([probability @ member, any_word], dim=1)
            if bool((mass[:, -1] > _ENOUGH).all()):
                break
            best = logits.masked_fill(barred, -torch.inf).argmax(-1, keepdim=True)
            tokens = torch.cat([tokens, best], dim=1)
    return mass.cpu().numpy()


def _reader(model: Any) -> Callable[[Tensor], Tensor]:
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


def count_words(texts: Sequence[str], vocabulary: Vocabulary) -> np.ndarray:
    """Words (n, C + 1) of each concept and, last, of any, in each text."""
    counts = np.zeros((len(texts), len(vocabulary.concepts) + 1))
    for row, text in enumerate(texts):
        for word in re.findall(r"[^\W\d_]+", text.lower()):
            concepts = vocabulary.of_word.get(word)
            if concepts:
                counts[row, [*concepts, -1]] += 1
    return counts


@torch.no_grad()
def log_prob_of_text(model: Any, ids: Tensor, n_prompt: int) -> tuple[np.ndarray, np.ndarray]:
    """Log probability (b,) of what follows the first `n_prompt` tokens of each row, and how many tokens (b,) that is.

    The end-of-text token counts, what stands behind it does not.
    """
    log_prob = model(ids[:, :-1])[:, n_prompt - 1 :].float().log_softmax(-1)
    written = ids[:, n_prompt:]
    eos_id = model.tokenizer.eos_token_id
    is_end = torch.zeros_like(written) if eos_id is None else (written == eos_id).long()
    counts = is_end.cumsum(1) - is_end == 0
    found = log_prob.gather(2, written[..., None])[..., 0] * counts
    return found.double().sum(1).cpu().numpy(), counts.sum(1).cpu().numpy()
