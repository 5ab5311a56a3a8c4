"""Generators that go on from where another one of the same kind was."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mfa_sklearn.mixture._checkpoint.randomness import generator_for, set_state, state_of


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.PCG64, np.random.Philox, np.random.SFC64])
def test_a_state_is_plain_and_comes_back(kind: type) -> None:
    one, other = np.random.RandomState(kind(1)), np.random.RandomState(kind(2))
    one.standard_normal(3)  # which keeps a second number for the next call
    set_state(other, json.loads(json.dumps(state_of(one))))
    assert other.standard_normal(5).tolist() == one.standard_normal(5).tolist()
    assert other.permutation(9).tolist() == one.permutation(9).tolist()


def test_a_generator_that_was_given_goes_on_and_the_global_one_is_left_alone() -> None:
    given, left = np.random.RandomState(1), np.random.RandomState(2)
    state = state_of(left)
    assert generator_for(given, state) is given
    assert given.rand() == generator_for(7, state).rand() == left.rand()
    before = np.random.get_state()[1].copy()
    assert generator_for(None, state) is not np.random.mtrand._rand
    assert np.array_equal(np.random.get_state()[1], before)
