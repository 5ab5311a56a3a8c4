"""What a fit works on: rows in conditioned space, where to start, and how to get back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils import check_random_state

from ..._base.checks import warn_user
from ..._base.devices import resolve_device, working_dtype
from .._rows import Batches, ColumnMoments, Conditioner, column_moments, conditioner_for
from .._start.start import Draws, Start, given_centers, given_labels
from .._validation import check_sizes, factor_counts

_NO_CENTERS = (
    "n_components=None takes as many components as there are centers, and no centers came with the rows: one component "
    "is fitted. Say n_components=1 if that is meant. Centers of a KMeansInitializer reach the next step of a pipeline "
    "only; put it right before the mixture, or give it as init=KMeansInitializer(n_clusters)."
)


class Problem(NamedTuple):
    """Checked and conditioned input of a fit."""

    batches: Batches
    validation: Batches | None  # rows held out
    conditioner: Conditioner
    start: Start
    centers: np.ndarray | None  # (K, D), in the space of the data, where the start is given
    labels: np.ndarray | None  # (n,), likewise
    rng: np.random.RandomState
    log_scale: float  # what the mean log density of the original rows is lower by
    weight: float  # of all rows
    missing: bool  # whether rows may miss values


def pose(estimator: Any, X: Any, rows: Any, weights: np.ndarray | None, draws: Draws | None = None) -> Problem:
    """The problem that an estimator's parameters and rows pose.

    Parameters
    ----------
    estimator : MFA
    X : array-like
        As the user gave it, with what an earlier step attached.
    rows : array-like of shape (n, D)
        The same, checked.
    weights : ndarray (n,), optional
    draws : Draws, optional
        What starts on the same rows have drawn.
    """
    e, n_rows = estimator, rows.shape[0]
    device, dtype = resolve_device(e.device), working_dtype(e.dtype, rows)
    rng = check_random_state(e.random_state)
    asked = e.n_components or (None if np.ndim(e.n_factors) == 0 else len(e.n_factors))
    check_sizes(n_rows, rows.shape[1], asked or 1, int(np.max(e.n_factors, initial=0)))
    moments = _moments(rows, weights, device)
    conditioner = conditioner_for(moments.mean, moments.variance, e.noise_form == "isotropic")
    labels = given_labels(e.init, n_rows)
    centers = given_centers(e.init, X if hasattr(X, "shape") else rows, asked)
    ranks = _ranks(e, _n_components(asked or _going_on(e), labels, centers), rows.shape, weights)
    kept, held_out = _split(e, n_rows, weights, rng)

    def batches(places: np.ndarray | None) -> Batches:
        w = weights if weights is None or places is None else weights[places]
        size = e.batch_size if e.solver == "em" else None
        return Batches(rows, conditioner, dtype, device, w, size, keep=True, places=places)

    train = batches(kept)
    return Problem(
        batches=train,
        validation=None if held_out is None else batches(held_out),
        conditioner=conditioner,
        start=Start(train, conditioner, ranks, e._structure, e.noise_floor, rng, moments.missing, draws),
        centers=centers,
        labels=labels if labels is None or kept is None else labels[kept],
        rng=rng,
        log_scale=float(moments.observed @ conditioner.scale.log()),
        weight=float(n_rows if weights is None else weights.sum()),
        missing=moments.missing,
    )


def _moments(rows: Any, weights: np.ndarray | None, device: torch.device) -> ColumnMoments:
    moments = column_moments(rows, weights, device)
    empty = (moments.observed == 0).nonzero()[:, 0].tolist()
    if empty:
        raise ValueError(f"Input X contains NaN in every row of columns {empty}; drop those columns.")
    return moments


def _ranks(estimator: Any, n_components: int, shape: tuple[int, int], weights: np.ndarray | None) -> tuple[int, ...]:
    """Factors of each component, if the rows of positive weight can carry them."""
    ranks = factor_counts(estimator.n_factors, n_components)
    n_rows = shape[0] if weights is None else int((weights > 0).sum())
    check_sizes(n_rows, shape[1], n_components, max(ranks))
    if estimator._structure.common_loadings and len(set(ranks)) > 1:
        raise ValueError(
            f"loading_type='common' needs one n_factors for all components, got n_factors={estimator.n_factors!r}"
        )
    return ranks


def _going_on(estimator: Any) -> int | None:
    """Components of the last fit, if this one starts from it."""
    return len(estimator.weights_) if estimator.warm_start and hasattr(estimator, "weights_") else None


def _n_components(asked: int | None, labels: np.ndarray | None, centers: np.ndarray | None) -> int:
    if labels is not None:
        found = int(labels.max()) + 1
        if asked is not None and asked < found:
            raise ValueError(f"init holds labels up to {found - 1}, but n_components={asked}")
        return asked or found
    if centers is not None:
        return len(centers)
    if asked is None:
        warn_user(_NO_CENTERS)
    return asked or 1


def _split(
    estimator: Any, n_rows: int, weights: np.ndarray | None, rng: np.random.RandomState
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Row numbers to fit on and to hold out; None for all and for none."""
    if estimator.solver != "gradient" or not estimator.early_stopping:
        return None, None
    n_held = max(1, round(estimator.validation_fraction * n_rows))
    if n_held >= n_rows:
        raise ValueError(
            f"validation_fraction={estimator.validation_fraction} holds out all of n_samples={n_rows} rows; "
            "give more rows or set early_stopping=False"
        )
    order = rng.permutation(n_rows)
    kept, held_out = np.sort(order[n_held:]), np.sort(order[:n_held])
    if weights is not None and not weights[held_out].sum() * weights[kept].sum() > 0:
        raise ValueError("sample_weight is zero for all rows held out (or all kept); set early_stopping=False")
    return kept, held_out
