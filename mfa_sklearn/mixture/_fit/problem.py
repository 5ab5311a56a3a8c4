"""What a fit works on: rows in conditioned space, where to start, and how to get back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from ..._base.checks import warn_user
from ..._base.devices import resolve_device, working_dtype
from ..._base.group import ALONE, AnyGroup
from ..._base.mapped import read_rows
from .._moments import ColumnMoments, column_moments
from .._rows import Batches, Conditioner, conditioner_for, own_numbers, reach, too_far
from .._start.start import Draws, Start, count_labels, given_centers, given_labels
from .._start.watching import Watching
from .._validation import RowWeights, check_noise_floor, check_sizes, check_weights, factor_counts
from .held_out import HeldOut, split_off

_NO_CENTERS = (
    "n_components=None takes as many components as there are centers, and no centers came with the rows: one component "
    "is fitted. Say n_components=1 if that is meant. Centers of a KMeansInitializer reach the next step of a pipeline "
    "only; put it right before the mixture, or give it as init=KMeansInitializer(n_clusters)."
)


class Problem(NamedTuple):
    """Checked and conditioned input of a fit."""

    batches: Batches
    validation: Batches | None  # rows that say when to stop
    held_out: HeldOut | None  # rows that only tell how good a fit is
    weights: RowWeights  # of the rows that are not held out so
    moments: ColumnMoments  # of these
    conditioner: Conditioner
    start: Start
    centers: np.ndarray | None  # (K, D), in the space of the data, where the start is given
    labels: np.ndarray | None  # (n,), likewise, of this process's rows
    stated: bool  # whether the user said themselves what the components are, by labels or centers
    rng: np.random.RandomState
    weight: float  # of these rows, as the user gave it
    group: AnyGroup  # of the processes whose rows these are
    n_counted: int  # rows of all processes that have a weight and are not held out

    @property
    def log_scale(self) -> float:
        """What the mean log density of the original rows is lower by."""
        return float(self.moments.observed @ self.conditioner.scale.log())

    @property
    def missing(self) -> bool:
        """Whether rows may miss values."""
        return self.moments.missing


class Known(NamedTuple):
    """What is known before a problem is posed: of one that was posed before, what need not be found again."""

    rng: np.random.RandomState  # in the state that the fit begins with, the same on all processes
    centers: np.ndarray | None = None  # that a clusterer found for it


def pose(
    estimator: Any,
    X: Any,
    rows: Any,
    sample_weight: Any,
    known: Known,
    draws: Draws | None = None,
    tell: Callable[[int], Any] | None = None,
    whole: bool = False,
    group: AnyGroup = ALONE,
) -> Problem:
    """The problem that an estimator's parameters and rows pose.

    Parameters
    ----------
    estimator : MFA
    X : array-like
        As the user gave it, with what an earlier step attached.
    rows : array-like of shape (n, D)
        The same, checked.
    sample_weight : array-like (n,), optional
    known : Known
    draws : Draws, optional
        What starts on the same rows have drawn.
    tell : callable, optional
        Told how many more rows have been gone through for the moments of the columns.
    whole : bool, default=False
        Whether no rows are held out, whatever the estimator says.
    group : Alone or Group
        Of the processes that have the other rows.
    """
    e, counted = estimator, check_weights(sample_weight, rows, group)
    device, dtype = _place(e, rows)
    rng = known.rng
    weights, held = (counted, None) if whole else split_off(e, X, rows, counted, rng, group)
    asked = e.n_components or (None if np.ndim(e.n_factors) == 0 else len(e.n_factors))
    check_sizes(sum(group.numbers(rows.shape[0])), rows.shape[1], asked or 1, int(np.max(e.n_factors, initial=0)))
    moments = _moments(rows, weights, device, tell, group)
    conditioner = conditioner_for(moments.mean, moments.variance, e.noise_form == "isotropic")
    _check_extremes(rows, weights, moments, conditioner, e.noise_floor, dtype)
    labels, centers = given_labels(e.init, rows.shape[0]), _centers(e, X, rows, asked, known, group)
    counts = group.numbers(weights.count(rows.shape[0]))
    kept, aside = _split(e, counts, rng, group)
    n_components = _n_components(asked or _going_on(e), labels, centers, group)
    ranks = _ranks(e, n_components, sum(counts if kept is None else group.numbers(len(kept))), rows.shape[1])
    parts = _Parts(e, rows, conditioner, dtype, group)
    train, watching = parts.batches(weights, kept), _watching(e, group)
    return Problem(
        batches=train,
        validation=None if aside is None else parts.batches(weights, aside),
        held_out=None if held is None else HeldOut(parts.batches(held), conditioner),
        weights=weights,
        moments=moments,
        conditioner=conditioner,
        start=Start(train, conditioner, ranks, e._structure, e.noise_floor, rng, moments.missing, draws, watching),
        centers=centers,
        labels=labels if labels is None else labels[_all_or(weights.row_numbers(kept))],
        stated=not isinstance(e.init, str) and not hasattr(e.init, "fit"),
        rng=rng,
        weight=weights.total(rows.shape[0], group),
        group=group,
        n_counted=sum(counts),
    )


class _Parts(NamedTuple):
    """Makes batches of parts of the rows."""

    estimator: Any
    rows: Any
    conditioner: Conditioner
    dtype: torch.dtype
    group: AnyGroup

    def batches(self, weights: RowWeights, part: np.ndarray | None = None) -> Batches:
        """Of the rows that count by some weights, all or by number among them."""
        size = self.estimator.batch_size if self.estimator.solver == "em" else None
        where = self.dtype, self.conditioner.center.device
        numbers = weights.row_numbers(part)
        return Batches(self.rows, self.conditioner, *where, weights.at(part), size, True, numbers, self.group)


def _centers(estimator: Any, X: Any, rows: Any, asked: int | None, known: Known, group: AnyGroup) -> np.ndarray | None:
    """Where the start is given by centers: those that are known, or what the estimator's `init` brings."""
    if known.centers is not None:
        return known.centers
    return given_centers(estimator.init, X if hasattr(X, "shape") else rows, asked, group)


def _watching(estimator: Any, group: AnyGroup) -> Watching:
    return Watching(bool(estimator.verbose) and group.first, what="MFA, k-means for the start")


def _all_or(numbers: np.ndarray | None) -> slice | np.ndarray:
    return slice(None) if numbers is None else numbers


def _place(estimator: Any, rows: Any) -> tuple[torch.device, torch.dtype]:
    """Where, and in which precision a fit computes, if that can hold the noise."""
    device, dtype = resolve_device(estimator.device), working_dtype(estimator.dtype, rows)
    check_noise_floor(estimator.noise_floor, dtype)
    return device, dtype


def _moments(
    rows: Any, weights: RowWeights, device: torch.device, tell: Callable[[int], Any] | None, group: AnyGroup
) -> ColumnMoments:
    moments = column_moments(rows, weights.values, device, weights.places, group, tell)
    empty = (moments.observed == 0).nonzero()[:, 0].tolist()
    if empty:
        raise ValueError(f"Input X contains NaN in every row of columns {empty}; drop those columns.")
    return moments


def _check_extremes(
    rows: Any, weights: RowWeights, moments: ColumnMoments, conditioner: Conditioner, floor: float, dtype: torch.dtype
) -> None:
    """Refuse rows whose squared distances would overflow: very small weights can leave them far from all others."""
    farthest = reach(torch.full_like(moments.mean, floor)[None], dtype)
    low, high = ((end - conditioner.center) / conditioner.scale for end in (moments.low, moments.high))
    distance, column = torch.maximum(-low, high).max(0)
    if distance <= farthest:
        return
    d, extreme = int(column), moments.low if -low[column] > high[column] else moments.high
    for start in range(0, rows.shape[0], 2**16):
        values = read_rows(rows, slice(start, min(start + 2**16, rows.shape[0])), moments.mean.device)[:, d].double()
        found = (values == extreme[column]).nonzero()[:, 0].tolist()
        numbers = [start + i for i in found if weights.places is None or start + i in weights.places]
        if numbers:
            raise too_far(numbers[0], d, float(distance), farthest, dtype)


def _ranks(estimator: Any, n_components: int, n_rows: int, n_features: int) -> tuple[int, ...]:
    """Factors of each component, if the rows that are fitted on can carry them."""
    ranks = factor_counts(estimator.n_factors, n_components)
    e = estimator
    validated = e.solver == "gradient" and e.early_stopping
    shares = {"held_out": e.held_out, "validation_fraction": e.validation_fraction if validated else None}
    held_out = " and ".join(f"{name}={share}" for name, share in shares.items() if share is not None)
    check_sizes(n_rows, n_features, n_components, max(ranks), held_out)
    if estimator._structure.common_loadings and len(set(ranks)) > 1:
        raise ValueError(
            f"loading_type='common' needs one n_factors for all components, got n_factors={estimator.n_factors!r}"
        )
    return ranks


def _going_on(estimator: Any) -> int | None:
    """Components of the last fit, if this one starts from it."""
    return len(estimator.weights_) if estimator.warm_start and hasattr(estimator, "weights_") else None


def _n_components(asked: int | None, labels: np.ndarray | None, centers: np.ndarray | None, group: AnyGroup) -> int:
    if labels is not None:
        return count_labels(labels, asked, group)
    if centers is not None:
        return len(centers)
    if asked is None:
        warn_user(_NO_CENTERS)
    return asked or 1


def _split(
    estimator: Any, counts: list[int], rng: np.random.RandomState, group: AnyGroup
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Of this process's rows that count, numbers of those to fit on and to hold out; None for all and for none."""
    if estimator.solver != "gradient" or not estimator.early_stopping:
        return None, None
    n_rows, first = sum(counts), sum(counts[: group.rank])
    n_held = max(1, round(estimator.validation_fraction * n_rows))
    if n_held >= n_rows:
        raise ValueError(
            f"validation_fraction={estimator.validation_fraction} holds out all of n_samples={n_rows} rows; "
            "give more rows or set early_stopping=False"
        )
    order = rng.permutation(n_rows)
    kept, held_out = (own_numbers(np.sort(p), first, counts[group.rank]) for p in (order[n_held:], order[:n_held]))
    return kept, held_out
