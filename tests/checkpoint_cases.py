"""Fits that are stopped at any iteration, and what must be the same of two fits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mixture_cases import X_MADE

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa

GENERATOR = np.random.default_rng(0)
MISSING = np.where(GENERATOR.random(X_MADE.shape) < 0.05, np.nan, X_MADE)
WEIGHTS = GENERATOR.uniform(0.5, 2, len(X_MADE))
MANY = make_mfa(900, 8, 90, 1, random_state=1)[0].astype(np.float32)
# Three blobs, and centers of which two share the first and one stands between the others: one is moved.
BLOBS = np.concatenate([center + GENERATOR.standard_normal((80, 4)) for center in (0.0, 20.0, 30.0)])
TWO_ON_ONE = np.array([[-0.5] * 4, [0.5] * 4, [25.0] * 4])


class Listener:
    """A callback of scikit-learn's that is told the number of each iteration."""

    def __init__(self, heard: Callable[[int], Any]) -> None:
        self.heard, self.count = heard, 0

    def setup(self, estimator: Any, context: Any) -> None: ...

    def teardown(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None: ...

    def on_fit_task_end(self, estimator: Any, context: Any) -> Any:
        if context.task_name != "iteration":
            return None
        self.count += 1
        return self.heard(self.count)


class StoppedError(Exception):
    """What ends a fit."""


def stopping(at: int, error: type[BaseException] = StoppedError) -> Listener:
    """A callback that ends a fit after an iteration."""

    def heard(count: int) -> None:
        if count == at:
            raise error

    return Listener(heard)


def stopped(folder: Path, at: int, X: Any = X_MADE, **arguments: Any) -> Path:
    """A folder with the checkpoint of a fit that ended after an iteration."""
    mfa = MFA(**settings(**arguments), checkpoint=folder, checkpoint_interval=0).set_callbacks(stopping(at))
    try:
        mfa.fit(X)
    except StoppedError:
        return folder
    raise AssertionError("it was not stopped")


def settings(**arguments: Any) -> dict[str, Any]:
    """Parameters of a short fit."""
    return {"n_components": 3, "n_factors": 2, "max_iter": 10, "tol": 1e-6, "random_state": 0} | arguments


def copies(folder: Path, home: Path) -> Listener:
    """A callback that copies a checkpoint's folder after each iteration."""
    return Listener(lambda count: shutil.copytree(folder, home / str(count)) and None)


def learned(mfa: MFA) -> dict[str, Any]:
    """What two fits that are the same have in common to the byte."""
    found = {}
    for name, value in vars(mfa).items():
        if name.endswith("_") and not name.startswith("_"):
            found[name] = value.tobytes() if isinstance(value, np.ndarray) else value
    return found


def tensors(state: Any) -> list[torch.Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [tensor for part in parts for tensor in tensors(part)]
