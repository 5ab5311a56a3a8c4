"""Neutral prompts, and halves that are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfa_sklearn import datasets
from mfa_sklearn.steering import NEUTRAL_PROMPTS, balanced_halves


def test_neutral_prompts_hold_no_word_of_any_concept() -> None:
    content = {word for words in datasets.load_concepts().words.values() for word in words}
    assert not content & {word for prompt in NEUTRAL_PROMPTS for word in prompt.lower().split()}
    assert len(set(NEUTRAL_PROMPTS)) == 40


def test_both_kinds_take_turns() -> None:
    ends = [prompt.split()[-1] in ("the", "a") for prompt in NEUTRAL_PROMPTS]
    assert ends == [False, True] * 20


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_halves_are_alike(n: int) -> None:
    values = np.random.default_rng(0).permutation(np.linspace(0, 1, n))
    halves = balanced_halves(values)
    counts = [int((halves == half).sum()) for half in ("choose", "judge")]
    assert abs(counts[0] - counts[1]) <= 1 and sum(counts) == n
    if n % 4 == 0:
        assert values[halves == "choose"].mean() == pytest.approx(values[halves == "judge"].mean())


def test_two_kinds_go_to_both_halves_in_equal_number() -> None:
    kind = np.random.default_rng(0).permutation(np.repeat([0.0, 1.0], 10))
    halves = balanced_halves(kind + np.random.default_rng(1).uniform(0, 0.1, 20))
    assert [kind[halves == half].sum() for half in ("choose", "judge")] == [5, 5]


@pytest.mark.parametrize("values", [[[0.1]], [np.nan, 0.2]])
def test_what_is_no_figure_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="one finite number per prompt"):
        balanced_halves(values)
