"""The picture of a table: what is drawn where, filled or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from mfa_sklearn.evaluation import EvaluationDisplay


def table() -> pd.DataFrame:
    lines = [
        ("MFA", "AMI", 0.8, 0.7, 0.9, "higher"),
        ("MFA", "bits per row", 90.0, 80.0, 100.0, "lower"),
        ("MFA", "regions", 3.0, np.nan, np.nan, ""),
        ("k-means_$x$", "AMI", 0.6, 0.5, 0.65, "higher"),
        ("k-means_$x$", "bits per row", 120.0, 119.0, 125.0, "lower"),
        ("PCA", "bits per row", 95.0, np.nan, np.nan, "lower"),
        ("(model as it is)", "bits per row", 1.0, 0.5, 2.0, "lower"),
    ]
    return pd.DataFrame(lines, columns=["candidate", "measure", "value", "low", "high", "better"])


def points(ax: Any) -> dict[tuple[float, float], bool]:
    """Where points are drawn, and whether they are filled."""
    return {
        tuple(place): max(to_rgb(scatter.get_facecolor()[0])) < 0.2
        for scatter in ax.collections
        if hasattr(scatter, "get_sizes") and len(scatter.get_sizes())
        for place in scatter.get_offsets().tolist()
    }


def test_points_bars_and_names() -> None:
    display = EvaluationDisplay.from_table(table())
    assert display.measures_ == ["AMI", "bits per row"]
    first, second = display.axes_
    assert points(first) == {(0.8, 0.0): True, (0.6, 1.0): False}
    assert points(second) == {(90.0, 0.0): True, (120.0, 1.0): False, (95.0, 2.0): False}
    ends = np.sort([segment[:, 0] for segment in first.collections[0].get_segments()])
    np.testing.assert_allclose(ends, [[0.7, 0.9], [0.5, 0.65]])
    names = [label.get_text() for label in first.get_yticklabels()]
    assert names == ["MFA", "k-means_$x$", "PCA"]
    assert first.get_ylim()[0] > first.get_ylim()[1]
    assert (first.get_title(), second.get_title()) == ("AMI →", "bits per row ←")
    display.figure_.canvas.draw()


def test_what_is_no_candidate_is_a_line() -> None:
    """What the model is by itself has no row, and is not the best."""
    display = EvaluationDisplay.from_table(table())
    (line,) = display.axes_[1].lines[-1:]
    assert line.get_xdata() == [1.0, 1.0] and line.get_label() == "model as it is"
    (legend,) = display.figure_.legends
    assert [text.get_text() for text in legend.get_texts()] == ["model as it is"]
    assert EvaluationDisplay.from_table(table(), measures=["AMI"]).figure_.legends == []


def test_measures_may_be_chosen() -> None:
    display = EvaluationDisplay.from_table(table(), measures=["regions", "AMI"], n_columns=1)
    assert [ax.get_title() for ax in display.axes_] == ["regions", "AMI →"]
    assert points(display.axes_[0]) == {(3.0, 0.0): False}
    assert len(EvaluationDisplay(table()).plot(measures="AMI").axes_) == 1


def test_measures_have_one_order() -> None:
    """Whichever candidate comes first, and has not all of them; what is not ours comes last."""
    mine = table().assign(measure="mine", better="higher")
    assert EvaluationDisplay.from_table(pd.concat([mine, table()[::-1]])).measures_ == ["AMI", "bits per row", "mine"]


def test_unused_panels_are_not_seen() -> None:
    more = pd.concat([table().assign(measure=table()["measure"] + end) for end in ("", " 2")])
    figure = EvaluationDisplay.from_table(more, n_columns=3).figure_
    assert [ax.get_visible() for ax in figure.axes] == [True] * 4 + [False] * 2


def test_a_figure_that_is_not_defined() -> None:
    undefined = table().assign(value=np.nan)
    display = EvaluationDisplay.from_table(undefined)
    display.figure_.canvas.draw()
    assert display.measures_ == ["AMI", "bits per row"]


def test_a_table_that_was_written_and_read_again(tmp_path) -> None:
    table().to_csv(tmp_path / "table.csv", index=False)
    display = EvaluationDisplay.from_table(pd.read_csv(tmp_path / "table.csv"))
    assert display.measures_ == ["AMI", "bits per row"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"measures": ["AMI", "nmi"]},
            r"measures=\['AMI', 'nmi'\] must name some of those in the table: \['AMI', 'bits",
        ),
        ({"measures": []}, r"measures=\[\] must name some"),
        ({"table": table().drop(columns=["low"])}, r"no columns \['low'\]: give what evaluate returns"),
        ({"n_columns": 0}, "n_columns=0 must be at least 1"),
    ],
)
def test_refusals(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EvaluationDisplay.from_table(**{"table": table(), **change})


def test_long_titles_take_two_lines_and_leave_their_neighbors_room() -> None:
    measures = ["detection AUROC, hard negatives", "target R2 by region and coordinates"]
    facts = {"value": 0.5, "low": 0.4, "high": 0.6, "better": "higher"}
    lines = [{"candidate": name, "measure": measure, **facts} for measure in measures for name in ("a", "b")]
    display = EvaluationDisplay.from_table(pd.DataFrame(lines))
    display.figure_.draw_without_rendering()
    left, right = (ax.title.get_window_extent() for ax in display.axes_)
    assert left.x1 < right.x0
    assert [" ".join(ax.get_title().split()) for ax in display.axes_] == [f"{measure} →" for measure in measures]
