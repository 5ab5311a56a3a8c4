"""Which axes are drawn, and what is said of those that are not there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfa_sklearn.interpret._displays.axes import chosen_axes

DIRECTIONS = np.array([[1.0, 0, 2, 3], [0, 0, 1, 1]])


@pytest.mark.parametrize(
    ("factors", "expected"), [(None, [0, 2]), (3, [3]), (np.int64(1), [1]), ((2, 0), [2, 0]), (np.array([1]), [1])]
)
def test_those_asked_for_or_the_first_that_there_are(factors: Any, expected: list[int]) -> None:
    found = chosen_axes(factors, DIRECTIONS, 2)
    assert found == expected and all(type(j) is int for j in found)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ("01", "factors='01' must be whole numbers, such as 0 or"),
        (1.5, "factors=1.5 must be whole numbers"),
        (True, "factors=True must be whole numbers"),
        ((0, None), "must be whole numbers"),
        ((), "must name at most 3 different axes, at least one"),
        ((0, 0), "different axes"),
        ((0, 1, 2, 3), "at most 3"),
        (4, "factor 4 is out of range; there are factors 0 to 3"),
        (-1, "factor -1 is out of range"),
    ],
)
def test_others_are_refused(factors: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        chosen_axes(factors, DIRECTIONS, 2, 3)


def test_where_there_is_no_axis() -> None:
    with pytest.raises(ValueError, match="no factors"):
        chosen_axes(None, np.zeros((4, 0)), 2)
    with pytest.raises(ValueError, match="there is factor 0 alone"):
        chosen_axes(1, np.ones((4, 1)), 2)
