"""Which labels a component over-represents, and which component a label belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import check_choice, check_count, import_optional
from ._association import SIGNIFICANT, GroupTest, association, group_test
from ._inputs import as_rows, check_mixture, numbered, required_fact, row_groups, selected_components
from ._scan import Chunk, scan

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from ..activations import ActivationStore, StoredActivations
    from ..mixture import MFA

COUNTS = ("hard", "soft")


def top_concepts(
    mfa: MFA,
    activations: ArrayLike | ActivationStore | StoredActivations,
    labels: ArrayLike | None = None,
    *,
    n_concepts: int | None = 5,
    components: int | Sequence[int] | None = None,
    counts: str = "hard",
    groups: ArrayLike | None = None,
) -> pd.DataFrame:
    """The labels that each component over-represents, and whether by more than chance.

    Parameters
    ----------
    mfa : fitted MFA
    activations : ActivationArray, activation store or array-like, of shape (n, n_features)
    labels : array-like of shape (n,), optional
        A label per row, of any type; by default those that the activations carry. Rows whose label is missing (None,
        NaN, NaT, `pandas.NA`, masked, or a blank string) are not counted.
    n_concepts : int, default=5
        Most labels per component; None for all it over-represents.
    components : int or array-like of int, optional
        Which components to list; by default all.
    counts : {"hard", "soft"}, default="hard"
        A row counts for its most probable component, or for every component by its posterior.
    groups : array-like of shape (n,), optional
        Rows that are alike for other reasons than their component, such as those of one text: one number or name per
        row. By default the texts that the activations know, and every row for itself where they know none.

    Returns
    -------
    DataFrame
        Sorted by component and rank, with the columns

        * component, rank (from 1, by `llr`), label;
        * count: rows of the component with this label, and size: rows of the component;
        * share: ``count / size``; base_rate: the label's share of all rows; lift: ``share / base_rate``;
        * llr: how surprising the count is, see Notes;
        * groups: groups with the label that reach the component, and reached: groups that reach it;
        * p_value, q_value: whether that is more than chance, see Notes.

    Raises
    ------
    ValueError
        If there are no labels, or not one per row, if an argument is out of range, or if the activations are known to
        be of another model, layer, site or pooling than those the mixture was fitted on.

    Notes
    -----
    `llr` is the log-likelihood ratio of the 2 x 2 table of (in the component or not) x (has the label or not), ::

        G^2 = 2 sum_ij O_ij log(O_ij / E_ij),    E_ij = row sum i * column sum j / n

    (Dunning, "Accurate methods for the statistics of surprise and coincidence", Computational Linguistics 19, 1993),
    negative where the label is rarer than expected. Unlike the lift it is small for a component of one row, and unlike
    a chi-squared it can be trusted at small counts. Rows of one text are not independent, so read it as a ranking, not
    as a p-value.

    The test counts groups (texts) instead of rows. A group reaches a component if that is the most probable one of any
    of its labeled rows, whatever `counts` is; where labels differ inside a group, one row speaks for each. `p_value` is
    the probability that at least as many groups would have both if labels were dealt out to groups at random
    (`concept_enrichment`, which makes the same test for any other regions, says more). `q_value` is the
    Benjamini-Hochberg adjusted p-value over all labels and all components that a group reaches, whichever are listed:
    of the lines with ``q_value <= 0.05``, 5 % are expected to be there by chance.

    See Also
    --------
    concept_enrichment : The same table for regions of any kind, every pair of a region and a label.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, top_concepts
    >>> X = np.random.default_rng(0).normal([[0.0, 0], [9, 9]], 1, size=(20, 2, 2)).reshape(-1, 2)
    >>> mfa = MFA(2, 1, init=np.array([[0.0, 0], [9, 9]]), max_iter=0).fit(X)
    >>> table = top_concepts(mfa, X, ["river", "money"] * 20)
    >>> table[["component", "label", "count", "size", "lift"]]
       component  label  count  size  lift
    0          0  river     20    20   2.0
    1          1  money     20    20   2.0
    """
    most = None if n_concepts is None else check_count("n_concepts", n_concepts)
    check_mixture(mfa)
    X = as_rows(activations, mfa)
    counted = ConceptCounts(mfa, X, labels, counts, groups=groups)
    chosen = selected_components(components, counted.n_components)
    scan(mfa, X, counted)
    return counted.by_component(chosen, most)


def concept_components(
    mfa: MFA,
    activations: ArrayLike | ActivationStore | StoredActivations,
    labels: ArrayLike | None = None,
    *,
    counts: str = "hard",
    groups: ArrayLike | None = None,
) -> pd.DataFrame:
    """For every label, the component that over-represents it most.

    Parameters
    ----------
    mfa, activations, labels, counts, groups
        As for `top_concepts`.

    Returns
    -------
    DataFrame
        Indexed by label, in the labels' order, with the columns component, count, size, share, base_rate, lift, llr,
        groups, reached, p_value and q_value of `top_concepts`. The component is the one with the largest `llr`: many
        rows, most of them of the label. Labels that no component over-represents are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.interpret import concept_components
    >>> X = np.random.default_rng(0).normal([[0.0, 0], [9, 9]], 1, size=(20, 2, 2)).reshape(-1, 2)
    >>> mfa = MFA(2, 1, init=np.array([[0.0, 0], [9, 9]]), max_iter=0).fit(X)
    >>> concept_components(mfa, X, ["river", "money"] * 20)["component"].to_dict()
    {'money': 1, 'river': 0}
    """
    check_mixture(mfa)
    X = as_rows(activations, mfa)
    counted = ConceptCounts(mfa, X, labels, counts, "concept_components", groups)
    scan(mfa, X, counted)
    return counted.by_concept()


class ConceptCounts:
    """Accumulates how many rows of each label each component has; see `top_concepts` for the parameters.

    `asker` is the function that messages name.
    """

    dense = False

    def __init__(
        self,
        mfa: MFA,
        activations: Any,
        labels: ArrayLike | None = None,
        counts: str = "hard",
        asker: str = "top_concepts",
        groups: ArrayLike | None = None,
    ) -> None:
        self.n_components = check_mixture(mfa)
        check_choice("counts", counts, COUNTS)
        values = required_fact(activations, "labels", labels, asker)
        self._codes, self.labels = numbered("labels", values, asker, sort=True, missing=True)
        if not len(self.labels):
            raise ValueError(f"labels has no label: all {len(values)} entries are missing")
        self._activations, self._asker = activations, asker
        self._groups = None if groups is None else row_groups(activations, groups, asker)
        self._soft = counts == "soft"
        self._assigned = np.empty(len(values), dtype=np.int64)
        self.count = np.zeros((self.n_components, len(self.labels)))

    def update(self, chunk: Chunk) -> None:
        """Take in a chunk of rows."""
        self._assigned[chunk.rows] = chunk.assigned
        if self._soft:
            rows, components, weights, _ = chunk.pairs
            codes = self._codes[rows]
        else:
            components, codes, weights = chunk.assigned, self._codes[chunk.rows], np.ones(len(chunk.assigned))
        known = codes >= 0
        flat = components[known] * len(self.labels) + codes[known]
        self.count += np.bincount(flat, weights[known], self.count.size).reshape(self.count.shape)

    @cached_property
    def tested(self) -> GroupTest:
        """The test of all components and labels, after all rows are in; only here texts are asked for."""
        groups = row_groups(self._activations, self._groups, self._asker)
        return group_test(self._assigned, self._codes, groups, *self.count.shape)

    @property
    def n_enriched(self) -> np.ndarray:
        """How many labels are enriched in each component, (K,)."""
        return (self.tested.q_value <= SIGNIFICANT).sum(1)

    @property
    def purity(self) -> np.ndarray:
        """The largest share of one label among each component's labeled rows, (K,); NaN without such rows."""
        return association(self.count)["share"].max(1)

    def by_component(self, components: np.ndarray, n_concepts: int | None) -> pd.DataFrame:
        """The table that `top_concepts` returns."""
        llr = association(self.count)["llr"][components]
        order = np.argsort(-llr, axis=1, kind="stable")[:, :n_concepts]
        place, rank = np.nonzero(np.take_along_axis(llr, order, axis=1) > 0)
        lines = self._lines(components[place], order[place, rank])
        lines.insert(1, "rank", rank + 1)
        return lines

    def by_concept(self) -> pd.DataFrame:
        """The table that `concept_components` returns."""
        llr = association(self.count)["llr"]
        best = llr.argmax(0)
        codes = np.flatnonzero(llr[best, np.arange(len(best))] > 0)
        return self._lines(best[codes], codes).set_index("label")

    def _lines(self, components: np.ndarray, codes: np.ndarray) -> pd.DataFrame:
        table = lines_of(self.count, self.tested, components, codes)
        table.insert(0, "label", self.labels[codes])
        table.insert(0, "component", components)
        return table if self._soft else table.astype({"count": int, "size": int})


def lines_of(count: np.ndarray, tested: GroupTest, regions: np.ndarray, codes: np.ndarray) -> pd.DataFrame:
    """What is known of pairs of a region and a label, a line each."""
    facts = {name: field[regions, codes] for name, field in association(count).items()}
    facts |= {"groups": tested.groups[regions, codes], "reached": tested.reached[regions]}
    facts |= {"p_value": tested.p_value[regions, codes], "q_value": tested.q_value[regions, codes]}
    return import_optional("pandas", "top_concepts").DataFrame(facts)
