"""Rows that are damaged, or not all there: every command that reads them says so in a line, before it works."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from foreign_cases import write
from interpret_fixtures import mixture
from tiny_stores import token_rows, written

from mfa_sklearn import MFA, ActivationStore, KMeansInitializer
from mfa_sklearn.cli import main

SIZE = ["-k", "2", "-q", "1"]
# Words before the rows and after them; "mfa" stands for the mixture, "out" for what is written.
COMMANDS: dict[str, tuple[list[str], list[str]]] = {
    "fit": (["fit"], [*SIZE, "-o", "out"]),
    "kmeans": (["kmeans"], ["-k", "2", "-o", "out.safetensors"]),
    "search": (["search"], [*SIZE, "-o", "out.csv"]),
    "evaluate": (["evaluate"], [*SIZE, "-o", "out.csv"]),
    "describe": (["describe", "mfa"], ["-o", "out.csv"]),
    "top-tokens": (["top-tokens", "mfa"], ["-o", "out.csv"]),
    "concepts": (["concepts", "mfa"], ["-o", "out.csv"]),
    "plot subspace": (["plot", "subspace", "mfa"], ["--component", "0", "-o", "out.png"]),
    "plot factors": (["plot", "factors", "mfa"], ["--component", "0", "-o", "out.png"]),
    "plot map": (["plot", "map", "mfa"], ["-o", "out.png"]),
    "plot density": (["plot", "density", "mfa"], ["--features", "0", "-o", "out.png"]),
    "atlas": (["atlas", "mfa"], ["-o", "out.html"]),
}


@pytest.fixture(scope="module")
def mfa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    written(path / "x", token_rows, [7])
    rows = ActivationStore(path / "x").load()
    MFA(4, 2, init=mixture(5.0).means_, max_iter=0).fit(rows).save_pretrained(path / "mfa")
    return path / "mfa"


def arguments(command: str, mfa: Path, rows: list[Path], folder: Path) -> list[str]:
    before, after = COMMANDS[command]
    return [
        *(str(mfa) if word == "mfa" else word for word in before),
        *map(str, rows),
        *(str(folder / word) if word.startswith("out") else word for word in after),
    ]


# ---------------------------------------------------------------- what is wrong, and what is said of it


def another_width(path: Path) -> list[str]:
    """Many files, one of which is of other rows."""
    for number in range(12):
        write(path, "npy", np.ones((4, 6 if number == 7 else 5), dtype=np.float16), f"part-{number}")
    return ["part-7.npy", "6"]


def truncated(path: Path) -> list[str]:
    for number in range(12):
        write(path, "npy", np.ones((4, 5), dtype=np.float16), f"part-{number}")
    cut(path / "part-9.npy")
    return ["part-9.npy"]


def truncated_safetensors(path: Path) -> list[str]:
    for number in range(12):
        write(path, "safetensors", np.ones((4, 5), dtype=np.float16), f"part-{number}")
    cut(path / "part-4.safetensors")
    return ["part-4.safetensors"]


def truncated_store(path: Path) -> list[str]:
    written(path, token_rows, [7])
    cut(path / "shard-00003.layer-7.npy")
    return ["shard-00003.layer-7.npy", "restore it from a copy"]


def missing_shard(path: Path) -> list[str]:
    written(path, token_rows, [7])
    (path / "shard-00002.layer-7.npy").unlink()
    return ["shard-00002.layer-7.npy"]


def missing_manifest(path: Path) -> list[str]:
    written(path, token_rows, [7])
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text()[:-40])
    return [path.name]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


DAMAGE = [another_width, truncated, truncated_safetensors, truncated_store, missing_shard, missing_manifest]


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "after a sound one"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_rows_are_refused_before_any_work(
    mfa: Path,
    tmp_path: Path,
    damage: Callable[[Path], list[str]],
    beside: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = damage(tmp_path / "rows")
    rows = [mfa.parent / "x"] * beside + [tmp_path / "rows"]
    for owner, name in ((MFA, "fit"), (MFA, "iter_pairs"), (MFA, "iter_log_joint"), (KMeansInitializer, "fit")):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("work was spent"))
    for command in COMMANDS:
        assert main(arguments(command, mfa, rows, tmp_path)) == 2, command
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("mfa-sklearn: error: "), command
        assert all(word in said.err for word in words), (command, said.err)
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


@pytest.mark.filterwarnings("default:these rows are of an interrupted extraction")
@pytest.mark.parametrize("command", ["kmeans", "describe", "top-tokens", "concepts", "plot factors"])
def test_an_unfinished_store_is_read_with_a_warning_that_comes_first(
    mfa: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "rows", token_rows, [7])
    manifest = json.loads((tmp_path / "rows" / "manifest.json").read_text())
    # As it is until the last texts are there.
    left = {name: entry for name, entry in manifest.items() if name not in ("sha256", "complete")}
    left["shards"] = left["shards"][:-1]
    (tmp_path / "rows" / "manifest.json").write_text(json.dumps(left))
    assert main([*arguments(command, mfa, [tmp_path / "rows"], tmp_path), "--verbose"]) == 0
    said = capsys.readouterr().err
    assert said.count("warning: ") == 1 and "rows" in said.split("warning: ")[1]
    assert said.index("warning: ") < said.index(" rows, ")


@pytest.mark.parametrize("command", ["describe", "top-tokens", "concepts", "plot factors"])
def test_passes_over_the_rows_show_how_far_they_are(
    mfa: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = arguments(command, mfa, [mfa.parent / "x"], tmp_path)
    n_rows = len(ActivationStore(mfa.parent / "x").open())
    assert main(words) == 0
    assert "posteriors" not in capsys.readouterr().err  # nobody looks on: there is no terminal
    assert main([*words, "--verbose", "--force"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert f" posteriors: 0 of {n_rows} rows" in said[0] and f" posteriors: {n_rows} of {n_rows} rows" in said[-1]
    assert all(line[:2].isdecimal() for line in said)
