"""Sums and ratios of a small table worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mfa_sklearn.steering._evaluation.sweep import Cell
from mfa_sklearn.steering._evaluation.table import assembled, described

PLAIN = [Cell("none", concept, 0.0, None) for concept in ("b", "a")]
MOVED = [Cell("z", concept, 2.0, abs) for concept in ("b", "a")]  # type: ignore[arg-type]
HALVES = np.array(["judge", "choose", "judge"])


def lines(cells: list[Cell], offset: float) -> pd.DataFrame:
    """Cells by prompts, prompts of two lengths apart, as `Sweep.lines` gives them."""
    pairs = [(cell, prompt) for prompts in ([0, 2], [1]) for cell in (0, 1) for prompt in prompts]
    table = pd.DataFrame(pairs, columns=["cell", "prompt"])
    figures = {"prompts": 1.0, "slot_own": 0.1 * table["prompt"], "slot_any": 0.5 + table["cell"], "kl": offset}
    return described(table.assign(**figures, log_odds=offset + table["prompt"] * table["cell"]), cells, HALVES)


def test_ratios_are_of_sums_over_the_prompts_of_a_half() -> None:
    found = assembled(pd.concat([lines(PLAIN, 0.0), lines(MOVED, 3.0)]), {"layer": 1, "site": "s", "select": "all"})
    assert found.columns.tolist()[:8] == ["layer", "site", "select", "arm", "concept", "strength", "half", "n_prompts"]
    keys = found[["arm", "concept", "half"]].values.tolist()
    assert keys == [[arm, c, half] for arm in ("none", "z") for c in ("b", "a") for half in ("choose", "judge")]
    assert found["n_prompts"].tolist() == [1, 2] * 4 and found["strength"].tolist() == [0.0] * 4 + [2.0] * 4
    # Of cell c: .1 / (c + .5) on "choose", (0 + .2) / 2 / (c + .5) on "judge".
    np.testing.assert_allclose(found["share_next"], [0.2, 0.2, 0.1 / 1.5, 0.1 / 1.5] * 2)
    np.testing.assert_allclose(found["kl"], [0] * 4 + [3] * 4)
    # Less what each concept and prompt has unsteered.
    np.testing.assert_allclose(found["log_odds"], [0] * 4 + [3] * 4)
    assert found["log_prob"].isna().all() and found["share_generated"].isna().all()


def test_a_share_of_nothing_is_not_defined() -> None:
    table = lines(PLAIN, 0.0).assign(words_own=0, words_any=0)
    assert assembled(table, {})["share_generated"].isna().all()
