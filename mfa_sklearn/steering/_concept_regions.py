"""A concept as a mixture sees it, from labeled rows: the regions it lives in, and where it lies within each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._base.checks import check_choice
from .._base.mapped import read_rows
from ..interpret._association import association
from ..interpret._concepts import ConceptCounts
from ..interpret._inputs import as_rows, check_mixture, numbered, required_fact
from ..interpret._scan import Chunk, scan

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..activations import ActivationStore, StoredActivations
    from ..mixture import MFA

_WEIGHTS = ("ratio", "share", "purity")
_BLOCK = 1 << 14


def concept_regions(
    mfa: MFA,
    X: ArrayLike | ActivationStore | StoredActivations,
    labels: ArrayLike | None = None,
    *,
    weights: str = "ratio",
    counts: str = "hard",
) -> dict[Any, dict[int, float]]:
    """For every label, the regions that over-represent it, with weights.

    Parameters
    ----------
    mfa : fitted MFA
    X : ActivationArray, activation store or array-like, of shape (n, n_features)
    labels : array-like of shape (n,), optional
        A label per row; by default those that the activations carry. Rows without one are not counted.
    weights : {"ratio", "share", "purity"}, default="ratio"
        What the weights are: "ratio" gives the region's part in what sets the label apart, its log-likelihood ratio
        (as `interpret.top_concepts` has it) among those of all regions of the label, for `region_direction`; "share"
        gives ``p(region | concept)``, the part of the label's rows that are of the region, with which the direction is
        a difference of means; "purity" gives ``p(concept | region)``, the part of the region's rows that have the
        label, for `Gate`, which asks how much of the concept a row there is.
    counts : {"hard", "soft"}, default="hard"
        A row counts for its most probable component, or for every component by its posterior.

    Returns
    -------
    dict of label to dict of region to float
        Weights in (0, 1], largest first. Only regions in which the label is more frequent than among all rows; a label
        that no region over-represents has none, and is left out.

    Raises
    ------
    ValueError
        If there are no labels, or not one per row, if an argument is out of range, or if the activations are known to
        be of another model, layer, site or pooling than those the mixture was fitted on.

    See Also
    --------
    mfa_sklearn.interpret.concept_components : The one region that over-represents a label most.
    region_direction, Gate : What takes such weights.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.steering import concept_regions
    >>> X = np.random.default_rng(0).normal([[0.0, 0], [9, 9]], 1, size=(20, 2, 2)).reshape(-1, 2)
    >>> mfa = MFA(2, 1, init=np.array([[0.0, 0], [9, 9]]), max_iter=0).fit(X)
    >>> concept_regions(mfa, X, ["river", "money"] * 20)
    {'money': {1: 1.0}, 'river': {0: 1.0}}
    """
    check_choice("weights", weights, _WEIGHTS)
    check_mixture(mfa)
    rows = as_rows(X, mfa)
    counted = ConceptCounts(mfa, rows, labels, counts, "concept_regions")
    scan(mfa, rows, counted)
    facts = association(counted.count)
    over = np.maximum(facts["llr"], 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = {
            "purity": facts["share"],
            "share": counted.count / counted.count.sum(0),
            "ratio": over / over.sum(0),
        }
    found = {}
    for code, label in enumerate(counted.labels.tolist()):
        own, regions = shares[weights][:, code], np.flatnonzero(over[:, code])
        if len(regions):
            found[label] = {int(k): float(own[k]) for k in regions[np.argsort(-own[regions], kind="stable")]}
    return found


def concept_scores(
    mfa: MFA, X: ArrayLike | ActivationStore | StoredActivations, labels: ArrayLike | None = None
) -> dict[Any, np.ndarray]:
    """For every label, where its rows lie within each region: ``E[z | k, concept]``.

    The factors' posterior means, averaged over the label's rows with the rows' responsibilities, ::

        sum_i p(k | x_i) E[z | x_i, k] / sum_i p(k | x_i)

    Parameters
    ----------
    mfa, X, labels
        As of `concept_regions`.

    Returns
    -------
    dict of label to ndarray (K, q)
        In standard deviations of each region; 0 for regions that none of the label's rows is of.

    Raises
    ------
    ValueError
        As of `concept_regions`.

    See Also
    --------
    region_direction : A direction to such places in regions.

    Examples
    --------
    >>> import numpy as np
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.steering import concept_scores
    >>> mfa = MFA.from_params([1.0], [[0.0, 0.0]], [[[3.0], [0.0]]], [1.0, 1.0])
    >>> concept_scores(mfa, np.array([[10.0, 0.0], [20.0, 0.0], [0.0, 5.0]]), ["far", "far", "near"])
    {'far': array([[4.5]]), 'near': array([[0.]])}
    """
    n_components = check_mixture(mfa)
    rows = as_rows(X, mfa)
    codes, names = numbered(
        "labels", required_fact(rows, "labels", labels, "concept_scores"), "concept_scores", sort=True, missing=True
    )
    if not len(names):
        raise ValueError(f"labels has no label: all {len(codes)} entries are missing")
    pairs = _Pairs(codes >= 0)
    scan(mfa, rows, pairs)
    scores = np.zeros((len(names), n_components, np.asarray(mfa.loadings_).shape[2]))
    for component, (members, weights) in enumerate(pairs.by_component(n_components)):
        scores[:, component] = _averages(mfa, rows, component, members, weights, codes, len(names))
    return dict(zip(names.tolist(), scores, strict=True))


class _Pairs:
    """Accumulates the rows that have a label, and the components they may belong to."""

    dense = False

    def __init__(self, is_known: np.ndarray) -> None:
        self._is_known = is_known
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def update(self, chunk: Chunk) -> None:
        rows, components, posterior, _ = chunk.pairs
        known = self._is_known[rows]
        self._found.append((rows[known], components[known], posterior[known]))

    def by_component(self, n_components: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each component the rows, ascending, and their posteriors."""
        rows, components, posterior = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        order = np.argsort(components, kind="stable")
        edges = np.searchsorted(components[order], np.arange(1, n_components))
        return list(zip(np.split(rows[order], edges), np.split(posterior[order], edges), strict=True))


def _averages(
    mfa: MFA, X: Any, component: int, members: np.ndarray, weights: np.ndarray, codes: np.ndarray, n_labels: int
) -> np.ndarray:
    """Mean scores (L, q) of the rows of each label that are of a component."""
    total, mass = np.zeros((n_labels, np.asarray(mfa.loadings_).shape[2])), np.zeros(n_labels)
    for start in range(0, len(members), _BLOCK):
        some, share = members[start : start + _BLOCK], weights[start : start + _BLOCK]
        scores = mfa.posterior_mean(read_rows(X, some, torch.device("cpu")), component)
        np.add.at(total, codes[some], share[:, None] * scores)
        np.add.at(mass, codes[some], share)
    return total / np.where(mass > 0, mass, 1)[:, None]
