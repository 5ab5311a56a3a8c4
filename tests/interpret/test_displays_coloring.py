"""What kind of colors values get."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mfa_sklearn._base.plotting import COLORS, MARKERS
from mfa_sklearn.interpret._displays.coloring import coloring, worth_coloring


def test_categories_by_how_frequent_they_are() -> None:
    values = np.array(["b"] * 5 + ["a"] * 9 + ["c", None], dtype=object)
    found = coloring(values, missing="(none)")
    assert [entry[0] for entry in found.entries] == ["a (9)", "b (5)", "c (1)", "(none) (1)"]
    np.testing.assert_allclose(found.colors[[5, 0, 14], :3], [to_rgb(color) for color in COLORS[:3]])
    assert found.codes[[5, 0, 14, 15]].tolist() == [0, 1, 2, len(MARKERS)]


def test_many_categories_share_a_gray_or_get_new_markers() -> None:
    values = np.array([f"c{i:02d}" for i in range(20) for _ in range(40 - i)])
    few, many = coloring(values), coloring(values, most=12)
    assert len(few.entries) == 8 and few.entries[-1][0].startswith("13 others (")
    assert len(many.entries) == 13 and len({entry[2] for entry in many.entries[:8]}) == 8
    drawn = {(*color, code) for color, code in zip(many.colors.tolist(), many.codes.tolist(), strict=True)}
    assert len(drawn) == 13


@pytest.mark.parametrize("values", [np.array([3, 1, 2, 3]), np.array([3, None, 1, 2.0], dtype=object)])
def test_few_integers_are_ordered_by_value(values: np.ndarray) -> None:
    found = coloring(values)
    assert [entry[0][0] for entry in found.entries][:3] == ["1", "2", "3"] and found.norm is None
    lightness = [np.dot(entry[1][:3], [0.21, 0.72, 0.07]) for entry in found.entries[:3]]
    assert lightness == sorted(lightness)


def test_quantities_have_a_bar_and_one_stray_does_not_use_it_up() -> None:
    values = np.append(np.linspace(0, 1, 999), [1e6])
    found = coloring(values)
    assert found.norm is not None and found.norm.vmax < 2 and found.extend == "both" and not found.entries
    assert coloring(np.array([0.5, np.nan, 0.5])).norm is not None
    assert coloring(np.arange(100)).extend == "both"


def test_truth_is_a_category_and_nothing_is_one_color() -> None:
    assert len(coloring(np.array([True, False])).entries) == 2
    assert len(np.unique(coloring(None, n=5).colors, axis=0)) == 1


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, False),
        (np.array([]), False),
        (np.arange(50) // 1, True),
        (np.array([f"c{i}" for i in range(50)]), False),
        (np.array(["a"] * 6 + [f"c{i}" for i in range(44)]), True),
        (np.array([None] * 5, dtype=object), False),
    ],
)
def test_confetti_is_not_drawn(labels: np.ndarray | None, expected: bool) -> None:
    assert worth_coloring(labels) == expected
