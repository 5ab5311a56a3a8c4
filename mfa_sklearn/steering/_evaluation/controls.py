"""Controls of an arm: moves of the same length that should not lead to the concept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._base.checks import check_choice
from .arms import Arm, Moved

CONTROLS = ("random", "foreign")


def with_controls(
    arms: Mapping[str, Arm], controls: Sequence[str], controlled: Sequence[str] | None, width: int, seed: int | None
) -> dict[str, Arm]:
    """Arms, each followed by its controls: every row is moved exactly as far as the arm moves it, but elsewhere.

    Parameters
    ----------
    arms : dict of name to Arm
    controls : sequence of {"random", "foreign"}
        Along a direction drawn for each concept from the sphere; or as the arm moves rows to another concept, each
        concept standing in for one other.
    controlled : sequence of str, or None
        The arms that have controls; None is the first.
    width : int
        Of the rows, D.
    seed : int or None

    Returns
    -------
    dict of str to Arm
        Controls are named after their arm, with the control in parentheses.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or an arm has the name of a control.
    """
    chosen = list(arms)[:1] if controlled is None else _listed("controlled", controlled, list(arms))
    kinds = _listed("controls", controls, CONTROLS)
    found: dict[str, Arm] = {}
    for name, arm in arms.items():
        found[name] = arm
        for control in kinds if name in chosen else ():
            found[f"{name} ({control})"] = _control(name, arm, control, width, np.random.default_rng(seed))
    if len(found) < len(arms) + len(chosen) * len(kinds):
        raise ValueError(f"an arm has the name of another's control: give other names than {list(arms)}")
    return found


def _listed(name: str, given: Any, known: Sequence[str]) -> list[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{name}={given!r} must be a list: pass [{given!r}]")
    found = list(dict.fromkeys(given))
    for value in found:
        check_choice(name, value, known)
    return found


def _control(name: str, arm: Arm, control: str, width: int, rng: np.random.Generator) -> Arm:
    if control == "foreign" and len(arm.moves) < 2:
        raise ValueError(f"arms[{name!r}] has one concept, so none is foreign to it: pass controls=['random']")
    others = _random(arm, width, rng) if control == "random" else _foreign(arm, rng)
    return Arm(
        {concept: partial(_same_length, own, others[concept]) for concept, own in arm.moves.items()}, arm.strengths
    )


def shuffled_cycle(n: int, rng: np.random.Generator) -> np.ndarray:
    """For each of n another one, each chosen once (n,)."""
    order = rng.permutation(n)
    partner = np.empty(n, dtype=int)
    partner[order] = np.roll(order, -1)
    return partner


def _random(arm: Arm, width: int, rng: np.random.Generator) -> dict[str, Moved]:
    drawn = torch.as_tensor(rng.standard_normal((len(arm.moves), width)))
    return {concept: partial(_add, direction) for concept, direction in zip(arm.moves, drawn, strict=True)}


def _foreign(arm: Arm, rng: np.random.Generator) -> dict[str, Moved]:
    concepts = list(arm.moves)
    partner = shuffled_cycle(len(concepts), rng)
    return {concept: arm.moves[concepts[other]] for concept, other in zip(concepts, partner, strict=True)}


def _add(direction: Tensor, x: Tensor, strength: float) -> Tensor:
    return x + direction.to(x)


def _same_length(own: Moved, other: Moved, x: Tensor, strength: float) -> Tensor:
    """As `other` moves rows, but as far as `own` does."""
    step = other(x, strength) - x
    length = (own(x, strength) - x).norm(dim=-1, keepdim=True)
    found = step.norm(dim=-1, keepdim=True)
    return x + step * torch.where(found > 0, length / found.clamp_min(torch.finfo(x.dtype).tiny), 0)
