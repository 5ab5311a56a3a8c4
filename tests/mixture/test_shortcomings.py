"""What a fit warns of, and when it does not."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mfa_sklearn.mixture._shortcomings import warn_of


def fitted(**facts: Any) -> Any:
    sound = {
        "tol": 1e-3,
        "max_iter": 7,
        "heywood_": np.zeros((2, 12), bool),
        "weights_": np.ones(2) / 2,
    }
    return SimpleNamespace(**{**sound, **facts})


def said(mfa: Any, converged: bool = True, stopped: bool = False) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of(mfa, SimpleNamespace(n_iter=3, converged=converged, stopped=stopped))
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    ("mfa", "converged", "words"),
    [
        (fitted(), False, "not converged after max_iter=7"),
        (fitted(heywood_=np.eye(2, 12, dtype=bool)), True, r"features [0, 1] went to zero"),
        (fitted(heywood_=np.ones((2, 12), bool)), True, "and 2 more went to zero"),
        (fitted(weights_=np.array([1.0, 0.0])), True, "components [1] hold no rows"),
    ],
)
def test_one_warning_names_what_is_short(mfa: Any, converged: bool, words: str) -> None:
    (message,) = said(mfa, converged)
    assert words in message


def test_a_fit_of_a_fixed_number_of_steps_and_a_sound_one_are_silent() -> None:
    assert said(fitted(), False, stopped=True) == []
    assert said(fitted(), True) == said(fitted(tol=0), False) == said(fitted(max_iter=0), False) == []
