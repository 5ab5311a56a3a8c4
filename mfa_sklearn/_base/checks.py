"""Refusals that say what was wrong, and optional packages or how to get them."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

# The extra of this package that brings each package that may be missing.
_EXTRAS = {
    "gguf": "export",
    "jinja2": "atlas",
    "markupsafe": "atlas",
    "matplotlib": "plot",
    "pandas": "plot",
    "pyarrow": "parquet",
    "textalloc": "plot",
    "transformer_lens": "lm",
    "transformers": "lm",
    "vl_convert": "atlas",
}

# The list that takes this thread's warnings in place of issuing them, if there is one.
_GATHERED: ContextVar[list[tuple[type[Warning], str]] | None] = ContextVar("gathered warnings", default=None)

# Packages whose lines are none of the user's: a warning points past them.
_INSIDE = {"contextlib", "joblib", "mfa_sklearn", "sklearn", "torch"}


def import_optional(module: str, caller: str) -> ModuleType:
    """A module of a package that may be missing.

    Parameters
    ----------
    module : str
        Such as "matplotlib.pyplot".
    caller : str
        What needs it, for the message.

    Raises
    ------
    ImportError
        If it cannot be imported; the message says how to get it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        advice = f"pip install 'mfa-sklearn[{_EXTRAS[package]}]'"
        raise ImportError(f"{caller} needs {package}: {advice}") from error


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Refuse a value that is none of the choices."""
    known = value is None or isinstance(value, str)  # anything else may be an array, which `in` cannot compare
    if not known or value not in choices:
        raise ValueError(f"{name}={value!r} is unknown; choose one of {', '.join(map(repr, choices))}")


def check_count(name: str, value: Any, least: int = 1) -> int:
    """An integer of at least `least`."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise TypeError(f"{name}={value!r} must be an integer")
    if value < least:
        raise ValueError(f"{name}={value} must be at least {least}")
    return int(value)


def check_flag(name: str, value: Any) -> bool:
    """True or False; a word such as "no" would be taken for True.

    Raises
    ------
    TypeError
    """
    if not isinstance(value, (bool, np.bool_, int, np.integer)) or value not in (0, 1):
        raise TypeError(f"{name}={value!r} must be True or False")
    return bool(value)


def check_component(component: int, n_components: int) -> int:
    """A component's index, refused out of range."""
    if not isinstance(component, (int, np.integer)) or isinstance(component, bool):
        raise TypeError(f"component={component!r} must be an integer from 0 to {n_components - 1}")
    if not 0 <= component < n_components:
        raise ValueError(f"component={component} is out of range; this mixture has components 0 to {n_components - 1}")
    return int(component)


def unmasked(values: Any) -> Any:
    """The values, of a masked array as a plain one with NaN where it is masked."""
    if not isinstance(values, np.ma.MaskedArray):
        return values
    if not np.ma.is_masked(values):
        return values.data
    return np.ma.filled(values.astype(np.result_type(values.dtype, np.float16)), np.nan)


def plain_numbers(X: Any) -> Any:
    """Rows with numbers for objects: a list of lists with None in it, an array of objects; the rest as it is.

    None and pandas' NA are missing values, NaN.

    Raises
    ------
    TypeError
        If an object is no number.
    """
    if not isinstance(X, (list, tuple)) and not (isinstance(X, np.ndarray) and X.dtype == object):
        return X
    try:
        array = np.asarray(X)
    except ValueError:
        return X  # of rows of different lengths; refused later
    if array.dtype != object or array.ndim != 2:
        return X
    found = np.empty(array.shape)
    for (row, column), value in np.ndenumerate(array):
        try:
            found[row, column] = np.nan if _is_absent(value) else value
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"X holds {value!r} at row {row}, column {column}; the argument must be made of numbers, of strings "
                "that stand for a number, or of None for a missing value"
            ) from error
    return found


def _is_absent(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType"


def warn_user(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn, and point at the line of the user's own code that led here."""
    gathered = _GATHERED.get()
    if gathered is not None:
        gathered.append((category, message))
        return
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


@contextmanager
def gathered_warnings() -> Iterator[list[tuple[type[Warning], str]]]:
    """Keep what `warn_user` is told in this block, as (category, message), so that it can be said once and with names.

    Of this thread alone, where `warnings.catch_warnings` would change what all threads of the process do.
    """
    found: list[tuple[type[Warning], str]] = []
    before = _GATHERED.set(found)
    try:
        yield found
    finally:
        _GATHERED.reset(before)
