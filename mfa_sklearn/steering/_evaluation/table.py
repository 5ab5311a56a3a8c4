"""From what was read off each prompt to the tidy table: sums over the prompts of a half, and ratios of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .sweep import RATIOS, Cell

if TYPE_CHECKING:
    import pandas as pd

#: What a table may hold several of: where and on which tokens rows were moved.
PLACE = ["layer", "site", "select"]
UNSTEERED = "none"


def described(lines: pd.DataFrame, cells: Sequence[Cell], halves: np.ndarray) -> pd.DataFrame:
    """The lines of `Sweep.lines` with the arm, concept and strength of their cell and the half of their prompt."""
    cell, prompt = lines["cell"].to_numpy(), lines["prompt"].to_numpy()
    facts = {name: np.array([getattr(one, name) for one in cells])[cell] for name in ("arm", "concept", "strength")}
    return lines.assign(**facts, half=halves[prompt])


def assembled(lines: pd.DataFrame, place: Mapping[str, Any]) -> pd.DataFrame:
    """One line per arm, concept, strength and half, in the order of the arms and cells.

    Parameters
    ----------
    lines : DataFrame
        Of `described`, of all arms; "none" is among them.
    place : dict
        Columns that are the same in all lines, put first.
    """
    lines = _relative(lines)
    keys = ["arm", "concept", "strength", "half"]
    order = {name: number for number, name in enumerate(dict.fromkeys(lines["arm"]))}
    sums = lines.assign(order=lines["arm"].map(order)).groupby(["order", "cell", *keys], sort=True).sum().reset_index()
    found = sums[keys].assign(n_prompts=sums["prompts"].astype(int))
    for name, (above, below) in RATIOS.items():
        whole = sums[below].where(sums[below] > 0) if below in sums else np.nan
        found[name] = sums[above] / whole if above in sums else np.nan
    for number, (name, value) in enumerate(place.items()):
        found.insert(number, name, value)
    return found


def _relative(lines: pd.DataFrame) -> pd.DataFrame:
    """Log-odds less those of the model as it is, for each concept and prompt."""
    if "log_odds" not in lines:
        return lines
    keys = ["concept", "prompt"]
    before = lines[lines["arm"] == UNSTEERED].set_index(keys)["log_odds"]
    asked = lines.set_index(keys).index
    return lines.assign(log_odds=lines["log_odds"].to_numpy() - before.reindex(asked).to_numpy())
