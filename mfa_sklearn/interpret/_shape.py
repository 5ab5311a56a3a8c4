"""How wide a component is, in how many directions, and what lies next to it: facts of the parameters alone."""

from __future__ import annotations

from typing import Any

import numpy as np

# Share of the modeled variance that `factors_90` is to reach.
_MOST = 0.9


def component_shapes(mfa: Any, scale: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Spread and dimension of all components, in closed form; `describe_components` says what they are.

    With ``S = W W^T + Psi``, of which no entry is computed, ::

        tr S   = |W|^2 + sum_d psi_d
        tr S^2 = |W^T W|^2 + 2 sum_d psi_d |W_d|^2 + sum_d psi_d^2

    in Frobenius norms, W_d being row d of W.

    Parameters
    ----------
    mfa : fitted MFA
    scale : ndarray of shape (D,), optional
        The unit of each feature to measure in, see `project`; by default its own.

    Returns
    -------
    dict of str to ndarray of shape (K,)
        spread, dimension, factors_90.
    """
    loadings = np.asarray(mfa.loadings_, dtype=np.float64)
    noise = np.broadcast_to(np.asarray(mfa.noise_variance_, dtype=np.float64), loadings.shape[:2])
    if scale is not None:
        loadings, noise = loadings / scale[:, None], noise / np.square(scale)
    squares = np.square(loadings).sum(2)
    gram = loadings.mT @ loadings
    trace = squares.sum(1) + noise.sum(1)
    trace_of_square = np.square(gram).sum((1, 2)) + (noise * (2 * squares + noise)).sum(1)
    return {
        "spread": np.sqrt(trace),
        "dimension": np.square(trace) / trace_of_square,
        "factors_90": _axes_for(np.linalg.eigvalsh(gram)[:, ::-1]),
    }


def _axes_for(variances: np.ndarray) -> np.ndarray:
    """How many axes, the largest first, carry `_MOST` of the variance, (K,); 0 where there is none."""
    total = variances.sum(1, keepdims=True)
    carried = np.cumsum(variances, axis=1)
    # A little less, so that rounding does not ask for one more axis.
    short = (carried < (_MOST - 1e-9) * total).sum(1)
    return np.where(total[:, 0] > 0, short + 1, 0)
