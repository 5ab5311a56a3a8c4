"""What the functions of this folder may be handed, checked before work is spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._base.annotated import given_rows, row_fact
from .._base.checks import check_component
from .._base.origin import other_source, warn_incomplete

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def check_mixture(mfa: Any) -> int:
    """The number of components of a fitted mixture."""
    if isinstance(mfa, Pipeline):
        raise TypeError(
            "expected a fitted MFA, got a Pipeline; pass its last step, pipe[-1], and the activations it sees"
        )
    if not hasattr(mfa, "iter_log_joint"):
        raise TypeError(f"expected a fitted MFA, got {type(mfa).__name__}, which has no method iter_log_joint")
    if not hasattr(mfa, "means_"):
        check_is_fitted(mfa)
    return len(mfa.means_)


def as_rows(activations: Any, mfa: Any = None) -> Any:
    """`activations` as they are, or as an array if they have no shape; refused if not two-dimensional.

    A store of activations stands for those of its only layer, a path for the store there. Rows that are known to come
    from elsewhere than those that `mfa` was fitted on are refused: no table of them would mean anything.
    """
    activations = given_rows(activations)
    said = other_source(getattr(mfa, "source_", None), activations)
    if said:
        raise ValueError(
            f"the mixture says nothing of activations from elsewhere: {said}. Extract them where it was fitted, or "
            "pass numpy.asarray(activations), which has no source, if that is meant"
        )
    warn_incomplete(activations)
    rows = activations if hasattr(activations, "shape") else np.asarray(activations)
    if len(rows.shape) != 2:
        raise ValueError(f"activations must be two-dimensional, one row per token; got shape {tuple(rows.shape)}")
    return rows


def optional_fact(activations: Any, name: str, given: ArrayLike | None = None) -> np.ndarray | None:
    """One entry per row: as `given`, else what the activations carry under that name, else None."""
    fact = row_fact(activations, name) if given is None else given
    if fact is None:
        return None
    values = np.asarray(fact)
    if values.ndim != 1 or len(values) != len(activations):
        raise ValueError(
            f"{name} must hold one entry per row: got shape {values.shape} for {len(activations)} rows of activations"
        )
    return values


def required_fact(activations: Any, name: str, given: ArrayLike | None, caller: str) -> np.ndarray:
    """As `optional_fact`; an error that says how to pass it where there is none."""
    fact = optional_fact(activations, name, given)
    if fact is None:
        raise ValueError(
            f"{caller} needs {name}, and these activations ({type(activations).__name__}) carry none; pass {name}=..., "
            "one entry per row, or use the ActivationArray that ActivationExtractor returns"
            + (" for labeled texts" if name == "labels" else "")
        )
    return fact


def selected_components(components: int | Sequence[int] | None, n_components: int) -> np.ndarray:
    """Sorted distinct component indices; all of them for None."""
    if components is None:
        return np.arange(n_components)
    chosen = [check_component(k, n_components) for k in np.atleast_1d(np.asarray(components, dtype=object))]
    if not chosen:
        raise ValueError("components is empty; name at least one, or pass None for all")
    return np.unique(chosen)
