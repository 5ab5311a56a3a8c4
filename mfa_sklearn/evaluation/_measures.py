"""The measures of an evaluation, of one candidate after the other on the same held-out rows and the same resamples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..interpret._inputs import numbered
from ._agreement import Contingency
from ._candidate import pieces
from ._charts import foretold_terms, place, variance_terms
from ._detection import best_columns, nearest_concepts, over_concepts, scored
from ._labeled_texts import averages, concept_means, greatest, labeled_texts
from ._losses import ABLATIONS, ORIGINAL, ReconstructionLoss
from ._probing import correlated_columns, probe_scores
from ._resampling import Resamples

if TYPE_CHECKING:
    from ._candidate import Candidate
    from ._held_out import HeldOut
    from ._labeled_texts import LabeledTexts

HIGHER, LOWER, NEITHER = "higher", "lower", ""
N_HARD = 3
PROBED = (1, 2, 5)
# What is better, in the order of the table. All that are better higher are at most 1.
BETTER = {
    "NMI": HIGHER,
    "AMI": HIGHER,
    "detection AUROC": HIGHER,
    "detection AUROC, hard negatives": HIGHER,
    **{f"probing AUROC, {count} column{'s' * (count > 1)}": HIGHER for count in PROBED},
    "reconstruction R2": HIGHER,
    "target R2 by region": HIGHER,
    "target R2 by region and coordinates": HIGHER,
    "bits per row": LOWER,
    "seeds AMI": HIGHER,
    "seeds ARI": HIGHER,
    "halves AMI": HIGHER,
    "halves ARI": HIGHER,
    "cross-entropy": LOWER,
    "KL divergence": LOWER,
    **{f"loss recovered of {ablation} ablation": HIGHER for ablation in ABLATIONS},
    "regions": NEITHER,
    "active numbers": NEITHER,
    "stored numbers": NEITHER,
}
# What a language model without a candidate is called in the table.
REFERENCES = {ORIGINAL: "(model as it is)", **{name: f"({name} ablation)" for name in ABLATIONS}}


class Measures:
    """What is the same for all candidates, and each of them measured by it.

    Parameters
    ----------
    held : HeldOut
        With labels where there are any.
    resamples : Resamples
        Of the held-out rows.
    target : pair of ndarray, or None
        Of the training rows and of the held-out rows.
    resolution : float
    """

    def __init__(
        self, held: HeldOut, resamples: Resamples, target: tuple[np.ndarray, np.ndarray] | None, resolution: float
    ) -> None:
        self.held = held
        self.resamples = resamples
        self.target = target
        self.resolution = resolution

    def of(self, candidate: Candidate) -> Iterator[tuple[str, np.ndarray]]:
        """Names, and figures of which the first is the one and the others are those of resamples."""
        if self.held.train.labels is not None:
            yield from self._agreement(candidate)
            yield from self._detection(candidate)
            yield from self._probing(candidate)
        yield from self._charts(candidate)
        yield from _sizes(candidate)

    @cached_property
    def _texts(self) -> tuple[LabeledTexts, LabeledTexts]:
        return labeled_texts(self.held.train, self.held.test)[:2]

    @cached_property
    def _near(self) -> np.ndarray:
        return nearest_concepts(concept_means(self.held.train.X, self._texts[0]), N_HARD)

    @cached_property
    def _weights(self) -> np.ndarray:
        """How often each labeled text counts, (1 + n_resamples, n_texts)."""
        return self.resamples.counts[:, self._texts[1].numbers]

    @cached_property
    def _label_codes(self) -> np.ndarray:
        """Numbers of the held-out rows' labels; -1 where there is none."""
        return numbered("labels", self.held.test.labels, "evaluate", missing=True)[0]

    def _agreement(self, candidate: Candidate) -> Iterator[tuple[str, np.ndarray]]:
        regions = candidate.regions(self.held.test.X)
        if regions is None:
            return
        rows = np.flatnonzero(self._label_codes >= 0)
        of_rows = Resamples(self.resamples.texts[rows], self.resamples.counts)
        table = Contingency(regions[rows], self._label_codes[rows], of_rows)
        yield "NMI", table.nmi()
        yield "AMI", table.ami()

    def _detection(self, candidate: Candidate) -> Iterator[tuple[str, np.ndarray]]:
        learned, tried = self._texts
        scores = greatest(candidate.detectors, self.held.train.X, learned)
        if scores is None:
            return
        columns = best_columns(scores, learned.present)
        asked = greatest(candidate.detectors, self.held.test.X, tried)
        assert asked is not None
        for name, near in (("detection AUROC", None), ("detection AUROC, hard negatives", self._near)):
            yield name, over_concepts(scored(asked[:, columns], tried.present, self._weights, near))

    def _probing(self, candidate: Candidate) -> Iterator[tuple[str, np.ndarray]]:
        learned, tried = self._texts
        codes = averages(candidate.codes, self.held.train.X, learned)
        if codes is None:
            return
        columns = correlated_columns(codes, learned.present, max(PROBED))
        asked = averages(candidate.codes, self.held.test.X, tried)
        for count, scores in probe_scores(codes, asked, learned.present, columns, PROBED).items():
            name = f"probing AUROC, {count} column{'s' * (count > 1)}"
            yield name, over_concepts(scored(scores, tried.present, self._weights))

    def _charts(self, candidate: Candidate) -> Iterator[tuple[str, np.ndarray]]:
        test = self.held.test.X
        reconstructed = candidate.reconstruct(test)
        if reconstructed is not None:
            yield "reconstruction R2", self._share(variance_terms(test, reconstructed))
        if self.target is not None:
            places = place(candidate, self.held.train.X), place(candidate, test)
            (train, asked), groups = self.target, self.held.train.groups
            for name, terms in foretold_terms(places[0], train, places[1], asked, groups=groups).items():
                yield f"target R2 by {name}", self._share(terms)
        bits = candidate.bits(test, self.resolution)
        if bits is not None:
            total, rows = self.resamples.sums(np.stack([bits, np.ones(len(bits))], axis=1)).T
            yield "bits per row", total / rows

    def _share(self, terms: np.ndarray) -> np.ndarray:
        """A share of variance of terms (n, 2) in every resample; NaN where rows do not vary."""
        missed, whole = self.resamples.sums(terms).T
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(whole > 0, 1 - missed / whole, np.nan)


def _sizes(candidate: Candidate) -> Iterator[tuple[str, np.ndarray]]:
    sizes = candidate.sizes
    named = {"regions": sizes.regions, "active numbers": sizes.active, "stored numbers": sizes.parameters}
    for name, size in named.items():
        if size is not None:
            yield name, np.array([float(size)])


def loss_measures(loss: ReconstructionLoss, name: str, counts: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What a language model loses with one candidate's reconstructions, or with an ablation, in every resample.

    Parameters
    ----------
    loss : ReconstructionLoss
    name : str
        One of its names.
    counts : ndarray of shape (1 + n_resamples, n_texts)
        How often each text counts.
    """

    def found(measure: str) -> np.ndarray:
        return np.array([loss.measure(name, measure, weights) for weights in counts])

    yield "cross-entropy", found("cross_entropy")
    if name != ORIGINAL:
        yield "KL divergence", found("kl")
    if name not in (ORIGINAL, *ABLATIONS):
        for ablation in ABLATIONS:
            yield f"loss recovered of {ablation} ablation", found(f"recovered_{ablation}")


def in_order(measures: Iterable[str]) -> list[str]:
    """Names of measures, each once, in the order of the table; those that are none of it stay at the end.

    >>> in_order(["regions", "mine", "AMI", "AMI"])
    ['AMI', 'regions', 'mine']
    """
    known = list(BETTER)
    return sorted(dict.fromkeys(measures), key=lambda name: known.index(name) if name in BETTER else len(known))


def usual_resolution(X: Any) -> float:
    """A hundredth of the features' standard deviation, of which the root mean square is taken."""
    n_rows, total, square = 0, np.zeros(1), np.zeros(1)
    for part in pieces(X):
        rows = np.asarray(part, dtype=np.float64)
        n_rows, total, square = n_rows + len(rows), total + rows.sum(0), square + np.square(rows).sum(0)
    variance = np.maximum(square / n_rows - np.square(total / n_rows), 0).mean()
    if not variance > 0:
        raise ValueError(
            "the training rows are all alike, so there is no spread to take a resolution of: give rows that differ, or "
            "resolution=, in units of the features"
        )
    return float(np.sqrt(variance) / 100)
