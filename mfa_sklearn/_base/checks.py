"""Refusals that say what was wrong, and optional packages or how to get them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def import_pandas(caller: str) -> ModuleType:
    """The package pandas, or an error that says how to get it."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{caller} returns a pandas DataFrame; install pandas with pip install 'mfa-sklearn[plot]' (or [lm])"
        ) from error
    return pandas


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(map(repr, choices))}")


def check_count(name: str, value: Any, least: int = 1) -> int:
    """An integer of at least `least`."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{name}={value!r} must be an integer")
    if value < least:
        raise ValueError(f"{name}={value} must be at least {least}")
    return int(value)


def check_component(component: int, n_components: int) -> int:
    """A component's index, refused out of range."""
    if not isinstance(component, (int, np.integer)) or isinstance(component, bool):
        raise TypeError(f"component={component!r} must be an integer from 0 to {n_components - 1}")
    if not 0 <= component < n_components:
        raise ValueError(f"component={component} is out of range; this mixture has components 0 to {n_components - 1}")
    return int(component)
