"""Words of concepts, as a model's tokens and in texts. Content words are the words of any concept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._prompts import special_ids


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


def count_words(texts: Sequence[str], vocabulary: Vocabulary) -> np.ndarray:
    """Words (n, C + 1) of each concept and, last, of any, in each text."""
    counts = np.zeros((len(texts), len(vocabulary.concepts) + 1))
    for row, text in enumerate(texts):
        for word in re.findall(r"[^\W\d_]+", text.lower()):
            concepts = vocabulary.of_word.get(word)
            if concepts:
                counts[row, [*concepts, -1]] += 1
    return counts
