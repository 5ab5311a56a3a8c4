"""Does steering change what a model writes about? The share of a concept's words among all concepts' words.

Steering to the region of a concept's words tells the model that it has just read such a word; the very next token may
have to be "the" or "is" all the same. So two shares are measured, both of content words (words of any concept) alone:

* *at the next content slot*: the concept of the first content word that the model would write. From the prompt on, the
  most probable token that is no content word is taken, again and again; with p_t the next-token probabilities after t
  such tokens, c_t the probability of all content words and S_t = prod_{s<t} (1 - c_s) the probability that none has
  come yet,

      share of concept k = sum_t S_t p_t(words of k) / sum_t S_t c_t

* *in the text generated*: sampled at temperature 1, the concept's words counted among all concepts' words.

Numerators and denominators are summed over the prompts. A word of several concepts counts for each of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ._prompts import encode, special_ids
from ._steerer import MFASteerer, pandas

#: Beginnings that suggest no topic, half of them ending where a noun must follow.
NEUTRAL_PROMPTS = (
    "I think that",
    "We know that the",
    "They say that",
    "It was clear that the",
    "My friend told me that",
    "The people said that a",
    "In the end",
    "Of course the",
    "She remembered that",
    "He talked about the",
    "Everybody knows that",
    "My sister wanted the",
    "It seems that",
    "They were waiting for the",
    "I am sure that",
    "Some people say that the",
    "As usual",
    "Her brother saw a",
    "You can see that",
    "The children looked at the",
)

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


def evaluate_steering(
    steerer: MFASteerer,
    components: Mapping[str, int],
    words: Mapping[str, Sequence[str]],
    prompts: Sequence[str] = NEUTRAL_PROMPTS,
    *,
    alphas: Sequence[float] = (0.3, 0.6, 1.0),
    positions: Sequence[Any] = ("prompt", "all"),
    method: str = "centroid",
    max_new_tokens: int = 20,
    batch_size: int = 512,
    random_state: int = 0,
) -> Any:
    """Measure how far steering to a concept's component shifts a model to that concept's words.

    Beside it stand the model as it is, and steering to a component drawn at random for each concept.

    Parameters
    ----------
    steerer : MFASteerer
        Its model needs a tokenizer and `generate`.
    components : dict of concept to component
        For instance the component that over-represents the concept most:
        `interpret.concept_components(mfa, activations)["component"].to_dict()`.
    words : dict of concept to list of str
        Content words, in every form that counts; also those of concepts without a component, which are steered to
        nowhere but stay among all concepts' words.
    prompts : list of str
        What should suggest no concept.
    alphas : list of float
    positions : list
        As of `MFASteerer.steer`.
    method : {"centroid", "transport"}, default="centroid"
    max_new_tokens : int, default=20
        Length of the text generated; 0 leaves that measure out.
    batch_size : int, default=512
        Prompts run at once.
    random_state : int, default=0
        Seeds the random components and the sampling.

    Returns
    -------
    pandas.DataFrame
        A line per concept and setting. Columns: layer, method, positions, alpha, target ("none": the model as it is,
        "random", "concept"), concept, component, share_next, share_generated (NaN where no content word was written),
        n_generated (content words written).

    Raises
    ------
    ValueError
        If a concept has no words, or none that is a single token of the model.

    See Also
    --------
    summarise_steering : Medians over the concepts.

    Examples
    --------
    >>> from mfa_sklearn import ActivationExtractor, MFA, datasets
    >>> from mfa_sklearn.interpret import concept_components
    >>> from mfa_sklearn.steering import evaluate_steering
    >>> data = datasets.load_concepts()  # doctest: +SKIP
    >>> X = ActivationExtractor(datasets.tiny_lm(), layer=2).fit_transform(data.texts, data.labels)  # doctest: +SKIP
    >>> mfa = MFA(100, 5).fit(X)  # doctest: +SKIP
    >>> components = concept_components(mfa, X)["component"].to_dict()  # doctest: +SKIP
    >>> table = evaluate_steering(MFASteerer(model, mfa), components, data.words)  # doctest: +SKIP
    """
    vocabulary = read_vocabulary(steerer.model, words)
    unknown = sorted(set(components) - set(vocabulary.concepts))
    if unknown:
        raise ValueError(f"components names concepts that have no words: {unknown}")
    chosen = {concept: int(components[concept]) for concept in vocabulary.concepts if concept in components}
    drawn = _random_components(chosen, steerer.n_components, random_state)
    run = _Run(steerer, vocabulary, list(prompts), max_new_tokens, batch_size, random_state)
    tables = [run.unsteered(list(chosen))]
    for place in positions:
        for alpha in alphas:
            move = {"alpha": alpha, "positions": place, "method": method}
            tables += [run.steered(drawn, "random", move), run.steered(chosen, "concept", move)]
    return pandas().DataFrame([line for table in tables for line in table])


def summarise_steering(table: Any) -> Any:
    """Medians over the concepts of what `evaluate_steering` measured, best setting first.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `evaluate_steering`; several may be concatenated (layers, methods).

    Returns
    -------
    pandas.DataFrame
        A line per setting: layer, method, positions, alpha, target, and the medians share_next and share_generated,
        sorted by the smaller of the two.
    """
    setting = ["layer", "method", "positions", "alpha", "target"]
    medians = table.groupby(setting, dropna=False)[["share_next", "share_generated"]].median().reset_index()
    order = medians[["share_next", "share_generated"]].min(axis=1).sort_values(ascending=False, kind="stable").index
    return medians.loc[order].reset_index(drop=True)


def read_vocabulary(model: Any, words: Mapping[str, Sequence[str]]) -> Vocabulary:
    """Which tokens and words belong to which concept: single tokens, with and without space, capitalised or not."""
    concepts = list(words)
    of_token = torch.zeros(int(model.cfg.d_vocab), len(concepts), dtype=torch.bool)
    of_word: dict[str, list[int]] = {}
    for number, concept in enumerate(concepts):
        own = sorted({word.lower() for word in words[concept]})
        for word in own:
            of_word.setdefault(word, []).append(number)
        forms = [form for word in own for form in (" " + word, word, " " + word.capitalize(), word.capitalize())]
        encoded = model.tokenizer(forms, add_special_tokens=False)["input_ids"] if forms else []
        single = [ids[0] for ids in encoded if len(ids) == 1]
        if not single:
            raise ValueError(f"concept {concept!r} has no word that is a single token of this model: leave it out")
        of_token[single, number] = True
    return Vocabulary(concepts, of_token, of_word)


def _random_components(chosen: Mapping[str, int], n_components: int, seed: int) -> dict[str, int]:
    """For each concept a component other than its own."""
    rng = np.random.default_rng(seed)
    shifts = rng.integers(1, max(n_components, 2), size=len(chosen))
    return {concept: int((own + s) % n_components) for (concept, own), s in zip(chosen.items(), shifts, strict=True)}


class _Run(NamedTuple):
    """One evaluation: what all of its settings have in common."""

    steerer: MFASteerer
    vocabulary: Vocabulary
    prompts: list[str]
    max_new_tokens: int
    batch_size: int
    seed: int

    def unsteered(self, concepts: list[str]) -> list[dict[str, Any]]:
        """A line per concept for the model as it is."""
        nowhere = {"layer": self.steerer.layer, "method": None, "positions": None, "alpha": 0.0, "target": "none"}
        (mass, counts) = self._measure(1, None)
        rows = {concept: (0, None) for concept in concepts}
        return self._lines(rows, mass, counts, nowhere)

    def steered(self, components: Mapping[str, int], target: str, move: dict[str, Any]) -> list[dict[str, Any]]:
        """A line per concept, each steered to its component."""
        setting = {"layer": self.steerer.layer, **move, "target": target}
        # Sequences of a list of positions do not group in a table.
        setting["positions"] = move["positions"] if isinstance(move["positions"], str) else str(move["positions"])
        mass, counts = self._measure(len(components), (list(components.values()), move))
        rows = {concept: (row, component) for row, (concept, component) in enumerate(components.items())}
        return self._lines(rows, mass, counts, setting)

    def _lines(
        self,
        rows: Mapping[str, tuple[int, int | None]],
        mass: np.ndarray,
        counts: np.ndarray,
        setting: dict[str, Any],
    ) -> list[dict[str, Any]]:
        order = ("layer", "method", "positions", "alpha", "target")
        lines = []
        for concept, (row, component) in rows.items():
            k = self.vocabulary.concepts.index(concept)
            shares = [float(m[row, k] / m[row, -1]) if m[row, -1] > 0 else float("nan") for m in (mass, counts)]
            line = {name: setting[name] for name in order} | {"concept": concept, "component": component}
            line |= {"share_next": shares[0], "share_generated": shares[1], "n_generated": int(counts[row, -1])}
            lines.append(line)
        return lines

    def _measure(
        self, n_targets: int, steering: tuple[list[int], dict[str, Any]] | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probability mass and number of words (n_targets, C + 1) of each concept and, last, of any."""
        mass = np.zeros((n_targets, len(self.vocabulary.concepts) + 1))
        counts = np.zeros_like(mass)
        for ids in self._batches(n_targets):
            rows, tokens = ids
            context = self._context(steering, rows)
            np.add.at(mass, rows, next_slot(self.steerer.model, tokens, self.vocabulary, context))
            if self.max_new_tokens:
                texts = self._generate(tokens, steering, rows)
                np.add.at(counts, rows, count_words(texts, self.vocabulary))
        return mass, counts

    def _batches(self, n_targets: int) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Rows of (target, prompt) of one length: the targets (b,) and the tokens (b, T)."""
        encoded = encode(self.steerer.model, self.prompts, self.steerer.prepend_bos)
        for length in sorted(set(encoded.lengths)):
            ids = encoded.ids[[i for i, n in enumerate(encoded.lengths) if n == length], :length]
            targets = np.repeat(np.arange(n_targets), len(ids))
            tokens = ids.repeat(n_targets, 1)
            for start in range(0, len(targets), self.batch_size):
                yield targets[start : start + self.batch_size], tokens[start : start + self.batch_size]

    def _context(
        self, steering: tuple[list[int], dict[str, Any]] | None, rows: np.ndarray
    ) -> AbstractContextManager[Any]:
        if steering is None:
            return nullcontext()
        components, move = steering
        return self.steerer.steer([components[row] for row in rows], **move)

    def _generate(
        self, tokens: Tensor, steering: tuple[list[int], dict[str, Any]] | None, rows: np.ndarray
    ) -> list[str]:
        """Continuations, in words."""
        model = self.steerer.model
        with torch.no_grad(), torch.random.fork_rng(), self._context(steering, rows):
            torch.manual_seed(self.seed)
            ids = model.generate(
                tokens,
                max_new_tokens=self.max_new_tokens,
                do_sample=True,
                stop_at_eos=model.tokenizer.eos_token_id is not None,
                verbose=False,
            )
        return model.tokenizer.batch_decode(ids[:, tokens.shape[1] :], skip_special_tokens=True)


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
