"""In which unit shapes and axes are measured: activations have one, columns of a table often their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.annotated import has_row_fact, shared_fact
from .._base.checks import check_choice

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..mixture import MFA

SCALES = ("auto", None, "columns")
# A column with so many times the standard deviation of the middle one has another unit.
_DWARFED = 5


def standard_deviations(mfa: MFA) -> np.ndarray:
    """Of each feature under the whole mixture, (D,): roots of the diagonal of its covariance."""
    weights, means = np.asarray(mfa.weights_, dtype=np.float64), np.asarray(mfa.means_, dtype=np.float64)
    noise = np.atleast_2d(np.asarray(mfa.noise_variance_, dtype=np.float64))
    within = np.square(np.asarray(mfa.loadings_, dtype=np.float64)).sum(2) + noise
    return np.sqrt(weights @ (within + np.square(means - weights @ means)))


def are_activations(mfa: Any, X: Any, tokens: ArrayLike | None) -> bool:
    """Whether anything is known of the rows' tokens, or of the model that they, or those fitted on, come from."""
    known = tokens is not None or has_row_fact(X, "tokens")
    return known or shared_fact(X, "source") is not None or getattr(mfa, "source_", None) is not None


def natural_scale(mfa: Any, X: Any, tokens: ArrayLike | None) -> str | None:
    """The scale that suits rows: None for activations, whose features have one unit, "columns" for most tables."""
    if are_activations(mfa, X, tokens):
        return None
    deviations = standard_deviations(mfa)
    return "columns" if deviations.max() > _DWARFED * np.median(deviations) else None


def units_of(mfa: Any, X: Any, tokens: ArrayLike | None, scale: str | None) -> np.ndarray | None:
    """The unit of each feature, (D,); None for the features' own."""
    check_choice("scale", scale, SCALES)
    chosen = natural_scale(mfa, X, tokens) if scale == "auto" else scale
    return None if chosen is None else standard_deviations(mfa)
