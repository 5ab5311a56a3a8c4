"""What the heaviest components are about, as far as a sample of the rows that a fit has seen can tell."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._base.annotated import has_row_fact, row_fact
from .._base.group import ALONE, AnyGroup
from .._base.likelihood_ratio import log_likelihood_ratio
from .._base.words import repaired
from ._rows import own_numbers

# Rows that are looked at, spread evenly, so that no fit is measurably slower.
_SAMPLE = 4096
_COMPONENTS = 10
_TOKENS = 6


def over_represented_tokens(
    mfa: Any, X: Any, places: np.ndarray | None = None, group: AnyGroup = ALONE
) -> dict[int, list[str]] | None:
    """The tokens that the heaviest components have more often than the rest, most surprising first.

    Parameters
    ----------
    mfa : fitted MFA
    X : array-like of shape (n, D)
        The rows that it was fitted on.
    places : ndarray of int, optional
        Which of them count; by default all.
    group : Alone or Group
        Of the processes that have the other rows.

    Returns
    -------
    dict of int to list of str, or None
        Up to six tokens of each of the ten heaviest components, the heaviest first; None where rows carry no tokens.

    Notes
    -----
    Rows count for their most probable component; tokens are ranked by the log-likelihood ratio, as by `top_tokens`.
    """
    counts = group.numbers(X.shape[0] if places is None else len(places))
    # A process without rows need not say of which tokens these would be.
    if group.any(counts[group.rank] > 0 and not has_row_fact(X, "tokens")):
        return None
    rows = own_numbers(_spread(sum(counts)), sum(counts[: group.rank]), counts[group.rank])
    parts = group.objects(_tokens_and_components(mfa, X, rows if places is None else places[rows]))
    tokens, components = (np.concatenate(values) for values in zip(*parts, strict=True))
    names, codes = np.unique(tokens, return_inverse=True)
    heaviest = np.argsort(-mfa.weights_, kind="stable")[:_COMPONENTS]
    rank = np.full(len(mfa.weights_), -1)
    rank[heaviest] = np.arange(len(heaviest))
    of = rank[components]
    own = np.zeros((len(heaviest), len(names)))
    np.add.at(own, (of[of >= 0], codes[of >= 0]), 1)
    size, frequency = np.broadcast_arrays(own.sum(1, keepdims=True), np.bincount(codes).astype(float))
    ratios = log_likelihood_ratio(own, size, frequency, float(len(codes)))
    best = np.argsort(-ratios, axis=1, kind="stable")[:, :_TOKENS]
    return {
        k: [repaired(str(names[j])) for j in row if ratio[j] > 0]
        for k, row, ratio in zip(heaviest.tolist(), best, ratios, strict=True)
    }


def _tokens_and_components(mfa: Any, X: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The token and the most probable component of some rows."""
    if not len(rows):
        return np.empty(0, dtype=str), np.empty(0, dtype=np.int64)
    sample = X[rows]
    return np.asarray(row_fact(sample, "tokens")).astype(str), mfa.predict(sample)


def _spread(n_rows: int) -> np.ndarray:
    """Row numbers, ascending and spread evenly over so many rows."""
    return np.unique(np.linspace(0, n_rows - 1, min(_SAMPLE, n_rows)).astype(np.int64))
