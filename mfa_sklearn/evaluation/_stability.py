"""Whether another seed, or other texts, would give the same regions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from .._base.checks import check_count
from ._agreement import Contingency
from ._candidates import as_candidate
from ._held_out import hold_out, split_texts, taken
from ._resampling import Resamples, check_confidence, draw_texts, to_interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._candidate import Rows
    from ._held_out import HeldOut
    from ._resampling import Interval


def stability(
    estimator: Any,
    X: Rows,
    groups: ArrayLike | None = None,
    *,
    n_seeds: int = 2,
    test_size: float | int = 0.2,
    n_resamples: int = 200,
    confidence: float = 0.95,
    random_state: int | np.random.RandomState | None = None,
) -> dict[str, Interval]:
    """How well fits agree that differ in their seed alone, or in the texts that they saw.

    Some texts are held out. Clones of the estimator are fitted on the others with different seeds, and with one seed on
    either half of them; of each pair, the regions of the held-out rows are compared by adjusted mutual information and
    by the adjusted Rand index, which do not mind how regions are numbered. Means are over pairs of seeds.

    Parameters
    ----------
    estimator : estimator
        With `predict` and `random_state`, which may be that of a part, as in a pipeline; it is not changed. Whether it
        is fitted does not matter.
    X : array-like of shape (n_samples, n_features)
        Held in memory.
    groups : array-like of shape (n_samples,), optional
        The text of each row; by default that of activations, or else each row is one of its own.
    n_seeds : int, default=2
        How many seeds to compare; with 1, halves alone are.
    test_size : float or int, default=0.2
        Share or number of texts to hold out.
    n_resamples, confidence
        As for `bootstrap_interval`, over held-out texts.
    random_state : int, RandomState or None, default=None
        Of the seeds, the split and the resamples.

    Returns
    -------
    dict of str to Interval
        "seeds AMI" and "seeds ARI" (where the estimator has a seed and there are two of them), "halves AMI" and
        "halves ARI"; 1 is the same regions, 0 what unrelated ones have by chance. Each with `value`, `low` and `high`;
        the interval is over texts to compare on, not over seeds.

    Raises
    ------
    TypeError
        If the estimator has no regions.
    ValueError
        If there are not four texts or so.

    References
    ----------
    Ben-Hur, Elisseeff & Guyon, "A stability based method for discovering structure in clustered data", Pac. Symp.
    Biocomput. (2002).

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_wine
    >>> from mfa_sklearn.evaluation import stability
    >>> X, _ = load_wine(return_X_y=True)
    >>> found = stability(KMeans(3), X, random_state=0)
    >>> [(name, round(interval.value, 1)) for name, interval in found.items()]
    [('seeds AMI', 1.0), ('seeds ARI', 1.0), ('halves AMI', 0.6), ('halves ARI', 0.6)]
    """
    check_count("n_seeds", n_seeds)
    check_confidence(confidence)
    if not hasattr(estimator, "predict"):
        raise TypeError(f"{estimator!r} has no predict, so it has no regions to compare")
    rng = check_random_state(random_state)
    held = hold_out(X, None, groups, test_size, rng)
    resamples = draw_texts(held.test.groups, n_resamples, rng)
    found = agreements(estimator, held, resamples, n_seeds, rng)
    if not found:
        raise TypeError(f"{estimator!r} gives no regions to compare")
    return {name: to_interval(values, confidence, bounds=(-np.inf, 1)) for name, values in found.items()}


def agreements(
    estimator: Any,
    held: HeldOut,
    resamples: Resamples,
    n_seeds: int,
    rng: np.random.RandomState,
    first: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """What `stability` gives, in each resample of the held-out texts, (1 + n_resamples,).

    Parameters
    ----------
    estimator : estimator
    held : HeldOut
    resamples : Resamples
        Of the held-out rows.
    n_seeds : int
    rng : RandomState
    first : ndarray of shape (n_test,), optional
        Regions that a fit on all training rows gave, which is one of the seeds then.
    """
    seeds = rng.randint(2**31 - 1, size=n_seeds)
    halves = split_texts(held.train.groups, 0.5, rng)
    found = [_regions(estimator, taken(held.train.X, rows), held.test.X, seeds[0]) for rows in halves]
    if any(regions is None for regions in found):
        return {}
    pairs = {"halves": found}
    if n_seeds > 1 and _seeds_of(estimator):
        known = [] if first is None else [first]
        rest = [_regions(estimator, held.train.X, held.test.X, seed) for seed in seeds[len(known) :]]
        pairs = {"seeds": known + rest, **pairs}
    return {
        f"{name} {measure}": values
        for name, several in pairs.items()
        for measure, values in _compared(several, resamples).items()
    }


def _compared(regions: Sequence[np.ndarray], resamples: Resamples) -> dict[str, np.ndarray]:
    """Means over all pairs, (1 + n_resamples,)."""
    tables = [Contingency(*pair, resamples) for pair in combinations(regions, 2)]
    return {
        "AMI": np.mean([table.ami() for table in tables], axis=0),
        "ARI": np.mean([table.ari() for table in tables], axis=0),
    }


def _regions(estimator: Any, train: Rows, test: Rows, seed: int) -> Any:
    """Regions of the test rows by a clone with that seed, fitted on the training rows."""
    fresh = clone(estimator)
    fresh.set_params(**dict.fromkeys(_seeds_of(fresh), int(seed)))
    return as_candidate(fresh.fit(train), train).regions(test)


def _seeds_of(estimator: Any) -> list[str]:
    """The parameters that are seeds, of the estimator and its parts."""
    return [name for name in estimator.get_params() if name.rpartition("__")[2] == "random_state"]
