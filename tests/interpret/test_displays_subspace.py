"""`SubspaceDisplay`: what is drawn, where, and with which words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import annotated, mixture
from matplotlib.text import Text

from mfa_sklearn import MFA, SubspaceDisplay
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.interpret import project
from mfa_sklearn.interpret._displays.labels import label_names
from mfa_sklearn.interpret._text import label_text


def wide(n: int = 200, n_factors: int = 4) -> tuple[Any, AnnotatedArray]:
    """A mixture with more factors than two, and its rows."""
    mfa = mixture(3.0, n_features=8)
    mfa.loadings_ = np.random.default_rng(5).normal(size=(4, 8, n_factors))
    return mfa, annotated(mfa, n)


@pytest.mark.parametrize("factors", [(0, 1), (3, 1), (2, 0, 3)])
def test_points_are_the_coordinates(factors: tuple[int, ...]) -> None:
    mfa, X = wide()
    display = SubspaceDisplay.from_estimator(mfa, X, component=1, factors=factors)
    found = project(mfa, X, 1, axes="principal")
    points = (found.coordinates * np.linalg.norm(found.directions, axis=0))[:, list(factors)]
    drawn = display.scatter_._offsets3d if len(factors) == 3 else display.scatter_.get_offsets().T
    np.testing.assert_allclose(np.asarray(drawn), points.T)
    assert display.ax_.name == ("3d" if len(factors) == 3 else "rectilinear")
    unit = "" if len(factors) == 3 else "distance along "
    assert display.ax_.get_xlabel().startswith(f"{unit}axis {factors[0]} (")
    assert display.ax_.get_ylabel().startswith(f"{unit}axis {factors[1]} (")
    assert "component 1: " in display.ax_.get_title()
    display.figure_.canvas.draw()


def test_texts_belong_to_points_of_their_tokens() -> None:
    mfa, X = wide()
    display = SubspaceDisplay.from_estimator(mfa, X, 1)
    names, points = label_names(display.projection.tokens, label_text), display.scatter_.get_offsets()
    assert display.text_
    for text in display.text_:
        here = np.flatnonzero(np.isclose(points, text.xy).all(1))
        assert text.get_text() in set(names[here])


def test_texts_do_not_overlap_and_stay_inside() -> None:
    """Measured on what is drawn; the names are as many as there is room for."""
    mfa, X = wide(2000)
    tokens = np.array([f"{'antidisestablish' if i % 2 else 'ab'}{i % 300}" for i in range(2000)])
    ax = plt.figure(figsize=(6, 8)).add_subplot()
    display = SubspaceDisplay.from_estimator(mfa, X, 1, tokens=tokens, ax=ax, max_labels=60)
    display.figure_.canvas.draw()
    boxes = np.array([Text.get_window_extent(text).extents for text in display.text_])
    assert len(boxes) > 25
    overlap = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    area = np.prod(np.maximum(overlap, 0), axis=-1)
    np.fill_diagonal(area, 0)
    assert area.max() < 1  # square pixels
    assert boxes[:, 2].max() <= ax.bbox.x1 + 1 and boxes[:, 0].min() >= ax.bbox.x0 - 1
    assert len({text.get_text() for text in display.text_}) > 0.9 * len(boxes)


def test_a_token_is_written_once_for_each_cluster() -> None:
    mfa, X = wide(600)
    display = SubspaceDisplay.from_estimator(mfa, X, 1, tokens=["the"] * 600, max_labels=100)
    assert [text.get_text() for text in display.text_] == ["the"]


@pytest.mark.parametrize("max_labels", [0, 1, 10])
def test_max_labels(max_labels: int) -> None:
    mfa, X = wide()
    tokens = np.arange(200).astype(str)
    display = SubspaceDisplay.from_estimator(mfa, X, 1, tokens=tokens, max_labels=max_labels)
    assert len(display.text_) == max_labels


def test_troublesome_tokens_and_labels_draw() -> None:
    mfa = mixture(n_components=1)
    tokens = [
        "$x$",
        "$",
        "a$b$c",
        "\\frac{",
        "$\\bad{$",
        "\n",
        "\r\n",
        "\x1b",
        "",
        "  ",
        "_",
        "%",
        "{}",
        "^_^",
        "#",
        "&",
    ]
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) * 5
    X = mfa.means_[0] + grid @ mfa.loadings_[0].T
    display = SubspaceDisplay.from_estimator(mfa, X, 0, tokens=tokens, labels=["_a", "$\\b{$", "c\nd", "$e"] * 4)
    display.figure_.canvas.draw()
    shown = {text.get_text() for text in display.text_}
    assert {"$x$", "$\\bad{$", "\\n", "\\r\\n", "\\x1b", "\u201c␣␣\u201d", "\u201c_\u201d"} <= shown
    assert {text.get_text() for text in display.legend_.get_texts()} == {"_a (4)", "$\\b{$ (4)", "c\\nd (4)", "$e (4)"}


def test_colors_follow_labels() -> None:
    mfa, X = wide(400)
    labels = np.array([f"concept {i % 20}" for i in range(400)])
    labels[:300] = "concept 3"
    display = SubspaceDisplay.from_estimator(mfa, X, 1, labels=labels)
    own = display.projection.labels
    colors = display.scatter_.get_facecolors()
    lines = [text.get_text() for text in display.legend_.get_texts()]
    assert lines[0] == f"concept 3 ({(own == 'concept 3').sum()})"
    assert len(lines) == 8 and lines[-1].endswith(f"others ({len(own) - counted(lines[:-1])})")
    for label in set(own):
        assert len(np.unique(colors[own == label], axis=0)) == 1
    assert len(np.unique(colors, axis=0)) == 8
    paths = {label: display.scatter_.get_paths()[int(np.flatnonzero(own == label)[0])].vertices for label in set(own)}
    assert len({vertices.tobytes() for vertices in paths.values()}) == 7  # the rest are circles as well


def counted(lines: list[str]) -> int:
    return sum(int(line.rsplit("(", 1)[1].rstrip(")")) for line in lines)


def test_without_tokens_and_labels() -> None:
    mfa, X = wide()
    display = SubspaceDisplay.from_estimator(mfa, np.asarray(X), 1)
    assert display.text_ == [] and display.legend_ is None


@pytest.mark.parametrize("factors", [(0, 1), (0, 1, 2)])
def test_component_without_rows(factors: tuple[int, ...]) -> None:
    mfa, X = wide()
    mfa.weights_ = np.array([0.5, 0.5, 0.0, 0.0])
    display = SubspaceDisplay.from_estimator(mfa, X, 2, factors=factors)
    display.figure_.canvas.draw()
    assert any("0 rows" in text.get_text() for text in display.ax_.texts)
    assert any("no rows" in text.get_text() for text in display.ax_.texts)
    assert display.text_ == [] and len(display.scatter_.get_offsets()) == 0


@pytest.mark.parametrize("factors", [(0, 1), (0, 1, 2)])
@pytest.mark.parametrize("n", [1, 2])
def test_very_few_rows(factors: tuple[int, ...], n: int) -> None:
    mfa, X = wide()
    display = SubspaceDisplay.from_estimator(mfa, X, 1, factors=factors, rows=list(range(n)))
    display.figure_.canvas.draw()
    assert len(display.scatter_.get_offsets()) == n


def test_draws_on_given_axes_and_draws_again() -> None:
    mfa, X = wide()
    figure, (left, right) = plt.subplots(1, 2)
    display = SubspaceDisplay.from_estimator(mfa, X, 1, ax=left, scatter_kwargs={"s": 3, "color": "k"})
    assert display.ax_ is left and display.figure_ is figure
    assert display.plot(ax=right, text_kwargs={"fontsize": "small", "color": "red"}) is display
    assert display.ax_ is right and display.text_[0].get_color() == "red"
    assert SubspaceDisplay(display.projection, factors=(1, 2)).plot().figure_ is not figure


def test_principal_axes() -> None:
    mfa, X = wide()
    assert SubspaceDisplay.from_estimator(mfa, X, 1).projection.axes == "principal"
    display = SubspaceDisplay.from_estimator(mfa, X, 1, axes="factors")
    assert display.ax_.get_xlabel().startswith("distance along factor 0 (")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"factors": (0, 8)}, ValueError, "factor 8 is out of range.*0 to 3"),
        ({"factors": (0, -1)}, ValueError, "factor -1"),
        ({"factors": (0, 1, 2, 3)}, ValueError, "at most 3 different"),
        ({"factors": ()}, ValueError, "at least one"),
        ({"factors": 4}, ValueError, "factors=4: factor 4 is out of range"),
        ({"factors": (0, 0)}, ValueError, "different"),
        ({"factors": (0, 1.5)}, TypeError, "whole numbers"),
        ({"component": 9}, ValueError, "component=9"),
        ({"max_labels": -1}, ValueError, "max_labels=-1"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    mfa, X = wide()
    with pytest.raises(error, match=message):
        SubspaceDisplay.from_estimator(mfa, X, **{"component": 0, **arguments})
    assert not plt.get_fignums()


def test_axes_of_the_wrong_kind() -> None:
    mfa, X = wide()
    flat = plt.subplots()[1]
    with pytest.raises(ValueError, match=r"'rectilinear': for a picture in 3 dimensions give one with projection='3d'"):
        SubspaceDisplay.from_estimator(mfa, X, 1, factors=(0, 1, 2), ax=flat)


def test_missing_matplotlib_is_explained() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = sys.modules['matplotlib.pyplot'] = None\n"
        "import numpy as np; from mfa_sklearn.interpret import Projection, SubspaceDisplay\n"
        "p = Projection(0, 'factors', np.arange(2), np.eye(2), np.eye(2), np.zeros(2), 1.0, np.ones(2))\n"
        "SubspaceDisplay(p).plot()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'mfa-sklearn[plot]'" in result.stderr


@pytest.mark.parametrize("factors", [None, 0, (0,), [0]])
def test_one_factor_is_drawn_against_what_it_leaves(factors: Any) -> None:
    mfa, X = wide(n_factors=1)
    display = SubspaceDisplay.from_estimator(mfa, X, 1, factors=factors)
    points = np.asarray(display.scatter_.get_offsets())
    found = project(mfa, X, 1)
    np.testing.assert_allclose(abs(points[:, 0]), abs(found.coordinates[:, 0]) * np.linalg.norm(mfa.loadings_[1]))
    deviations = np.asarray(X)[found.rows] - mfa.means_[1] - found.coordinates @ mfa.loadings_[1].T
    np.testing.assert_allclose(points[:, 1], np.sqrt((deviations**2 / mfa.noise_variance_).mean(1)))
    assert display.ax_.get_xlabel().startswith("distance along axis 0 ")
    assert "distance from the subspace" in display.ax_.get_ylabel() and "noise" in display.ax_.get_ylabel()
    assert display.text_ and display.ax_.get_aspect() == "auto"
    display.figure_.canvas.draw()


def test_one_factor_of_several_on_given_axes() -> None:
    mfa, X = wide()
    display = SubspaceDisplay.from_estimator(mfa, X, 1, factors=2, ax=plt.subplots()[1])
    found = display.projection
    along = found.coordinates[:, 2] * np.linalg.norm(found.directions[:, 2])
    np.testing.assert_allclose(display.scatter_.get_offsets()[:, 0], along)
    assert display.ax_.get_xlabel().startswith("distance along axis 2 ")
    with pytest.raises(ValueError, match=r"projection '3d': for a picture in 2 dimensions give plain ones"):
        SubspaceDisplay.from_estimator(mfa, X, 1, factors=2, ax=plt.figure().add_subplot(projection="3d"))


@pytest.mark.parametrize("axes", ["factors", "principal"])
def test_the_default_draws_the_factors_that_a_component_has(axes: str) -> None:
    """With one number of factors per component, loadings are zero beyond a component's own."""
    X = np.random.default_rng(0).normal(size=(300, 6))
    mfa = MFA(3, [2, 1, 0], random_state=0, tol=0, max_iter=2).fit(X)
    labels = [SubspaceDisplay.from_estimator(mfa, X, k, axes=axes).ax_.get_ylabel().split()[:3] for k in (0, 1)]
    noun = "factor" if axes == "factors" else "axis"
    assert labels == [["distance", "along", noun], ["distance", "from", "the"]]
    with pytest.raises(ValueError, match=r"no factors.*fit a mixture with n_factors=1"):
        SubspaceDisplay.from_estimator(mfa, X, 2, axes=axes)


@pytest.mark.parametrize("factors", [None, 0, (0, 1)])
def test_no_factors_are_refused_in_words(factors: Any) -> None:
    X = np.random.default_rng(0).normal(size=(60, 4))
    with pytest.raises(ValueError, match=r"no factors \(n_factors=0\), so there is no subspace to draw"):
        SubspaceDisplay.from_estimator(MFA(2, 0, tol=1).fit(X), X, 1, factors=factors)


def test_rows_with_missing_values_draw() -> None:
    X = np.random.default_rng(0).normal(size=(60, 4))
    X[::3, 1] = np.nan
    display = SubspaceDisplay.from_estimator(MFA(1, 1, tol=1).fit(X), X, 0)
    assert np.isfinite(display.scatter_.get_offsets()).all() and not any(
        "nan" in text.get_text() for text in display.ax_.texts
    )
    display.figure_.canvas.draw()


def test_missing_labels_are_drawn_as_such() -> None:
    mfa, X = wide()
    labels = ["river" if i % 2 else None for i in range(200)]
    display = SubspaceDisplay.from_estimator(mfa, X, 1, labels=labels)
    own = display.projection.labels.tolist()
    lines = [text.get_text() for text in display.legend_.get_texts()]
    assert sorted(lines) == [f"(no label) ({own.count(None)})", f"river ({own.count('river')})"]


def test_colors_say_any_fact_of_the_rows() -> None:
    mfa, X = wide(300)
    X = AnnotatedArray(np.asarray(X), rows={"tokens": X.rows["tokens"], "text_index": np.arange(300)})
    bar = SubspaceDisplay.from_estimator(mfa, X, 1, color="text_index")
    assert bar.legend_ is None and bar.colorbar_.ax.get_ylabel() == "text index"
    assert SubspaceDisplay.from_estimator(mfa, X, 1, color="responsibility", threshold=0.01).colorbar_ is not None
    by_token = SubspaceDisplay.from_estimator(mfa, X, 1, color="token", max_labels=0)
    shown = [text.get_text().rsplit(" (", 1)[0] for text in by_token.legend_.get_texts()][:7]
    assert set(shown) < set(label_names(by_token.projection.tokens, label_text)) and len(set(shown)) == 7
    given = SubspaceDisplay.from_estimator(mfa, X, 1, color=np.arange(300) % 3)
    assert [text.get_text()[0] for text in given.legend_.get_texts()] == ["0", "1", "2"]
    none = SubspaceDisplay.from_estimator(mfa, X, 1, color="none")
    assert none.legend_ is None and len(np.unique(none.scatter_.get_facecolors(), axis=0)) == 1
    with pytest.raises(ValueError, match=r"color='concept' is not known of these rows.*'token'"):
        SubspaceDisplay.from_estimator(mfa, X, 1, color="concept")
    with pytest.raises(ValueError, match=r"color has shape \(3,\) for the"):
        SubspaceDisplay(none.projection, color=[1, 2, 3]).plot()


def test_many_points_stay_a_small_file(tmp_path: Path) -> None:
    mfa, X = wide(12_000)
    display = SubspaceDisplay.from_estimator(mfa, np.asarray(X), 1)
    assert len(display.projection) > 1_500
    display.figure_.savefig(tmp_path / "points.pdf")
    assert (tmp_path / "points.pdf").stat().st_size < 300_000


def test_tables_are_drawn_in_standard_deviations_with_the_names_of_columns() -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 3)) * [1, 10, 1000], columns=["a", "$b{$", "c"])
    display = SubspaceDisplay.from_estimator(MFA(1, 2, tol=1e-1).fit(frame), frame, 0)
    display.figure_.canvas.draw()
    found = display.projection
    assert found.scale is not None and display.ax_.get_xlabel().startswith("SD along axis 0 (")
    strongest = frame.columns[np.argmax(abs(found.directions[:, 0] / found.scale))]
    assert strongest in display.ax_.get_xlabel().split("\n")[1]
    assert SubspaceDisplay.from_estimator(MFA(1, 2, tol=1e-1).fit(frame), frame, 0, scale=None).projection.scale is None


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_two_displays_in_one_figure_do_not_run_into_each_other(layout: str | None) -> None:
    mfa, X = wide(400)
    figure, pair = plt.subplots(1, 2, figsize=(7, 3), layout=layout)
    tokens = np.array([f"a rather long token {i % 7}" for i in range(400)])
    for ax in pair:
        SubspaceDisplay.from_estimator(mfa, X, 1, tokens=tokens, ax=ax)
    figure.canvas.draw()
    left, right = ([text.get_window_extent() for text in (ax.title, *ax.texts) if text.get_text()] for ax in pair)
    assert not any(one.overlaps(other) for one in left for other in right)


@pytest.mark.parametrize("factors", [(0, 1), 0])
def test_a_far_row_does_not_squeeze_the_others(factors: Any) -> None:
    rows = np.random.default_rng(0).normal(size=(150, 5)) * [5, 3, 1, 1, 1]
    mfa = MFA(1, 2, tol=1e-2).fit(rows)
    far = np.concatenate([rows, mfa.means_ + 60 * mfa.loadings_[0, :, :1].T])
    plain, display = (SubspaceDisplay.from_estimator(mfa, of, 0, factors=factors) for of in (rows, far))
    assert (plain.n_outside_, display.n_outside_) == (0, 1)
    assert len(display.scatter_.get_offsets()) == len(far)
    spans = [np.ptp(each.ax_.get_xlim()) for each in (plain, display)]
    assert spans[1] < 1.5 * spans[0]
    assert any(" · 1 outside" in text.get_text() for text in display.ax_.texts)
    assert not any("outside" in text.get_text() for text in plain.ax_.texts)


def test_missing_matplotlib_is_said_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    mfa, X = wide()
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    monkeypatch.setattr("mfa_sklearn.interpret._displays.subspace.project", None)
    with pytest.raises(ImportError, match="SubspaceDisplay needs matplotlib: pip install"):
        SubspaceDisplay.from_estimator(mfa, X, 1)
