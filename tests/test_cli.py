"""The stages from a shell: results land where they should, and mistakes get one clear line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import PNG, read_csv
from lm_fixtures import SENTENCES, save_tiny_model

from mfa_sklearn import MFA, ActivationStore
from mfa_sklearn._cli_parser import EXAMPLES
from mfa_sklearn.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model, labeled texts, their activations and a mixture, all made by the commands themselves."""
    path = tmp_path_factory.mktemp("cli")
    save_tiny_model(path / "model", "gpt2")
    with (path / "texts.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [(text, "money" if "money" in text.lower() else "other") for text in SENTENCES * 3]
        csv.writer(file).writerows([("text", "label"), *rows])
    np.save(path / "table.npy", np.random.default_rng(0).normal(size=(60, 4)))
    assert (
        main(["extract", *args(path, "texts.csv"), "--model", str(path / "model"), "--layer", "1", *out(path, "x")])
        == 0
    )
    assert main(["fit", *args(path, "x"), "-k", "3", "-q", "2", "--tol", "0.1", *out(path, "mfa")]) == 0
    return path


def args(folder: Path, *names: str) -> list[str]:
    return [str(folder / name) for name in names]


def out(folder: Path, name: str) -> list[str]:
    return ["-o", str(folder / name)]


def test_fit_keeps_a_mixture_that_knows_its_source(folder: Path) -> None:
    mfa = MFA.from_pretrained(folder / "mfa")
    assert mfa.means_.shape == (3, 32) and mfa.loadings_.shape == (3, 32, 2)
    assert mfa.source_["layer"] == 1 and mfa.source_["site"] == "residual"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_takes_any_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", *args(folder, "table.npy"), "-k", "2", "-q", "1", *out(folder, "table-mfa")]) == 0
    expected = MFA(2, 1, init="kmeans", random_state=0).fit(np.load(folder / "table.npy"))
    np.testing.assert_allclose(MFA.from_pretrained(folder / "table-mfa").means_, expected.means_)
    assert "2 components of 1 factor on 60 rows" in capsys.readouterr().out


def test_top_tokens(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["top-tokens", *args(folder, "mfa", "x"), "--component", "0", "2", "--n-tokens", "4"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "component 0" in printed and "component 2" in printed and "component 1" not in printed and "«" in printed
    assert main([*command, *out(folder, "tokens.csv")]) == 0
    rows = read_csv(folder / "tokens.csv")
    assert {row["component"] for row in rows} == {"0", "2"} and all(int(row["rank"]) <= 4 for row in rows)
    assert len({(row["component"], row["rank"]) for row in rows}) == len(rows)  # a line per token
    assert max(row["other_contexts"].count("«") for row in rows) == 2


def test_concepts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["concepts", *args(folder, "mfa", "x")]) == 0
    assert "lift" in capsys.readouterr().out
    assert main(["concepts", *args(folder, "mfa", "x"), "--by-concept", *out(folder, "best.csv")]) == 0
    assert [row["label"] for row in read_csv(folder / "best.csv")] == ["money", "other"]
    assert main(["concepts", *args(folder, "mfa", "x"), "--by-concept", "--n-concepts", "3"]) == 2
    assert "leave --n-concepts out" in capsys.readouterr().err


def test_a_doubtful_label_is_said_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("text,label\nThe cat,nan\nThe dog,pets\n")
    command = ["extract", *args(tmp_path, "t.csv"), "--model", "tiny_lm", "--layer", "0", *out(tmp_path, "a")]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(command) == 0
    assert capsys.readouterr().err.count("hold 'nan'") == 1


@pytest.mark.parametrize(("name", "start"), [("a.png", PNG), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml")])
def test_plot(folder: Path, name: str, start: bytes) -> None:
    mixture = args(folder, "mfa", "x")
    assert main(["plot", "subspace", *mixture, "--component", "0", "--axes", "principal", *out(folder, name)]) == 0
    assert (folder / name).read_bytes().startswith(start)


def test_steer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["steer", *args(folder, "mfa"), "The cat", "--component", "1", "--top-k", "3"]
    assert main([*command, "--z", "0=2", "1=-1", "--generate", "3"]) == 0
    printed = capsys.readouterr().out
    assert "change" in printed and "before: The cat" in printed and "after: The cat" in printed
    assert main([*command, "--alpha", "0", *out(folder, "nothing.csv")]) == 0
    assert all(float(row["change"]) == 0 for row in read_csv(folder / "nothing.csv"))
    assert main([*command, "--alpha", "1", *out(folder, "moved.csv")]) == 0
    assert all(float(row["change"]) != 0 for row in read_csv(folder / "moved.csv"))
    capsys.readouterr()
    assert main([*command, "--select", "generated", "--generate", "3"]) == 0
    printed = capsys.readouterr().out
    assert "change" not in printed and "after: The cat" in printed
    assert main([*command, "--select", "generated"]) == 2
    assert "give --generate" in capsys.readouterr().err


def test_commands_run_without_transformer_lens(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("transformer_lens", "transformer_lens.model_bridge"):
        monkeypatch.setitem(sys.modules, name, None)
    extract = ["extract", *args(folder, "texts.csv"), "--model", str(folder / "model"), "--layer", "1"]
    steer = ["steer", *args(folder, "mfa"), "The cat", "--component", "1", "--generate", "3"]
    assert main([*extract, *out(tmp_path, "x"), "--backend", "transformers"]) == 0
    assert main([*steer, "--backend", "transformers"]) == 0
    assert "after: The cat" in capsys.readouterr().out
    assert main(steer) == 2
    assert "backend='transformers'" in capsys.readouterr().err


def test_a_colleague_is_told_which_model_to_bring(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "mfa", tmp_path / "mfa")
    assert str(folder) not in (tmp_path / "mfa" / "config.json").read_text(encoding="utf-8")
    command = ["steer", str(tmp_path / "mfa"), "The cat", "--component", "1"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert "'model' was a directory" in error and "--model DIR" in error and "same weights, digest sha256:" in error
    save_tiny_model(tmp_path / "other", "gpt2", seed=1)
    assert main([*command, "--model", str(tmp_path / "other")]) == 2
    assert "another model" in capsys.readouterr().err
    assert main([*command, "--model", str(folder / "model")]) == 0


X_TEXTS = ["extract", "{f}/texts.csv", "-o", "{f}/new", "--layer"]
FIT = ["fit", "{f}/x", "-o"]
TOKENS = ["top-tokens", "{f}/mfa", "{f}/x"]
PLOT = ["plot", "subspace", "{f}/mfa", "{f}/x", "-o", "{f}/p.png"]
STEER = ["steer", "{f}/mfa"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["extract", "{f}/none.csv", "-o", "{f}/new", "--model", "{f}/model", "--layer", "1"], "No such file"),
        ([*X_TEXTS, "9", "--model", "{f}/model"], "layer 9 is out of range"),
        ([*X_TEXTS, "1", "--model", "{f}/nowhere"], "there is no model directory"),
        ([*X_TEXTS, "1", "--model", "no-such-model"], "cannot load model 'no-such-model'"),
        ([*FIT, "{f}/new", "-k", "100000"], "n_components=100000 is more than"),
        ([*FIT, "{f}/new", "-k", "2", "-q", "99"], "n_factors=99 must be below n_features=32"),
        ([*FIT, "{f}/new", "-k", "2", "--layer", "0"], "layer 0 is not in this store"),
        ([*FIT, "{f}/table.npy", "-k", "2"], "it is a file"),
        ([*FIT, "{f}/x", "-k", "2"], "it holds other things"),
        (["fit", "{f}/none", "-o", "{f}/new", "-k", "2"], "give a folder that `extract` wrote"),
        (["fit", "{f}/texts.csv", "-o", "{f}/new", "-k", "2"], "give a folder that `extract` wrote"),
        (["fit", "{f}/model", "-o", "{f}/new", "-k", "2"], "model.safetensors' holds several tables"),
        ([*TOKENS, "--component", "3"], "component=3 is out of range"),
        ([*TOKENS, "--n-tokens", "0"], "n_tokens=0 must be at least 1"),
        ([*TOKENS, "-o", "{f}/t.txt"], "must end in .csv"),
        (["top-tokens", "{f}/table-mfa", "{f}/x"], "X has 32 features, but MFA is expecting 4"),
        (["top-tokens", "{f}/none", "{f}/x"], "config.json does not exist"),
        (["top-tokens", "{f}/model", "{f}/x"], "is no saved mixture"),
        (["top-tokens", "{f}/mfa", "{f}/table.npy"], "top_tokens needs tokens"),
        ([*PLOT, "--component", "7"], "component=7 is out of range"),
        ([*PLOT, "--component", "0", "--factors", "0", "5"], "factor 5"),
        ([*PLOT[:-1], "{f}/p.gif", "--component", "0"], "must end in .png"),
        ([*STEER, "The", "--component", "3"], "component=3 is out of range"),
        ([*STEER, "The", "--component", "0", "--z", "2=1"], "factor 2"),
        (["steer", "{f}/table-mfa", "The", "--component", "0"], "give --model"),
        (["steer", "{f}/table-mfa", "The", "--component", "0", "--model", "{f}/model"], "give layer="),
        ([*STEER, "The", "--component", "0", "--layer", "0"], "layer"),
        ([*STEER, "The", "--component", "0", "--z", "0=1", "0=2"], "--z names a factor twice"),
        (
            [*STEER, "half \udcff", "--component", "0"],
            "prompt 0 holds half of a surrogate pair, '\\udcff', at character 5",
        ),
        (["fit", "{f}/table.npy", "-o", "{f}/new", "-k", "2", "--layer", "1"], "is one table, which has no layers"),
        (["fit", "{f}/table.npy", "-o", "{f}/new", "-k", "2", "--device", "meta"], "device='meta' cannot compute"),
        (
            [*X_TEXTS, "1", "--model", "{f}/model", "--text-column", "body"],
            "has no column 'body': it has ['text', 'label']",
        ),
        (["demo", "--output", "{f}/texts.csv"], "it is a file"),
    ],
)
def test_mistakes_get_one_clear_line(
    command: list[str], says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MFA(2, 1, init="random", tol=0.1).fit(np.load(folder / "table.npy")).save_pretrained(folder / "table-mfa")
    before = set(folder.iterdir())
    capsys.readouterr()
    assert main([part.format(f=folder) for part in command]) == 2
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("mfa-sklearn: error: ")]
    assert len(errors) == 1 and says in captured.err and "Traceback" not in captured.err
    assert captured.out == ""
    assert set(folder.iterdir()) <= before


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


TABLES: dict[str, Any] = {
    "empty": b"",
    "short": b"\x93NUMPY\x01\x00v\x00{'descr'",
    "other": b"not an array",
    "zip": b"PK\x03\x04" + bytes(40),
    "cut": header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000, 4), }\n"),
    "huge": header("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999, 4), }\n"),
    "deep": header("(" * 3000 + "\n"),
    "objects": header("{'descr': '|O', 'fortran_order': False, 'shape': (3, 4), }\n"),
    "strings": np.array([["a", "b"]] * 5),
    "one column": np.zeros(5),
    "cube": np.zeros((3, 3, 3)),
    "complex": np.zeros((5, 3), complex),
    "dates": np.zeros((5, 3), "M8[s]"),
    "records": np.zeros(5, [("a", float)]),
    "no rows": np.zeros((0, 4)),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_file_that_is_no_table_is_told_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, content = tmp_path / "bad.npy", TABLES[name]
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    assert main(["fit", str(path), "-k", "2", "-q", "1", *out(tmp_path, "new")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mfa-sklearn: error: ") and "pickle" not in line
    assert "bad.npy" in line or name == "no rows"
    assert not (tmp_path / "new").exists()


LABELS_AS_THEY_COME = ["\x1b]0;owned\x07", "\x1b[2J\u202egone", "日本", "naïve\nline", None, float("nan"), ""]


@pytest.fixture(scope="module")
def odd(folder: Path) -> Path:
    """Activations of texts whose labels a terminal could obey or not show, and a mixture of them."""
    rows = [{"text": f"The cat {i} «sat» é.", "label": LABELS_AS_THEY_COME[i % 7]} for i in range(28)]
    (folder / "odd.json").write_text(json.dumps(rows))
    extract = ["extract", str(folder / "odd.json"), "--model", str(folder / "model"), "--layer", "1"]
    assert main([*extract, *out(folder, "odd")]) == 0
    assert (
        main(
            ["fit", str(folder / "odd"), "-k", "3", "-q", "1", "--max-iter", "3", "--tol", "0", *out(folder, "odd-mfa")]
        )
        == 0
    )
    return folder


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252", "latin-1"])
@pytest.mark.parametrize("command", [["concepts"], ["concepts", "--by-concept"], ["top-tokens"], ["steer"]])
def test_tables_reach_any_terminal_and_order_it_nothing(odd: Path, command: list[str], encoding: str) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    rest = [str(odd / "odd")] if command != ["steer"] else ["\x1b[2J日本", "--component", "0", "--generate", "2"]
    with contextlib.redirect_stdout(screen):
        assert main([*command, str(odd / "odd-mfa"), *rest]) == 0
    screen.flush()
    shown = screen.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert len(shown) > 100 and [c for c in shown if not c.isprintable() and c != "\n"] == []
    if command[0] == "concepts":
        assert "\\x1b]0;owned" in shown and "nan" not in shown and "None" not in shown


def test_what_extract_and_fit_say_counts_in_english(odd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (odd / "one.txt").write_text("The only cat.\n")
    extract = ["extract", str(odd / "one.txt"), "--model", str(odd / "model"), "--layer", "1", *out(odd, "one")]
    assert main(extract) == 0
    assert "one: activations of 1 text without labels: " in capsys.readouterr().out
    assert main(["extract", str(odd / "odd.json"), *extract[2:-1], str(odd / "odd")]) == 0
    assert "odd: activations of 28 texts with 4 labels: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["no-such-command"],
        ["kmeans", "x", "-o", "c.safetensors"],
        ["fit", "x", "-o", "m.joblib", "-k", "many"],
        ["steer", "m", "The", "--component", "0", "--z", "0:2"],
        ["extract", "t.csv", "-o", "x", "--model", "m", "--layer", "1", "--site", "nowhere"],
    ],
)
def test_usage_errors_exit_with_two(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 2 and "usage: mfa-sklearn" in capsys.readouterr().err


HELP = ["", *EXAMPLES]


@pytest.mark.parametrize("name", HELP)
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"] if name else ["--help"])
    printed = capsys.readouterr().out
    assert caught.value.code == 0 and "usage: mfa-sklearn" in printed and "None" not in printed


def test_extract_selects_tokens(folder: Path) -> None:
    extract = [
        "extract",
        *args(folder, "texts.csv"),
        "--model",
        str(folder / "model"),
        "--layer",
        "1",
        *out(folder, "s"),
    ]
    for options, expected in {
        ("--select", ".", " bank"): {".", " bank"},
        ("--select", ".", "The", "--select-first", "1"): {"The"},
        ("--select-last", "1"): {".", "!"},
    }.items():
        assert main([*extract, *options, "--force"]) == 0
        assert set(ActivationStore(folder / "s")[1].tokens) == expected
