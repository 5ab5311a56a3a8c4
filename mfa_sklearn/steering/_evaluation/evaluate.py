"""Does steering change what a model writes about, and what does it cost?

Steering to a concept tells the model that it has just read a word of it; the very next token may have to be "the" or
"is" all the same. So two shares are measured, both of content words (words of any concept) alone:

* *at the next content slot*: the concept of the first content word that the model would write. From the prompt on, the
  most probable token that is no content word is taken, again and again; with p_t the next-token probabilities after t
  such tokens, c_t the probability of all content words and S_t = prod_{s<t} (1 - c_s) the probability that none has
  come yet,

      share of concept k = sum_t S_t p_t(words of k) / sum_t S_t c_t

* *in the text generated*: sampled at temperature 1, the concept's words counted among all concepts' words.

Numerators and denominators are summed over the prompts. A word of several concepts counts for each of them.

A share says nothing about grammar: replacing every activation by a centroid makes a model repeat the region's words.
So costs stand beside them, and arms are compared where they cost the same (`summary`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..._base.checks import check_count, check_flag, import_optional
from ..._base.words import plural
from .._generation import check_seed, check_writes
from .._prompts import check_prompts, encode
from .._steerer import MFASteerer
from .arms import Arm, Moved
from .completions import read_completions
from .controls import CONTROLS, with_controls
from .passes import LONGEST_PATH
from .prompts import HALVES, NEUTRAL_PROMPTS, balanced_halves
from .steered import RowsMoved, n_features, read_select
from .sweep import Cell, Sweep
from .table import UNSTEERED, assembled, described
from .vocabulary import read_vocabulary

if TYPE_CHECKING:
    import pandas as pd


def evaluate_steering(
    steerer: MFASteerer,
    arms: Mapping[str, Arm],
    words: Mapping[str, Sequence[str]],
    prompts: Sequence[str] = NEUTRAL_PROMPTS,
    *,
    select: Any = "prompt",
    max_new_tokens: int = 20,
    completions: Mapping[str, Sequence[str]] | None = None,
    controls: Sequence[str] = CONTROLS,
    controlled: Sequence[str] | None = None,
    batch_size: int = 512,
    random_state: int = 0,
    verbose: bool = False,
) -> pd.DataFrame:
    """Measure how far ways to steer shift a model to a concept's words, and at what cost.

    Beside the arms stand the model as it is and, for some of them, controls: moves exactly as long, row by row, in a
    random direction and to another concept.

    Parameters
    ----------
    steerer : MFASteerer
        Where to steer: its model, which needs a tokenizer and `generate`, its layer and site.
    arms : dict of name to Arm
        Ways to steer: `Arm.regions` of a mixture, `baseline_arms` of what everyone else does, or an `Arm` of your own.
    words : dict of concept to list of str
        Content words, in every form that counts; also those of concepts that no arm steers to, which stay among all
        concepts' words.
    prompts : str, or strings in a list, tuple, array or column
        What should suggest no concept.
    select : default="prompt"
        The tokens whose activations are moved, as in `MFASteerer.steer`.
    max_new_tokens : int, default=20
        Length of the text generated; 0 leaves out what is measured of it.
    completions : dict of concept to list of str, optional
        Continuations of a prompt, blank before the word included, as many for each concept. By default `log_odds` is
        left out.
    controls : sequence of {"random", "foreign"}
    controlled : sequence of str, optional
        The arms that have controls; by default the first.
    batch_size : int, default=512
        Prompts run at once.
    random_state : int, default=0
        Seeds controls, pairs of completions and sampling.
    verbose : bool, default=False
        Print how long each arm took.

    Returns
    -------
    pandas.DataFrame
        A line per arm, concept, strength and half of the prompts, with the columns

        * layer, site, select, arm ("none": the model as it is; controls are called after their arm), concept, strength
          (0 of "none"), half ("choose" or "judge", see `balanced_halves`), n_prompts;
        * effects: share_next and share_generated, the share of the concept's words among all concepts' words at the
          next content slot and in text generated (NaN where there is none); log_odds, the mean over pairs of
          completions of ``log p(own) - log p(other concept's)``, steered minus unsteered;
        * costs: kl, ``KL(steered || unsteered)`` of the next token behind the prompt; collateral, the same after all
          content words are merged into one class: how far all else was disturbed; log_prob, the mean log probability
          of the tokens generated, to the model unsteered; repetition_2 and repetition_3, the share of 2- and 3-grams
          of tokens in a text generated that stood in it before; entropy of the next token. All in nats.

        ``table.attrs["halves"]`` says which prompts are in which half.

    Raises
    ------
    ValueError
        If a concept has no words, or none that is a single token of the model; if a prompt and what is written behind
        it, ten tokens at least, do not fit the context; or anything is out of range. Before anything is run.
    TypeError
        If an argument is of the wrong kind.

    See Also
    --------
    steering_at_cost : Arms compared where they cost the same.
    SteeringDisplay : Effect over cost as a picture.
    summarize_steering : Medians over the concepts.

    References
    ----------
    Wu et al., "AxBench", arXiv:2501.17148, for the arms that are usual and the loss of fluency with strength.

    Examples
    --------
    Two concepts of the embedded data, difference of means beside the regions of a mixture on a hundred sentences:

    >>> import numpy as np
    >>> from mfa_sklearn import MFA, ActivationExtractor, MFASteerer, datasets
    >>> from mfa_sklearn.interpret import concept_components
    >>> from mfa_sklearn.steering import Arm, baseline_arms, evaluate_steering, summarize_steering
    >>> data = datasets.load_concepts()
    >>> some = np.flatnonzero(np.isin(data.labels, ["river", "court"]))[:100]
    >>> extractor = ActivationExtractor(datasets.tiny_lm(), layer=0)
    >>> X = extractor.fit_transform([data.texts[i] for i in some], data.labels[some])
    >>> mfa = MFA(8, 2, tol=1e-2, random_state=0).fit(X)
    >>> steerer = MFASteerer(extractor.load(), mfa)
    >>> components = concept_components(mfa, X)["component"].to_dict()
    >>> arms = baseline_arms(X, names=["difference of means"], strengths=[2.0])
    >>> arms["regions"] = Arm.regions(steerer, components, strengths=[1.0])
    >>> table = evaluate_steering(steerer, arms, data.words, ["I think that", "We saw the"], max_new_tokens=0)
    >>> share = summarize_steering(table).set_index("arm")["share_next"]
    >>> share.index.tolist()
    ['none', 'difference of means', 'difference of means (random)', 'difference of means (foreign)', 'regions']
    >>> bool(share["regions"] > 10 * share["none"])
    True
    """
    pandas = import_optional("pandas", "evaluate_steering")
    check_writes(steerer.model)
    seed = check_seed(random_state)
    width = n_features(steerer)
    arms = with_controls(_checked_arms(arms), controls, controlled, width, seed)
    sweep = _prepared(steerer, arms, words, prompts, select, completions, (max_new_tokens, batch_size, seed))
    _try_moves(arms, width)
    verbose = check_flag("verbose", verbose)
    reference, content = sweep.unsteered()
    halves, lines = balanced_halves(content), []
    for name, cells in _cells(arms, sweep.concepts).items():
        start = time.perf_counter()
        lines.append(described(sweep.lines(cells, reference), cells, halves))
        if verbose:
            print(f"{name}: {plural(len(cells), 'move')}, {time.perf_counter() - start:.1f} s", flush=True)
    table = assembled(pandas.concat(lines), {"layer": steerer.layer, "site": steerer.site, "select": str(select)})
    given = np.array(check_prompts(prompts))
    table.attrs["halves"] = {half: given[halves == half].tolist() for half in HALVES}
    return table


def _checked_arms(arms: Any) -> dict[str, Arm]:
    if not isinstance(arms, Mapping):
        raise TypeError(f"arms must be a dict of name to Arm, got {type(arms).__name__}")
    if not arms:
        raise ValueError("arms is empty: give at least one Arm")
    for name, arm in arms.items():
        if not isinstance(name, str) or not isinstance(arm, Arm):
            raise TypeError(f"arms[{name!r}] must be an Arm under a name, got {type(arm).__name__}")
    if UNSTEERED in arms:
        raise ValueError(f"an arm is called {UNSTEERED!r}, as is the model unsteered: give it another name")
    return dict(arms)


def _prepared(
    steerer: MFASteerer, arms: Mapping[str, Arm], words: Any, prompts: Any, select: Any, completions: Any, sizes: Any
) -> Sweep:
    """Everything read and checked against the model; `sizes` are max_new_tokens, batch_size and the seed."""
    model, n_new, n_rows = steerer.model, check_count("max_new_tokens", sizes[0], least=0), sizes[1]
    check_count("batch_size", n_rows)
    vocabulary = read_vocabulary(model, words)
    asked = {concept for arm in arms.values() for concept in arm.moves}
    unknown = sorted(asked - set(vocabulary.concepts))
    if unknown:
        raise ValueError(f"arms move to concepts that have no words: {unknown}")
    concepts = [concept for concept in vocabulary.concepts if concept in asked]
    pairs = None if completions is None else read_completions(model, completions, concepts, sizes[2])
    longest = 1 if pairs is None else pairs.ids.shape[2]
    room = max(n_new, LONGEST_PATH, longest)
    encoded = encode(model, check_prompts(prompts), steerer.prepend_bos, n_new=room)
    chosen = read_select(select, steerer, encoded, room)
    chances = np.random.default_rng(sizes[2]).random((len(concepts), len(encoded.lengths), n_new))
    return Sweep(steerer, vocabulary, concepts, encoded, chosen, pairs, chances, n_rows)


def _try_moves(arms: Mapping[str, Arm], width: int) -> None:
    """Move two rows at every arm's least strength, so that what cannot be run is told before anything is."""
    rows = torch.as_tensor(np.random.default_rng(0).standard_normal((2, width)), dtype=torch.float32)
    for name, arm in arms.items():
        for concept, move in arm.moves.items():
            moved = move(rows, arm.strengths[0])
            if not isinstance(moved, Tensor) or moved.shape != rows.shape or moved.dtype != rows.dtype:
                got = f"{tuple(moved.shape)} {moved.dtype}" if isinstance(moved, Tensor) else type(moved).__name__
                raise ValueError(
                    f"arms[{name!r}] moves rows of shape {tuple(rows.shape)} {rows.dtype} to {got} for {concept!r}: a "
                    "move keeps shape and precision"
                )


def _at(move: Moved, strength: float) -> RowsMoved:
    return lambda x: move(x, strength)


def _cells(arms: Mapping[str, Arm], concepts: Sequence[str]) -> dict[str, list[Cell]]:
    """What is run, by arm: first the model as it is."""
    found = {UNSTEERED: [Cell(UNSTEERED, concept, 0.0, None) for concept in concepts]}
    for name, arm in arms.items():
        found[name] = [
            Cell(name, concept, strength, _at(move, strength))
            for strength in arm.strengths
            for concept, move in arm.moves.items()
        ]
    return found
