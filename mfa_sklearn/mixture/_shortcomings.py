"""What a fitted mixture falls short of, as warnings that name the remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._base.checks import warn_user
from ._fit.loop import FitResult


def warn_of(mfa: Any, result: FitResult) -> None:
    """Warn of a fit that was cut short, noise that vanished, and components without rows."""
    if not (result.converged or result.stopped) and mfa.tol != 0 and mfa.max_iter > 0:
        warn_user(
            f"not converged after max_iter={mfa.max_iter} iterations; raise max_iter or tol, or set tol=0 to run "
            "a fixed number without this warning.",
            ConvergenceWarning,
        )
    if mfa.heywood_.any():
        features = np.flatnonzero(np.atleast_2d(mfa.heywood_).any(0)).tolist()
        named = str(features) if len(features) <= 10 else f"{features[:10]} and {len(features) - 10} more"
        warn_user(
            f"the noise variance of features {named} went to zero or the noise floor (Heywood cases, see "
            "heywood_); drop constant features, ask for fewer factors or components, or raise noise_floor.",
            ConvergenceWarning,
        )
    dead = np.flatnonzero(mfa.weights_ < 1e-12)
    if len(dead):
        warn_user(
            f"components {dead.tolist()} hold no rows; ask for fewer components or another init.",
            ConvergenceWarning,
        )
