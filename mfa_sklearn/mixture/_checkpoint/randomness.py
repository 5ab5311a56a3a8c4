"""The state of a random generator as plain values, and a generator in such a state."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def state_of(rng: np.random.RandomState) -> dict[str, Any]:
    """The state as nested dicts of numbers, words and lists."""
    return _plain(rng.get_state(legacy=False))


def set_state(rng: np.random.RandomState, state: dict[str, Any]) -> None:
    """Have a generator go on from a state that `state_of` gave."""
    rng.set_state(_arrays(state))


def generator_for(random_state: Any, state: dict[str, Any]) -> np.random.RandomState:
    """What `check_random_state` gives, in a state of an earlier process.

    A generator that the user gave is set to it, as the earlier process had advanced it. The global one belongs to
    everyone and is left alone; one of the same kind takes its place.
    """
    rng = np.random.RandomState() if random_state is None else check_random_state(random_state)
    set_state(rng, state)
    return rng


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _arrays(part) for name, part in value.items()}
    return np.array(value, dtype=np.uint64) if isinstance(value, list) else value
