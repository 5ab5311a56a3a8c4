"""What an estimator does on an accelerator beside what it does on the processor, on a pretend device or a real one.

A case is a function of a device, or of a fitted estimator and rows. It is made twice, and `assert_alike` compares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from pretend_device import Machine, pretend_accelerator
from scipy import sparse
from sklearn.base import BaseEstimator


class Place(NamedTuple):
    """Where to compute, another device that users may have their rows on, and what may differ by rounding."""

    device: str
    other: str
    tolerance: float
    machine: Machine | None  # of a pretend device


@contextmanager
def place_named(kind: str) -> Iterator[Place]:
    """A pretend device, the second of two; or the first real one."""
    pretend = kind == "pretend"
    with pretend_accelerator(n_devices=2) if pretend else nullcontext() as machine:
        yield Place("cuda:1", "cuda:0", 1e-9, machine) if pretend else Place("cuda", "cuda:0", 1e-6, None)


def public(kind: type) -> set[str]:
    """Names of the public methods and properties of a class."""
    return {name for name in dir(kind) if not name.startswith("_") and not _plumbing(name)}


def _plumbing(name: str) -> bool:
    """scikit-learn's own, which compute nothing."""
    names = ("get_params", "set_params", "set_output", "get_metadata_routing", "set_callbacks")
    return name in names or (name.startswith("set_") and name.endswith("_request"))


def moved(estimator: Any, device: str) -> Any:
    """A copy of a fitted estimator that computes on another device."""
    return deepcopy(estimator).set_params(device=device)


def learned(estimator: Any) -> dict[str, Any]:
    """What an estimator has learned, but for times and estimators."""
    found = {name: value for name, value in vars(estimator).items() if name.endswith("_") and name[0] != "_"}
    return {name: value for name, value in found.items() if not isinstance(value, BaseEstimator)}


def on_both(place: Place, compute: Callable[[str], Any]) -> None:
    """The same comes of a case on the processor and on the device."""
    assert_alike(compute(place.device), compute("cpu"), place.tolerance)


def assert_alike(found: Any, expected: Any, tolerance: float, name: str = "result") -> None:
    """Two results of any kind are the same: numbers that are not whole up to rounding, none of them on a device."""
    assert not isinstance(found, torch.Tensor) or found.device.type == "cpu", f"{name} is on {found.device}"
    if isinstance(expected, Mapping):
        assert list(found) == list(expected), name
        _each(found.values(), expected.values(), tolerance, [f"{name}[{key!r}]" for key in expected])
    elif isinstance(expected, pd.DataFrame):
        assert_alike(dict(found.items()), dict(expected.items()), tolerance, name)
    elif sparse.issparse(expected):
        assert_alike(found.toarray(), expected.toarray(), tolerance, name)
    elif dataclasses.is_dataclass(expected):
        assert_alike(vars(found), vars(expected), tolerance, name)
    elif isinstance(expected, np.ndarray | pd.Series | torch.Tensor | float | np.floating):
        _same_numbers(np.asarray(found), np.asarray(expected), tolerance, name)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), name
        _each(found, expected, tolerance, [f"{name}[{i}]" for i in range(len(expected))])
    else:
        assert found == expected, name


def _each(found: Any, expected: Any, tolerance: float, names: list[str]) -> None:
    for one, other, name in zip(found, expected, names, strict=True):
        assert_alike(one, other, tolerance, name)


def _same_numbers(found: np.ndarray, expected: np.ndarray, tolerance: float, name: str) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape, name
    if expected.dtype.kind == "f":
        tolerance = max(tolerance, 100 * np.finfo(expected.dtype).eps)
        size = np.abs(np.nan_to_num(expected)).max(initial=1.0)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * size, err_msg=name)
    elif expected.dtype == object:
        _each(found.ravel().tolist(), expected.ravel().tolist(), tolerance, [name] * expected.size)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=name)
