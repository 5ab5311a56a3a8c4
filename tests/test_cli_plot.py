"""A picture of each kind from a shell; what is mistyped or missing is told before anything is drawn."""

from __future__ import annotations

import shlex
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli_cases import PNG
from tiny_stores import token_rows, written

from mfa_sklearn import MFA, ActivationStore, MFASearch, SubspaceDisplay
from mfa_sklearn._cli_parser import make_parser
from mfa_sklearn._cli_plot import KINDS
from mfa_sklearn.cli import main

pytest.importorskip("matplotlib")
KIND_NAMES = list(KINDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows, two mixtures, and tables of a search, an evaluation and a steering."""
    path = tmp_path_factory.mktemp("plot")
    written(path / "x", token_rows, [7])
    rows = ActivationStore(path / "x").load()
    mfa = MFA(3, 2, max_iter=6, tol=0, random_state=0)
    mfa.fit(rows).save_pretrained(path / "mfa")
    mfa.set_params(random_state=1).fit(rows).save_pretrained(path / "other")
    X = np.random.default_rng(0).normal(size=(60, 4))
    search = MFASearch(MFA(max_iter=3, tol=0, random_state=0), (1, 2), (1,)).fit(X)
    search.results_.to_csv(path / "search.csv", index=False)
    lines = [("MFA", "AMI", 0.8, 0.7, 0.9, "higher"), ("None", "AMI", 0.6, 0.5, 0.65, "higher")]
    columns = ["candidate", "measure", "value", "low", "high", "better"]
    pd.DataFrame(lines, columns=columns).to_csv(path / "evaluation.csv", index=False)
    moves = [("none", 0, 0.0, 0.1), ("NA", 1, 0.1, 0.2), ("NA", 2, 1.0, 0.4)]
    table = pd.DataFrame(moves, columns=["arm", "strength", "collateral", "share_next"])
    table = table.assign(layer=0, site="residual", select="prompt", concept="river", half="judge")
    table.to_csv(path / "steering.csv", index=False)
    return path


DRAWN: dict[str, tuple[list[str], str]] = {
    "subspace": (["mfa", "x", "--component", "1", "--color-by", "positions"], "of component 1"),
    "factors": (["mfa", "x", "--component", "1", "--n-tokens", "2"], "ends of component 1"),
    "map": (["mfa", "x", "--color-by", "size", "--clusters", "2"], "3 components"),
    "convergence": (["mfa", "other", "--scale", "gap"], "6 iterations, 6 iterations"),
    "search": (["search.csv", "--criterion", "aic"], "2 candidates"),
    "evaluation": (["evaluation.csv", "--measures", "AMI", "--columns", "2"], "1 measure"),
    "steering": (["steering.csv", "--band", "--arms", "NA"], "1 arm"),
    "density": (["mfa", "x", "--features", "0", "2", "--given", "1=0.5"], "column 0 and column 2"),
}


def command(folder: Path, name: str, output: Path, *more: str) -> list[str]:
    words = [str(folder / word) if (folder / word).exists() else word for word in DRAWN[name][0]]
    return ["plot", name, *words, "-o", str(output), *more]


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_of_each_kind(folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(folder, name, tmp_path / "a.png", "--title", "$a\x1b_title")) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    printed = capsys.readouterr().out
    assert printed.startswith(f"{tmp_path / 'a.png'}: ") and printed.endswith(f"{DRAWN[name][1]}\n")


@pytest.mark.parametrize("name", ["convergence", "evaluation"])
def test_size_and_dots_are_those_asked_for(folder: Path, tmp_path: Path, name: str) -> None:
    assert main(command(folder, name, tmp_path / "a.png", "--size", "3.4x2.5", "--dpi", "100")) == 0
    assert struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24]) == (340, 250)
    assert main(command(folder, name, tmp_path / "a.svg")) == 0
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")


def test_principal_axes_are_the_default(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    draw = SubspaceDisplay.from_estimator.__func__  # type: ignore[attr-defined]

    def noted(cls: Any, *args: Any, **options: Any) -> Any:
        asked.append(options["axes"])
        return draw(cls, *args, **options)

    monkeypatch.setattr(SubspaceDisplay, "from_estimator", classmethod(noted))
    assert main(command(folder, "subspace", tmp_path / "a.png")) == 0
    assert asked == ["principal"]


@pytest.mark.parametrize("name", KIND_NAMES)
def test_every_kind_has_an_example_and_is_tested(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(DRAWN) == set(KIND_NAMES)
    words = shlex.split(KINDS[name].example)
    found = make_parser().parse_args(["plot", name, *words])
    assert (found.command, found.kind) == ("plot", name)
    with pytest.raises(SystemExit):
        main(["plot", name, "--help"])
    text = capsys.readouterr().out
    assert f"example:\n  mfa-sklearn plot {name} {KINDS[name].example}\n" in text and "None" not in text


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mixture", "x"], "invalid choice: 'mixture'"),
        (["subspce", "m", "x"], "did you mean subspace?"),
        (["search", "a.csv", "-o", "a.png", "--size", "3"], "'3' is not WIDTHxHEIGHT, as in 3.4x2.6"),
        (["search", "a.csv", "-o", "a.png", "--size", "3x1e9"], "must be of 0.5 to 100 inches each"),
        (["search", "a.csv", "-o", "a.png", "--size", "nanx3"], "must be of 0.5 to 100 inches each"),
        (["search", "a.csv", "-o", "a.png", "--dpi", "99999"], "must be a whole number from 10 to 2400"),
        (["density", "m", "--features", "0", "--given", "3", "-o", "a.png"], "'3' is not COLUMN=VALUE, as in 3=0.5"),
        (["density", "m", "--features", "0", "--given", "3=inf", "-o", "a.png"], "is not COLUMN=VALUE"),
    ],
)
def test_mistyped_words(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(["plot", *words])
    assert caught.value.code == 2 and says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["search", "{f}/none.csv", "-o", "{o}/a.png"], "No such file"),
        (["search", "{f}/mfa", "-o", "{o}/a.png"], "give a .csv file"),
        (["search", "{f}/evaluation.csv", "-o", "{o}/a.png"], "give the results_ of an MFASearch"),
        (["evaluation", "{f}/search.csv", "-o", "{o}/a.png"], "give what evaluate returns"),
        (["steering", "{f}/search.csv", "-o", "{o}/a.png"], "has no columns"),
        (["convergence", "{f}/mfa", "-o", "{o}/a.gif"], "must end in .png"),
        (["convergence", "{f}/mfa", "-o", "{o}/none/a.png"], "there is no folder"),
        (["density", "{f}/mfa", "--features", "zz", "-o", "{o}/a.png"], "'zz' is no column of this mixture"),
        (["density", "{f}/mfa", "--features", "0", "--given", "1=2", "1=3", "-o", "{o}/a.png"], "names a column twice"),
    ],
)
def test_mistakes_are_told_and_leave_nothing(
    folder: Path, tmp_path: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", *(word.format(f=folder, o=tmp_path) for word in words)]) == 2
    captured = capsys.readouterr()
    assert says in captured.err and captured.err.count("\n") == 1 and not list(tmp_path.iterdir())
