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

A share says nothing about grammar: replacing every activation by a centroid makes a model repeat the region's words.
So the text generated is also given to the model unsteered, and the mean log probability of its tokens is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.checks import check_component, check_count, import_optional
from .._base.devices import DrawsOf
from .._base.turns import running
from ._generation import check_seed, check_writes, write
from ._prompts import Encoded, check_prompts, encode
from ._shares import _LONGEST_PATH, Vocabulary, count_words, log_prob_of_text, next_slot, read_vocabulary
from ._steerer import MFASteerer

if TYPE_CHECKING:
    import pandas as pd

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

_SETTING = ["layer", "method", "select", "alpha", "target"]


def evaluate_steering(
    steerer: MFASteerer,
    components: Mapping[str, int],
    words: Mapping[str, Sequence[str]],
    prompts: Sequence[str] = NEUTRAL_PROMPTS,
    *,
    alphas: Sequence[float] = (0.3, 0.6, 1.0),
    select: Sequence[str | int | Sequence[int]] = ("prompt", "all"),
    method: str = "centroid",
    max_new_tokens: int = 20,
    batch_size: int = 512,
    random_state: int = 0,
) -> pd.DataFrame:
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
    prompts : str, or strings in a list, tuple, array or column
        What should suggest no concept.
    alphas : list of float
    select : list
        Each as of `MFASteerer.steer`.
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
        A line per concept and setting. Columns: layer, method, select, alpha, target ("none": the model as it is,
        "random", "concept"), concept, component, share_next, share_generated (NaN where no content word was written),
        n_generated (content words written), log_prob_generated (mean log probability of the tokens written, in nats,
        to the model unsteered; lower than that of unsteered text by how far grammar and habit have suffered).

    Raises
    ------
    ValueError
        If a concept has no words, or none that is a single token of the model; if a prompt and what is written behind
        it, ten tokens at least, do not fit the context; or anything is out of range. Before anything is run.
    TypeError
        If an argument is of the wrong kind.

    See Also
    --------
    summarize_steering : Medians over the concepts.

    Examples
    --------
    Two concepts of the embedded data, a mixture on a hundred sentences, and the next content word alone:

    >>> import numpy as np
    >>> from mfa_sklearn import MFA, ActivationExtractor, MFASteerer, datasets
    >>> from mfa_sklearn.interpret import concept_components
    >>> from mfa_sklearn.steering import evaluate_steering, summarize_steering
    >>> data = datasets.load_concepts()
    >>> some = np.flatnonzero(np.isin(data.labels, ["river", "court"]))[:100]
    >>> extractor = ActivationExtractor(datasets.tiny_lm(), layer=0)
    >>> X = extractor.fit_transform([data.texts[i] for i in some], data.labels[some])
    >>> mfa = MFA(8, 2, tol=1e-2, random_state=0).fit(X)
    >>> components = concept_components(mfa, X)["component"].to_dict()
    >>> steerer = MFASteerer(extractor.load(), mfa)
    >>> table = evaluate_steering(steerer, components, data.words, ["I think that"], alphas=[1.0],
    ...                           select=["prompt"], max_new_tokens=0)
    >>> table["target"].tolist()
    ['none', 'none', 'random', 'random', 'concept', 'concept']
    >>> share = summarize_steering(table).set_index("target")["share_next"]
    >>> bool(share["concept"] > 10 * share["none"])
    True
    """
    pandas = import_optional("pandas", "evaluate_steering")
    check_writes(steerer.model)
    check_count("batch_size", batch_size)
    check_count("max_new_tokens", max_new_tokens, least=0)
    seed = check_seed(random_state)
    moves = _moves(steerer, alphas, select, method)
    encoded = encode(
        steerer.model, check_prompts(prompts), steerer.prepend_bos, n_new=max(max_new_tokens, _LONGEST_PATH)
    )
    vocabulary = read_vocabulary(steerer.model, words)
    unknown = sorted(set(components) - set(vocabulary.concepts))
    if unknown:
        raise ValueError(f"components names concepts that have no words: {unknown}")
    chosen = {
        concept: check_component(components[concept], steerer.n_components)
        for concept in vocabulary.concepts
        if concept in components
    }
    drawn = _random_components(chosen, steerer.n_components, seed)
    run = _Run(steerer, vocabulary, encoded, max_new_tokens, batch_size, seed)
    settings = [_Setting("none", chosen, None)]
    for move in moves:
        settings += [_Setting("random", drawn, move), _Setting("concept", chosen, move)]
    return pandas.DataFrame([line for setting in settings for line in run.lines(setting)])


def summarize_steering(table: pd.DataFrame) -> pd.DataFrame:
    """Medians over the concepts of what `evaluate_steering` measured, best setting first.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `evaluate_steering`; several may be concatenated (layers, methods).

    Returns
    -------
    pandas.DataFrame
        A line per setting: layer, method, select, alpha, target, and the medians share_next, share_generated and
        log_prob_generated, sorted by the smaller of the two shares.
    """
    shares = ["share_next", "share_generated"]
    medians = table.groupby(_SETTING, dropna=False)[[*shares, "log_prob_generated"]].median().reset_index()
    order = medians[shares].min(axis=1).sort_values(ascending=False, kind="stable").index
    return medians.loc[order].reset_index(drop=True)


def _moves(steerer: MFASteerer, alphas: Sequence[float], select: Sequence[Any], method: str) -> list[dict[str, Any]]:
    """Every setting of a move, checked."""
    for name, given in (("alphas", alphas), ("select", select)):
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise TypeError(f"{name}={given!r} must be a list: pass [{given!r}]")
    moves = [{"alpha": a, "select": place, "method": method} for place in select for a in alphas]
    for move in moves:
        steerer.steer(0, **move)
    return moves


def _random_components(chosen: Mapping[str, int], n_components: int, seed: int | None) -> dict[str, int]:
    """For each concept a component other than its own."""
    rng = np.random.default_rng(seed)
    shifts = rng.integers(1, max(n_components, 2), size=len(chosen))
    return {concept: int((own + s) % n_components) for (concept, own), s in zip(chosen.items(), shifts, strict=True)}


class _Setting(NamedTuple):
    """One setting: a move, and the component that each concept is steered to."""

    target: str  # "none", "random" or "concept"
    components: Mapping[str, int]
    move: Mapping[str, Any] | None  # None leaves the model as it is

    @property
    def targets(self) -> list[int]:
        """The component of each sequence of runs; a single sequence serves all concepts where nothing is steered."""
        return [0] if self.move is None else list(self.components.values())


class _Measured(NamedTuple):
    """Sums over the prompts, for each of t targets."""

    mass: np.ndarray  # (t, C + 1)  probability at the next content slot
    counts: np.ndarray  # (t, C + 1)  words generated
    log_prob: np.ndarray  # (t,)  of the text generated
    n_tokens: np.ndarray  # (t,)


class _Run(NamedTuple):
    """One evaluation: what all of its settings have in common."""

    steerer: MFASteerer
    vocabulary: Vocabulary
    encoded: Encoded
    max_new_tokens: int
    batch_size: int
    seed: int | None

    def lines(self, setting: _Setting) -> list[dict[str, Any]]:
        """A line per concept."""
        move = setting.move or {"alpha": 0.0, "select": None, "method": None}
        # A list of select does not group in a table.
        place = move["select"] if move["select"] is None else str(move["select"])
        facts = {"layer": self.steerer.layer, **move, "select": place, "target": setting.target}
        measured = self._measure(setting)
        lines = []
        for number, (concept, component) in enumerate(setting.components.items()):
            row = 0 if setting.move is None else number
            line = {name: facts[name] for name in _SETTING} | {"concept": concept}
            line["component"] = None if setting.move is None else component
            lines.append(line | self._shares(measured, row, self.vocabulary.concepts.index(concept)))
        return lines

    @staticmethod
    def _shares(measured: _Measured, row: int, concept: int) -> dict[str, Any]:
        pairs = [(part[row, concept], part[row, -1]) for part in (measured.mass, measured.counts)]
        pairs.append((measured.log_prob[row], measured.n_tokens[row]))
        values = [float(part / whole) if whole else float("nan") for part, whole in pairs]
        return {
            "share_next": values[0],
            "share_generated": values[1],
            "n_generated": int(measured.counts[row, -1]),
            "log_prob_generated": values[2],
        }

    def _measure(self, setting: _Setting) -> _Measured:
        shape = (len(setting.targets), len(self.vocabulary.concepts) + 1)
        measured = _Measured(np.zeros(shape), np.zeros(shape), np.zeros(shape[0]), np.zeros(shape[0]))
        model = self.steerer.model
        for rows, tokens in self._batches(len(setting.targets)):
            with running(model):  # also where nothing is steered: it must not be, by another thread
                self._add(measured, setting, rows, tokens)
        return measured

    def _add(self, measured: _Measured, setting: _Setting, rows: np.ndarray, tokens: Tensor) -> None:
        """Add what is measured of some rows."""
        model, context = self.steerer.model, self._context(setting, rows)
        np.add.at(measured.mass, rows, next_slot(model, tokens, self.vocabulary, context))
        if self.max_new_tokens:
            ids, n_prompt = self._generate(tokens, setting, rows), tokens.shape[1]
            texts = model.tokenizer.batch_decode(ids[:, n_prompt:], skip_special_tokens=True)
            np.add.at(measured.counts, rows, count_words(texts, self.vocabulary))
            log_prob, n_tokens = log_prob_of_text(model, ids, n_prompt)
            np.add.at(measured.log_prob, rows, log_prob)
            np.add.at(measured.n_tokens, rows, n_tokens)

    def _batches(self, n_targets: int) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Rows of (target, prompt) of one length: the targets (b,) and the tokens (b, T)."""
        encoded = self.encoded
        for length in sorted(set(encoded.lengths)):
            ids = encoded.ids[[i for i, n in enumerate(encoded.lengths) if n == length], :length]
            targets = np.repeat(np.arange(n_targets), len(ids))
            tokens = ids.repeat(n_targets, 1)
            for start in range(0, len(targets), self.batch_size):
                yield targets[start : start + self.batch_size], tokens[start : start + self.batch_size]

    def _context(self, setting: _Setting, rows: np.ndarray) -> AbstractContextManager[Any]:
        if setting.move is None:
            return nullcontext()
        return self.steerer.steer(np.asarray(setting.targets)[rows], **setting.move)

    def _generate(self, tokens: Tensor, setting: _Setting, rows: np.ndarray) -> Tensor:
        """The tokens with their continuations, (b, T + new)."""
        model = self.steerer.model
        encoded = Encoded(tokens, None, [tokens.shape[1]] * len(tokens), False, None)
        draws = nullcontext() if self.seed is None else DrawsOf(self.seed, tokens.device)
        with torch.no_grad(), self._context(setting, rows), draws:
            return write(model, encoded, self.max_new_tokens, {"do_sample": True})
