"""The command line reads stores on disk, and a mistake ends in one line, a bug in a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interpret_fixtures import mixture
from tiny_stores import N_ROWS, token_rows, two_layers, written

from mfa_sklearn import MFA, ActivationStore
from mfa_sklearn.activations import SITES
from mfa_sklearn.activations._store import StoredActivations
from mfa_sklearn.cli import main, make_parser

FIT = ["-k", "3", "-q", "2", "--tol", "0.1", "--max-iter", "5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    written(path / "x", token_rows, [7])
    written(path / "two", two_layers, [2, 7])
    means = mixture(5.0).means_
    MFA(4, 2, init=means, max_iter=2, tol=0).fit(ActivationStore(path / "x").load()).save_pretrained(path / "mfa")
    return path


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stores may be read in pieces only; how many rows each had."""
    read = StoredActivations.read_values
    pieces: list[int] = []

    def piece(self: StoredActivations, index: Any) -> Any:
        rows = read(self, index)
        pieces.append(len(rows))
        return rows

    monkeypatch.setattr(ActivationStore, "load", lambda *_: pytest.fail("the whole store was loaded"))
    monkeypatch.setattr(StoredActivations, "__array__", lambda *_, **__: pytest.fail("the whole store was loaded"))
    monkeypatch.setattr(StoredActivations, "read_values", piece)
    for name, value in (("_rows.BATCH_BYTES", 40 * 5 * 4), ("_rows.KEEP_BYTES", 1), ("_moments._NUMBERS", 40 * 5)):
        monkeypatch.setattr(f"mfa_sklearn.mixture.{name}", value)
    return pieces


PARTS = {"first": slice(0, 14), "last": slice(14, None)}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_reads_the_store_piece_by_piece_and_keeps_its_source(
    folder: Path, tmp_path: Path, most: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(folder / "two"), "--layer", "7", "-o", str(tmp_path / "mfa"), *FIT]) == 0
    assert f"on {N_ROWS} rows" in capsys.readouterr().out
    source = MFA.from_pretrained(tmp_path / "mfa").source_
    assert source["layer"] == 7 and source["hooks"] == ["blocks.7.hook_resid_post"] and source["model"] == "m"


@pytest.mark.parametrize(
    "command",
    [["top-tokens"], ["top-tokens", "--score", "likelihood"], ["concepts"], ["concepts", "--by-concept"]],
)
def test_tables_read_the_store_piece_by_piece(
    folder: Path, most: list[int], command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    name, *options = command
    assert main([name, str(folder / "mfa"), str(folder / "x"), *options]) == 0
    assert sum(most) == N_ROWS and max(most) <= 40
    assert capsys.readouterr().out


def test_plot_reads_the_store_piece_by_piece(folder: Path, tmp_path: Path, most: list[int]) -> None:
    picture = [
        "plot",
        "subspace",
        str(folder / "mfa"),
        str(folder / "x"),
        "--component",
        "1",
        "-o",
        str(tmp_path / "p.png"),
    ]
    assert main(picture) == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert max(most[: -(-N_ROWS // 40)]) <= 40


def test_of_several_layers_one_must_be_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["concepts", str(folder / "mfa"), str(folder / "two")]) == 2
    assert "holds the layers [2, 7]: name one with --layer" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["top-tokens"], ["concepts"], ["plot", "subspace", "--component", "1"]])
def test_rows_from_elsewhere_are_refused_in_one_line(
    folder: Path, tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    is_plot = command[0] == "plot"
    names, options = (command[:2], command[2:]) if is_plot else (command, [])
    output = ["-o", str(tmp_path / ("p.png" if is_plot else "t.csv"))]
    assert main([*names, str(folder / "mfa"), str(folder / "two"), "--layer", "2", *options, *output]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "fitted on layer 7" in said and "these rows are of layer 2" in said
    assert list(tmp_path.iterdir()) == []


def test_a_table_has_no_layers(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "table.npy", np.eye(9))
    assert main(["fit", str(tmp_path / "table.npy"), "--layer", "3", "-o", str(tmp_path / "mfa"), *FIT]) == 2
    assert "has no layers: leave layer=3 out" in capsys.readouterr().err


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(error: BaseException) -> None:
        def fit(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(MFA, "fit", fit)

    return make


def run_fit(folder: Path, tmp_path: Path) -> int:
    return main(["fit", str(folder / "x"), "-o", str(tmp_path / "mfa"), *FIT])


def test_a_fit_that_diverges_is_told_in_one_line(
    folder: Path, tmp_path: Path, failing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(FloatingPointError("not finite; use a lower learning_rate"))
    assert run_fit(folder, tmp_path) == 2
    assert capsys.readouterr().err == "mfa-sklearn: error: not finite; use a lower learning_rate\n"


@pytest.mark.parametrize("error", [RuntimeError("bug"), TypeError("bug"), ZeroDivisionError("bug"), KeyError("bug")])
def test_a_bug_gives_a_traceback(folder: Path, tmp_path: Path, failing: Any, error: Exception) -> None:
    failing(error)
    with pytest.raises(type(error), match="bug"):
        run_fit(folder, tmp_path)


def test_an_interrupt_ends_with_130(folder: Path, tmp_path: Path, failing: Any) -> None:
    failing(KeyboardInterrupt())
    assert run_fit(folder, tmp_path) == 130
    assert "130 after an interrupt" in str(main.__doc__)


@pytest.mark.parametrize("tol", ["often", "", "1e"])
def test_a_tolerance_that_is_none_is_named(tol: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fit", "x", "-o", "m", "-k", "2", "--tol", tol])
    said = capsys.readouterr().err
    assert caught.value.code == 2 and f"argument --tol: invalid value {tol!r}: give a number or 'auto'" in said


def test_tolerances() -> None:
    parse = make_parser().parse_args
    found = [
        parse(["fit", "x", "-o", "m", "-k", "2", *more]).tol for more in ([], ["--tol", "auto"], ["--tol", "1e-3"])
    ]
    assert found == ["auto", "auto", 1e-3]


def test_a_language_models_folder_is_refused_before_the_fit(
    folder: Path, tmp_path: Path, failing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mfa").mkdir()
    (tmp_path / "mfa" / "config.json").write_text('{"model_type": "llama"}')
    failing(RuntimeError("fitted first"))
    assert run_fit(folder, tmp_path) == 2
    assert "it holds other things (['config.json']; " in capsys.readouterr().err


@pytest.mark.parametrize("site", SITES)
def test_every_site_can_be_named(site: str) -> None:
    arguments = ["extract", "t.csv", "-o", "x", "--model", "m", "--layer", "1", "--site", site]
    assert make_parser().parse_args(arguments).site == site


def test_the_parser_loads_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys\nfrom mfa_sklearn.cli import make_parser\nmake_parser()\n"
        "print(sorted({'torch', 'sklearn', 'numpy', 'pandas', 'transformers'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_site_of_the_parser_is_one_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SITES, "attn_in", "blocks.{layer}.hook_attn_in")
    arguments = ["extract", "t.csv", "-o", "x", "--model", "m", "--layer", "1", "--site", "attn_in"]
    assert make_parser().parse_args(arguments).site == "attn_in"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_table_stays_on_disk(folder: Path, tmp_path: Path) -> None:
    np.save(folder / "table.npy", np.random.default_rng(0).normal(size=(60, 4)))
    assert main(["fit", str(folder / "table.npy"), "-o", str(tmp_path / "mfa"), *FIT]) == 0


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_several_folders_are_one_table(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = [str(written(tmp_path / name, token_rows, [7], some).directory) for name, some in PARTS.items()]
    commands = ("top-tokens", "concepts", "describe")
    for rows, made in (([str(folder / "x")], "one"), (parts, "both")):
        assert main(["fit", *rows, *FIT, "-o", str(tmp_path / f"{made}-mfa")]) == 0
        for command in commands:
            table = str(tmp_path / f"{made}-{command}.csv")
            assert main([command, str(tmp_path / f"{made}-mfa"), *rows, "-o", table]) == 0
        assert main(["search", *rows, "-k", "2", "-q", "1", "-o", str(tmp_path / f"{made}-search.csv")]) == 0
        assert main(["plot", "map", str(tmp_path / f"{made}-mfa"), *rows, "-o", str(tmp_path / f"{made}.png")]) == 0
    for command in commands:
        assert (tmp_path / f"one-{command}.csv").read_text() == (tmp_path / f"both-{command}.csv").read_text()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "both.png").read_bytes()
    capsys.readouterr()


def test_several_tables_of_other_widths_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "wide.npy", np.eye(9))
    assert main(["fit", str(folder / "x"), str(tmp_path / "wide.npy"), "-o", str(tmp_path / "mfa"), *FIT]) == 2
    said = capsys.readouterr().err
    assert "wide.npy' has 9 columns and" in said and "x' has 5: give tables of equal width" in said
    assert not (tmp_path / "mfa").exists()
