"""How surprising counts are: of rows as a ranking, of texts as a test that many comparisons survive."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.stats import false_discovery_control, hypergeom

from .._base.likelihood_ratio import log_likelihood_ratio

# What a q-value may be at most for a label to count as enriched.
SIGNIFICANT = 0.05


class GroupTest(NamedTuple):
    """What `group_test` finds, for K regions and L labels."""

    groups: np.ndarray  # (K, L) int64, groups with the label that reach the region
    reached: np.ndarray  # (K,) int64, groups that reach it
    p_value: np.ndarray  # (K, L)
    q_value: np.ndarray  # (K, L)


def association(count: np.ndarray) -> dict[str, np.ndarray]:
    """What a table of counts (K, L) says: the columns of `top_concepts`, each of shape (K, L)."""
    total = count.sum()
    size = np.broadcast_to(count.sum(1, keepdims=True), count.shape)
    frequency = np.broadcast_to(count.sum(0, keepdims=True), count.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        share, base_rate = count / size, frequency / total
        lift = share / base_rate
    llr = log_likelihood_ratio(count, size, frequency, total)
    return {"count": count, "size": size, "share": share, "base_rate": base_rate, "lift": lift, "llr": llr}


def group_test(regions: np.ndarray, codes: np.ndarray, groups: np.ndarray, n_regions: int, n_labels: int) -> GroupTest:
    """Whether groups with a label reach a region more often than others do; `concept_enrichment` says what is tested.

    Parameters
    ----------
    regions, codes, groups : ndarray of int of shape (n,)
        The rows' regions, labels (-1 where there is none: such rows are left out) and groups.
    n_regions, n_labels : int
    """
    known = np.flatnonzero(codes >= 0)
    _, group = np.unique(groups[known], return_inverse=True)
    spoken = known[_speaking_rows(group, codes[known])]
    group = group if len(spoken) == len(known) else np.arange(len(spoken))
    reaches, has = (_incidence(group, of[spoken], width) for of, width in ((regions, n_regions), (codes, n_labels)))
    both = (reaches.T @ has).toarray()
    reached, labeled = (np.asarray(table.sum(0)).ravel() for table in (reaches, has))
    p_value = np.ones(both.shape)
    some = both > 0
    region, label = np.nonzero(some)
    p_value[some] = hypergeom.sf(both[some] - 1, reaches.shape[0], labeled[label], reached[region])
    # Rounding may take a probability a little past 1.
    p_value = np.minimum(p_value, 1)
    q_value = np.ones(both.shape)
    if reached.any():
        q_value[reached > 0] = false_discovery_control(p_value[reached > 0].ravel()).reshape(-1, n_labels)
    return GroupTest(both, reached, p_value, q_value)


def _speaking_rows(group: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The rows that speak for the groups (0, 1, ...): all, or one of each where labels differ inside a group.

    A long text would have more labels and reach more regions than a short one, and so seem to tie each to each. The
    row is drawn, always the same.
    """
    some_label = np.empty(int(group.max(initial=-1)) + 1, dtype=codes.dtype)
    some_label[group] = codes
    if (some_label[group] == codes).all():
        return np.arange(len(group))
    drawn = np.random.RandomState(0).permutation(len(group))
    return drawn[np.unique(group[drawn], return_index=True)[1]]


def _incidence(group: np.ndarray, of: np.ndarray, width: int) -> sparse.csr_array:
    """Which group has a row of which region or label, (G, width) of 0 and 1."""
    n_groups = int(group.max(initial=-1)) + 1
    pairs = np.unique(group.astype(np.int64) * width + of)
    place = np.divmod(pairs, width)
    return sparse.csr_array((np.ones(len(pairs), dtype=np.int64), place), shape=(n_groups, width))
