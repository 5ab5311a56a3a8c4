"""What an atlas tells of each region, put into its data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._base.words import visible
from ..interpret._association import SIGNIFICANT
from ..interpret._text import label_text
from ._axis_ends import Ends
from ._effects import Effect, Effects
from ._figures import Figures
from ._gathered import Gathered, Shown
from ._region_charts import histogram, scatter
from ._schema import Concept, Context, End, Histogram, Region, Scatter, Token
from ._strings import Strings

# Tokens that stand for a region.
_N_LABEL = 3
# The share of a region's labeled rows that a concept has at least if it is to stand for the region.
LEAST_SHARE = 0.2


class Teller:
    """Tells of the regions of a mixture, one after the other.

    Parameters
    ----------
    gathered : Gathered
    figures : Figures
    effect, effects
        Of steering, if a model is known.
    """

    def __init__(
        self, gathered: Gathered, figures: Figures, effect: Effect | None = None, effects: Effects | None = None
    ) -> None:
        self._g, self._figures, self._effect, self._effects = gathered, figures, effect, effects
        self._ends, self.strings = Ends(gathered), Strings()
        self._lines = None
        if gathered.counted is not None:
            every = np.arange(gathered.n_components)
            self._lines = gathered.counted.by_component(every, gathered.options.n_concepts)
        self._codes = {label: number for number, label in enumerate(gathered.concepts)}
        codes = gathered.concept_codes
        self._labeled = 0.0 if codes is None else float(np.mean(codes >= 0))

    def region(self, k: int) -> Region:
        """All of one region."""
        g, figures = self._g, self._figures
        tokens, concepts = self._tokens(k), self._concept_list(k)
        steering = None
        if self._effect is not None and self._effects is not None:
            steering = self._effect.described(self._effects, k, self.strings)
        return Region(
            component=k,
            label=self._label(k, tokens),
            size=int(g.sizes[k]),
            concept=leading_concept(concepts, self._labeled * g.sizes[k]),
            tokens=tokens,
            concepts=concepts,
            neighbors=figures.neighbors(k),
            contexts=[self._context(shown, density) for shown, density in g.contexts_of(k)],
            typical=[int(row) for row in g.typical(k)],
            outlying=[int(row) for row in g.outlying(k)],
            histogram=self._histogram(k),
            scatter=self._scatter(k),
            ends=self._end_list(k),
            steering=steering,
            **figures.of(k),  # type: ignore[typeddict-item]
        )

    def _label(self, k: int, tokens: list[Token]) -> str:
        found = [label_text(self.strings.found[token["token"]]) for token in tokens[:_N_LABEL]]
        return " · ".join(found or self._ends.columns(k)) or f"region {k}"

    def _tokens(self, k: int) -> list[Token]:
        g = self._g
        if g.top_tokens is None or g.token_codes is None or g.token_totals is None:
            return []
        lines, size = g.tokens_of(k), int(g.sizes[k])
        totals = g.token_totals[g.token_codes[lines["row"]]]
        return [
            Token(
                token=self.strings.number(token),
                count=int(count),
                total=int(total),
                lift=round(float(count * g.n_rows / (max(1, size) * total)), 2),
                llr=round(float(score), 2),
            )
            for token, count, total, score in zip(lines["token"], lines["count"], totals, lines["score"], strict=True)
        ]

    def _concept_list(self, k: int) -> list[Concept]:
        if self._lines is None:
            return []
        start, stop = np.searchsorted(self._lines["component"], [k, k + 1])
        lines = self._lines.iloc[start:stop]
        q_values = lines["q_value"] if "q_value" in lines else [None] * len(lines)
        columns = zip(lines["label"], lines["count"], lines["share"], lines["lift"], q_values, strict=True)
        return [
            Concept(
                concept=self._codes[label],
                count=int(count),
                share=round(float(share), 4),
                lift=round(float(lift), 2),
                q_value=None if q is None or not np.isfinite(q) else float(f"{q:.3g}"),
            )
            for label, count, share, lift, q in columns
        ]

    def _context(self, shown: Shown, log_density: np.ndarray) -> Context:
        g, window = self._g, shown.window
        is_row = window.rows >= 0
        rows, k = window.rows[is_row], shown.component
        posterior = np.exp(np.minimum(log_density + g.log_weights[k] - g.log_prob[rows], 0))
        responsibility, score = np.full((2, len(window.rows)), -1)
        responsibility[is_row] = np.rint(100 * posterior)
        score[is_row] = np.rint(g.ordered.score(k, log_density))
        concept = -1 if g.concept_codes is None else int(g.concept_codes[window.row])
        return Context(
            kinds=list(shown.kinds),  # type: ignore[arg-type]
            row=int(window.row),
            text=None if g.texts.index is None else int(g.texts.index[window.row]),
            concept=None if concept < 0 else concept,
            log_density=round(float(g.own.log_density[window.row]), 2),
            at=window.at,
            tokens=self.strings.numbers(window.pieces),
            responsibility=responsibility.tolist(),
            score=score.tolist(),
        )

    def _histogram(self, k: int) -> Histogram | None:
        return histogram(self._g.ordered.log_density(k), self._g.others.of(k))

    def _scatter(self, k: int) -> Scatter | None:
        g, rows = self._g, self._g.points[k]
        found = scatter(rows, g.places[rows], g.axes.shares[k])
        if found is not None and g.tokens is not None:
            found["token"] = self.strings.numbers(g.tokens[rows])
        if found is not None and g.concept_codes is not None:
            found["concept"] = g.concept_codes[rows].tolist()
        return found

    def _end_list(self, k: int) -> list[End]:
        numbers = self.strings.numbers
        return [
            End(axis=axis, share=round(share, 4), low=numbers(low), high=numbers(high))
            for axis, share, low, high in self._ends.of(k)
        ]

    @property
    def concepts(self) -> list[str]:
        """The names of all labels."""
        return [visible(label) for label in self._g.concepts]


def leading_concept(concepts: Sequence[Concept], n_expected: float = 0) -> int | None:
    """The concept that stands for a region: of those that it over-represents, the first that says enough of it.

    A concept can be enriched beyond doubt and still be a few rows of a hundred; or of nearly all rows that are labeled,
    where these are a handful of a thousand. Such a one says little of the region.

    Parameters
    ----------
    concepts : sequence of Concept
        Of the region, the most surprising first.
    n_expected : float
        How many labeled rows a region of its size has on average.

    Examples
    --------
    >>> from mfa_sklearn.atlas._region_facts import leading_concept
    >>> few = {"concept": 7, "count": 3, "share": 0.03, "lift": 9.0, "q_value": 1e-9}
    >>> half = {"concept": 2, "count": 50, "share": 0.5, "lift": 2.0, "q_value": 1e-4}
    >>> leading_concept([few, half]), leading_concept([few])
    (2, None)
    """
    for concept in concepts:
        q_value = concept["q_value"]
        frequent = concept["share"] >= LEAST_SHARE and concept["count"] >= LEAST_SHARE * n_expected
        if frequent and q_value is not None and q_value <= SIGNIFICANT:
            return concept["concept"]
    return None
