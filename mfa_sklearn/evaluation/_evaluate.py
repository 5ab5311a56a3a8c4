"""The whole table: every measure of every candidate, on the same rows held out by text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._base.annotated import given_rows, row_fact, shared_fact
from .._base.checks import check_count, import_optional
from ..interpret._inputs import as_rows
from ..steering._place import as_hookable, check_hookable
from ._candidate import Candidate, check_resolution, pieces
from ._candidates import as_candidate
from ._held_out import HeldOut, hold_out, taken
from ._labeled_texts import labeled_texts
from ._measures import BETTER, HIGHER, REFERENCES, Measures, loss_measures, usual_resolution
from ._readings import check_predicts
from ._reconstruction_loss import reconstruction_loss
from ._resampling import check_confidence, draw_texts, number_texts, to_interval
from ._stability import agreements

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ._candidate import Rows
    from ._resampling import Resamples


def evaluate(
    candidates: Mapping[str, Any],
    activations: Rows,
    labels: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    target: Rows | None = None,
    test_size: float | int = 0.2,
    resolution: float | Literal["auto"] = "auto",
    n_seeds: int = 0,
    model: Any = None,
    texts: Iterable[str] | None = None,
    n_resamples: int = 200,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
) -> pd.DataFrame:
    """Measure candidates side by side on rows of texts that they were not fitted on.

    Some texts are held out. Estimators that are not fitted are cloned and fitted on the rows of the others; fitted ones
    are taken as they are, and are in favor if they have seen held-out rows. What each measure is:

    =====================================  =============================================================================
    measure                                of the held-out rows
    =====================================  =============================================================================
    NMI, AMI                               of regions with labels: `region_agreement`
    detection AUROC[, hard negatives]      mean over concepts: `concept_detection`
    probing AUROC, 1, 2 or 5 columns       mean over concepts: `sparse_probing`
    reconstruction R2                      `reconstruction_r2`
    target R2 by region[ and coordinates]  `foretold_variance`
    bits per row                           `description_length`
    seeds, halves AMI and ARI              `stability`
    cross-entropy, KL divergence,          nats per token, and shares: `reconstruction_loss`
    loss recovered of ... ablation
    regions, active and stored numbers     how much there is of the candidate: `Candidate.sizes`
    =====================================  =============================================================================

    A measure is left out where what it needs is not given, or the candidate has no such thing.

    Parameters
    ----------
    candidates : dict of str to estimator
        Anything that `as_candidate` takes, fitted or not: `MFA`, what has cluster centers, `GaussianMixture`, `PCA`,
        a `SparseCoder`, and whatever else has `predict` or `transform`. See `baselines` for what to compare with.
    activations : array-like of shape (n_samples, n_features)
        An array, an `ActivationArray`, a store, or the path of one; rows are read into memory.
    labels : array-like of shape (n_samples,), optional
        The concept of each row, missing where there is none; by default those of the activations, if they tell at
        least two concepts apart.
    groups : array-like of shape (n_samples,), optional
        The text of each row; by default that of the activations, or else each row is a text of its own.
    target : array-like of shape (n_samples, m), optional
        What is to be foretold of each row, such as activations of a later layer.
    test_size : float or int, default=0.2
        Share or number of texts to hold out.
    resolution : float or "auto", default="auto"
        At which rows are written for the code length, in units of the features; "auto" is a hundredth of the root mean
        square of the features' standard deviations in the training rows. It stands in the table's ``attrs``.
    n_seeds : int, default=0
        How many seeds to compare for stability, at the cost of as many more fits and one: 1 compares halves of the
        texts alone, 0 leaves stability out.
    model : TransformerBridge, PlainModel or PreTrainedModel, optional
        The language model of the activations, for its losses; see `reconstruction_loss`, whose defaults hold.
    texts : iterable of str, optional
        What the model reads, texts that are held out; by default the held-out texts of the activations.
    n_resamples : int, default=200
        How often texts are drawn with replacement for the intervals: see `bootstrap_interval`.
    confidence : float, default=0.95
    random_state : int, RandomState or None, default=None
        Of the texts held out, the resamples and the seeds compared. Candidates have their own.
    verbose : int, default=0
        Whether to say what is done, and how long it took.

    Returns
    -------
    pandas.DataFrame
        A line per candidate and measure, with the columns candidate, measure, value, low, high (the interval, over
        held-out texts) and better ("higher", "lower", or "" for what is neither). ``attrs`` say the resolution,
        confidence, n_resamples, and n_train, n_test, n_train_texts and n_test_texts.

    Raises
    ------
    TypeError, ValueError
        If there are no candidates or one is no estimator, lengths differ, there are too few texts, given labels tell no
        concepts apart, or a parameter is out of range; before anything is fitted.
    ImportError
        If pandas is missing.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.preprocessing import scale
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.evaluation import baselines, evaluate
    >>> X, y = load_wine(return_X_y=True)
    >>> candidates = {"MFA": MFA(3, 2, random_state=0), **baselines(3, 2, random_state=0)}
    >>> table = evaluate(candidates, scale(X), y, test_size=0.5, random_state=0)
    >>> wide = table.pivot(index="candidate", columns="measure", values="value")
    >>> wide.loc["MFA", ["AMI", "detection AUROC"]].round(1).tolist()
    [0.9, 1.0]
    >>> table.attrs["n_test_texts"]
    89
    """
    pandas = import_optional("pandas", "evaluate")
    activations = given_rows(activations)
    model = as_hookable(model)
    _check(candidates, n_seeds, confidence, model)
    rng = check_random_state(random_state)
    held = _held_out(activations, labels, groups, test_size, rng)
    resamples = draw_texts(held.test.groups, n_resamples, rng)
    found = usual_resolution(held.train.X) if resolution == "auto" else check_resolution(resolution)
    measures = Measures(held, resamples, _target(target, activations, held), found)
    reading = None if model is None else _Reading.of(model, texts, activations, held, resamples, rng)
    seed = int(rng.randint(2**31 - 1)) if n_seeds else 0
    lines, fitted = [], {}
    for name, estimator in candidates.items():
        begun = time.perf_counter()
        fitted[name] = _fitted(estimator, held.train.X)
        took = time.perf_counter() - begun
        figures = dict(measures.of(fitted[name]))
        if n_seeds:
            figures |= _stable(fitted[name], estimator, measures, n_seeds, seed)
        lines += _lines(name, figures, confidence)
        if verbose:
            print(f"[evaluate] {name}: {took:.1f} s to fit, {time.perf_counter() - begun - took:.1f} s to measure")
    if reading is not None:
        lines += reading.lines(fitted, measures, confidence)
    return _table(pandas, lines, measures, confidence)


def _check(candidates: Any, n_seeds: int, confidence: float, model: Any) -> None:
    if not isinstance(candidates, Mapping):
        kind = type(candidates).__name__
        raise TypeError(f"candidates must be a dict of name to estimator, got {kind}: give {{{kind!r}: ...}}")
    if not candidates:
        raise ValueError("candidates is empty: give at least one")
    for name, estimator in candidates.items():
        if not isinstance(name, str) or name in (*REFERENCES, *REFERENCES.values()):
            raise ValueError(f"no candidate can be named {name!r}: give a string, and none of {list(REFERENCES)}")
        known = any(hasattr(estimator, method) for method in ("predict", "transform"))
        if isinstance(estimator, type) or not (known or isinstance(estimator, Candidate)):
            raise TypeError(f"candidate {name!r}, {estimator!r}, is no estimator with predict or transform")
    check_count("n_seeds", n_seeds, least=0)
    check_confidence(confidence)
    if model is not None:
        check_hookable(model, candidates)
        check_predicts(model)


def _held_out(X: Any, labels: Any, groups: Any, test_size: float | int, rng: np.random.RandomState) -> HeldOut:
    """Rows held out; labels that were not given are left out where they tell no concepts apart."""
    held = hold_out(X, labels, groups, test_size, rng)
    _check_finite("activations", held.train.X, held.split.train)
    _check_finite("activations", held.test.X, held.split.test)
    if held.train.labels is None:
        return held
    try:
        labeled_texts(held.train, held.test)
    except ValueError:
        if labels is not None:
            raise
        return HeldOut(held.train._replace(labels=None), held.test._replace(labels=None), held.split)
    return held


def _target(target: Any, X: Any, held: HeldOut) -> tuple[np.ndarray, np.ndarray] | None:
    """The target of the training rows and of the held-out rows.

    Raises
    ------
    ValueError
        If it has not a line for each row, or its rows are known to be of other tokens.
    """
    if target is None:
        return None
    table = as_rows(target)
    if table.shape[0] != X.shape[0]:
        raise ValueError(
            f"target has {table.shape[0]} lines for {X.shape[0]} rows: give what is to be foretold of each row"
        )
    for name in ("text_index", "positions"):
        mine, others = row_fact(X, name), row_fact(table, name)
        if mine is not None and others is not None and not np.array_equal(mine, others):
            raise ValueError(
                f"row {int((mine != others).argmax())} of target has other {name} than that of the activations: "
                "extract both from the same texts with the same choice of rows"
            )
    train, test = (np.asarray(taken(table, rows)) for rows in held.split)
    for part, rows in zip((train, test), held.split, strict=True):
        _check_finite("target", part, rows)
    return train, test


def _check_finite(name: str, X: Any, rows: np.ndarray) -> None:
    """Refuse NaN and infinity, of which most measures make nothing; `rows` are the numbers of the rows."""
    start = 0
    for part in pieces(X):
        bad = np.flatnonzero(~np.isfinite(np.asarray(part)).all(1))
        if len(bad):
            raise ValueError(f"{name} hold NaN or infinity in row {rows[start + bad[0]]}: leave such rows out")
        start += len(part)


def _fitted(estimator: Any, X: Any) -> Candidate:
    """The candidate; an estimator that is not fitted is cloned and fitted."""
    if isinstance(estimator, Candidate):
        return estimator
    try:
        check_is_fitted(estimator)
        fitted = estimator
    except NotFittedError:
        fitted = clone(estimator)
    return as_candidate(fitted if fitted is estimator else fitted.fit(X), X)


def _stable(candidate: Candidate, given: Any, measures: Measures, n_seeds: int, seed: int) -> dict[str, np.ndarray]:
    """Stability, on the same halves and with the same seeds for all candidates."""
    regions = candidate.regions(measures.held.test.X)
    if regions is None:
        return {}
    # What was fitted before has seen other rows, so that only what was fitted here is one of the seeds.
    first = regions if candidate.estimator is not given and candidate is not given else None
    estimator = given.estimator if isinstance(given, Candidate) else given
    rng = np.random.RandomState(seed)
    return agreements(estimator, measures.held, measures.resamples, n_seeds, rng, first)


class _Reading(NamedTuple):
    """What a language model is to read, and where rows are to be replaced."""

    model: Any
    texts: Sequence[str]
    counts: np.ndarray  # (1 + n_resamples, n_texts)
    place: dict[str, Any]

    @classmethod
    def of(
        cls, model: Any, texts: Any, X: Any, held: HeldOut, resamples: Resamples, rng: np.random.RandomState
    ) -> _Reading:
        """By default the held-out texts, and the layer and site of the activations.

        Raises
        ------
        ValueError
            If the activations tell neither their texts nor their layer.
        """
        source = shared_fact(X, "source") or {}
        if source.get("layer") is None:
            raise ValueError(
                "these activations do not say which layer they are of: use the ActivationArray that "
                "ActivationExtractor returns, or leave model out and call reconstruction_loss with a layer"
            )
        place = {"layer": source["layer"], "site": source.get("site")}
        if texts is not None:
            found = list(texts)
            return cls(model, found, draw_texts(np.arange(len(found)), len(resamples.counts) - 1, rng).counts, place)
        numbers, known = row_fact(X, "text_index"), shared_fact(X, "texts")
        if numbers is None or known is None:
            raise ValueError("these activations carry no texts for the model to read: give texts=, held out ones")
        asked = np.asarray(numbers)[held.split.test]
        if not np.array_equal(asked, held.test.groups):
            return cls.of(model, [known[number] for number in np.unique(asked)], X, held, resamples, rng)
        return cls(model, [known[number] for number in np.unique(asked)], resamples.counts, place)

    def lines(self, fitted: Mapping[str, Candidate], measures: Measures, confidence: float) -> list[dict[str, Any]]:
        """Lines of the table, of the model by itself and of the candidates that reconstruct."""
        few = taken(measures.held.test.X, np.arange(1))
        able = {name: candidate for name, candidate in fitted.items() if candidate.reconstruct(few) is not None}
        if not able:
            return []
        loss = reconstruction_loss(self.model, able, self.texts, **self.place, mean=measures.held.train.X)
        return [
            line
            for name in loss.names
            for line in _lines(REFERENCES.get(name, name), dict(loss_measures(loss, name, self.counts)), confidence)
        ]


def _lines(name: str, figures: Mapping[str, np.ndarray], confidence: float) -> list[dict[str, Any]]:
    """Lines of the table, in the order of the measures."""
    lines = []
    for measure, better in BETTER.items():
        if measure in figures:
            most = 1.0 if better == HIGHER else np.inf
            interval = to_interval(figures[measure], confidence, (-np.inf, most))
            lines.append({"candidate": name, "measure": measure, **interval._asdict(), "better": better})
    return lines


def _table(pandas: Any, lines: list[dict[str, Any]], measures: Measures, confidence: float) -> pd.DataFrame:
    table = pandas.DataFrame(lines, columns=["candidate", "measure", "value", "low", "high", "better"])
    table.attrs = {
        "resolution": measures.resolution,
        "confidence": float(confidence),
        "n_resamples": len(measures.resamples.counts) - 1,
    }
    for name, part in (("train", measures.held.train), ("test", measures.held.test)):
        table.attrs |= {f"n_{name}": len(part.groups), f"n_{name}_texts": number_texts(part.groups)[1]}
    return table
