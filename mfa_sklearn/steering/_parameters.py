"""The parameters of a mixture, from whatever has them."""

from __future__ import annotations

from typing import Any, Protocol

from ..mixture._model.params import MFAParams, check_params

_PARAMETERS = ("weights_", "means_", "loadings_", "noise_variance_")


class FittedParameters(Protocol):
    """What steering asks of a mixture; a fitted `MFA` has it."""

    weights_: Any  # (K,)
    means_: Any  # (K, D)
    loadings_: Any  # (K, D, q)
    noise_variance_: Any  # (D,) or (K, D)


def read_params(mfa: FittedParameters | MFAParams) -> MFAParams:
    """Parameters of a fitted mixture as tensors; those that are so already, as they are.

    Raises
    ------
    TypeError
        If it has not all of them: not fitted, or no mixture of factor analyzers.
    ValueError
        If their shapes disagree or a value is not finite.
    """
    if isinstance(mfa, MFAParams):
        return mfa
    missing = [name for name in _PARAMETERS if not hasattr(mfa, name)]
    if missing:
        raise TypeError(
            f"{type(mfa).__name__} has no {', '.join(missing)}: give a fitted MFA, or an object with "
            f"{', '.join(_PARAMETERS)}"
        )
    return check_params(*(getattr(mfa, name) for name in _PARAMETERS))
