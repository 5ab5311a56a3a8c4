"""Commands and files: nothing is replaced without being told to, nor worked for that cannot be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interpret_fixtures import mixture
from lm_fixtures import SENTENCES, save_tiny_model
from tiny_stores import token_rows, written

from mfa_sklearn import MFA, ActivationStore
from mfa_sklearn._base import files
from mfa_sklearn.activations import ActivationExtractor
from mfa_sklearn.cli import _COMMANDS, main

FIT = ["-k", "3", "-q", "2", "--tol", "0", "--max-iter", "3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    written(path / "x", token_rows, [7])
    rows = ActivationStore(path / "x").load()
    MFA(4, 2, init=mixture(5.0).means_, max_iter=2, tol=0).fit(rows).save_pretrained(path / "mfa")
    save_tiny_model(path / "model", "gpt2")  # whose rows are 32 wide
    of_model = np.random.default_rng(0).normal(size=(20, 32))
    MFA(2, 1, init=of_model[:2], max_iter=0).fit(of_model).save_pretrained(path / "wide")
    (path / "texts.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in SENTENCES))
    (path / "others.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in SENTENCES[1:]))
    return path


def failed(command: list[Any], capsys: pytest.CaptureFixture[str], status: int = 2) -> str:
    capsys.readouterr()
    assert main([str(part) for part in command]) == status
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if not line.startswith("mfa-sklearn: warning: ")]
    assert said.out == "" and len(lines) == 1
    return lines[0]


def worked(command: list[Any], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main([str(part) for part in command]) == 0
    return capsys.readouterr().out


def evaluated(folder: Path) -> list[Any]:
    return [folder / "x", "-k", "2", "-q", "1", "--resamples", "2"]


def steered(folder: Path) -> list[Any]:
    return [
        folder / "wide",
        "The cat",
        "--component",
        "1",
        "--model",
        folder / "model",
        "--layer",
        "1",
        "--no-source-check",
    ]


def exported(folder: Path) -> list[Any]:
    return [folder / "mfa", "--component", "1", "--alpha", "0.6"]


def searched(folder: Path) -> list[Any]:
    return [folder / "x", "-k", "2", "-q", "1", "--max-iter", "3", "--tol", "0"]


def outputs(folder: Path, out: Path) -> dict[str, tuple[list[Any], Path]]:
    read = [folder / "mfa", folder / "x"]
    extract = ["extract", folder / "texts.csv", "--model", folder / "model", "--layer", "1", "-o", out / "store"]
    return {
        "extract": (extract, out / "store"),
        "kmeans": (["kmeans", folder / "x", "-k", "3", "-o", out / "a.safetensors"], out / "a.safetensors"),
        "fit": (["fit", folder / "x", *FIT, "-o", out / "mix"], out / "mix"),
        "top-tokens": (["top-tokens", *read, "-o", out / "a.csv"], out / "a.csv"),
        "concepts": (["concepts", *read, "-o", out / "a.csv"], out / "a.csv"),
        "plot": (["plot", "subspace", *read, "--component", "1", "-o", out / "a.png"], out / "a.png"),
        "describe": (["describe", *read, "-o", out / "a.csv"], out / "a.csv"),
        "search": (["search", *searched(folder), "-o", out / "a.csv"], out / "a.csv"),
        "search --mixture": (["search", *searched(folder), "--mixture", out / "best"], out / "best"),
        "evaluate": (["evaluate", *evaluated(folder), "-o", out / "a.csv"], out / "a.csv"),
        "evaluate --plot": (["evaluate", *evaluated(folder), "--plot", out / "b.png"], out / "b.png"),
        "atlas": (["atlas", *read, "-o", out / "a.html"], out / "a.html"),
        "atlas --data": (["atlas", *read, "-o", out / "a.html", "--data", out / "data"], out / "data"),
        "steer": (["steer", *steered(folder), "-o", out / "a.csv"], out / "a.csv"),
        "export": (["export", *exported(folder), "-o", out / "a.safetensors"], out / "a.safetensors"),
        "export --gguf": (["export", *exported(folder), "-o", out / "a.gguf"], out / "a.gguf"),
        "demo": (["demo", "--quick", "--output", out / "demo"], out / "demo"),
    }


# What each writes; the suffix of files, and the file that tells a folder's own results from other things.
KINDS = {
    "extract": "manifest.json",
    "kmeans": ".safetensors",
    "fit": "config.json",
    "top-tokens": ".csv",
    "concepts": ".csv",
    "plot": ".png",
    "describe": ".csv",
    "search": ".csv",
    "search --mixture": "config.json",
    "evaluate": ".csv",
    "evaluate --plot": ".png",
    "atlas": ".html",
    "atlas --data": "atlas.json",
    "steer": ".csv",
    "export": ".safetensors",
    "export --gguf": ".gguf",
    "demo": "summary.txt",
}
FILES = [name for name, kind in KINDS.items() if kind.startswith(".")]
FOLDERS = [name for name in KINDS if name not in FILES]
# The tutorial takes a while, and what it leaves is looked at below; a file of llama.cpp needs its package.
QUICK = [name for name in KINDS if name not in ("extract", "demo", "export --gguf")]


def test_every_command_that_writes_is_looked_at_here() -> None:
    silent = {"verify"}
    assert {name.partition(" ")[0] for name in KINDS} | silent == set(_COMMANDS)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model, mixture or row may be read."""

    def read(*_: Any, **__: Any) -> None:
        pytest.fail("something was read first")

    monkeypatch.setattr(MFA, "from_pretrained", read)
    monkeypatch.setattr(ActivationStore, "open", read)
    for name in ("activations.load_model", "activations._path.rows_at", "_demo.fit"):
        monkeypatch.setattr(f"mfa_sklearn.{name}", read)
    monkeypatch.setattr(ActivationExtractor, "_extract", read)


NOT_WRITABLE = [
    (errno.ENOSPC, "No space left on device", "make room"),
    (errno.EROFS, "Read-only file system", "name a place that you may write to"),
    (errno.EACCES, "Permission denied", "name a place that you may write to"),
]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("number", "reason", "remedy"), NOT_WRITABLE)
def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_read(
    folder: Path,
    tmp_path: Path,
    name: str,
    number: int,
    reason: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # As root, permissions keep nobody out, so the system's answer is put on.
    def refused(*_: Any) -> None:
        raise OSError(number, reason)

    monkeypatch.setattr(files, "_allocate", refused)
    command, _ = outputs(folder, tmp_path)[name]
    said = failed(command, capsys)
    assert said.startswith(f"mfa-sklearn: error: cannot write '{tmp_path}") and reason in said and remedy in said
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_a_files_way_and_a_folder_that_is_missing(
    folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, path = outputs(folder, tmp_path)[name]
    path.mkdir()
    for force in ([], ["--force"]):
        assert f"cannot write '{path}': it is a folder" in failed([*command, *force], capsys)
    command, path = outputs(folder, tmp_path / "missing")[name]
    assert f"there is no folder '{path.parent}', make it first" in failed(command, capsys)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_there_is_left_alone(
    folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, path = outputs(folder, tmp_path)[name]
    path.write_text("mine")
    said = failed(command, capsys)
    assert f"cannot write '{path}': it exists" in said and "--force" in said
    assert path.read_text() == "mine" and os.listdir(tmp_path) == [path.name]


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_file_in_a_folders_way_and_a_folder_of_other_things_are_left_alone(
    folder: Path, tmp_path: Path, name: str, force: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command, path = outputs(folder, tmp_path)[name]
    path.write_text("mine")
    assert "is a file" in failed([*command, *force], capsys)
    assert path.read_text() == "mine"
    path.unlink()
    path.mkdir()
    (path / "thesis.txt").write_text("mine")
    if name not in ("extract", "demo"):  # an extraction says that its manifest is damaged; the demo's mark is any text
        (path / KINDS[name]).write_text("another program's")
    assert "holds other things (['" in failed([*command, *force], capsys)
    assert (path / "thesis.txt").read_text() == "mine"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", QUICK)
def test_an_earlier_result_is_replaced_only_by_force(
    folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, path = outputs(folder, tmp_path)[name]
    worked(command, capsys)
    for other in set(tmp_path.iterdir()) - {path}:
        other.unlink()
    marked = path / KINDS[name] if path.is_dir() else path
    os.utime(marked, (0, 0))  # long ago: clocks of file systems are coarse
    before = marked.stat().st_mtime_ns, marked.read_bytes()
    said = failed(command, capsys)
    assert str(path) in said and "--force" in said and "to replace it" in said
    assert (marked.stat().st_mtime_ns, marked.read_bytes()) == before
    worked([*command, "--force"], capsys)
    assert marked.stat().st_mtime_ns > before[0]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_an_earlier_demo_is_replaced_only_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "summary.txt").write_text("earlier")
    (tmp_path / ".tokens.4194399.csv").write_text("left by a killed run")
    assert "holds an earlier result" in failed(["demo", "--output", tmp_path], capsys)
    assert (tmp_path / "summary.txt").read_text() == "earlier"

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mfa_sklearn._demo.fit", stop)
    assert failed(["demo", "--output", tmp_path, "--force"], capsys, status=130) == "mfa-sklearn: interrupted"
    assert os.listdir(tmp_path) == ["summary.txt"] and (tmp_path / "summary.txt").read_text() == "\n"


def test_a_store_is_gone_on_with_or_replaced_by_force(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, path = outputs(folder, tmp_path)["extract"]
    worked(command, capsys)
    worked(command, capsys)  # the same again: nothing to do
    others = [part if part != folder / "texts.csv" else folder / "others.csv" for part in command]
    said = failed(others, capsys)
    assert "holds activations of other texts" in said and "(on the command line: --force)" in said
    assert len(ActivationStore(path).texts) == len(SENTENCES)
    worked([*others, "--no-resume"], capsys)
    assert len(ActivationStore(path).texts) == len(SENTENCES) - 1


@pytest.mark.filterwarnings("default:.*of an interrupted extraction")
def test_an_interrupt_tells_what_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, path = outputs(folder, tmp_path)["extract"]
    command = [*command, "--shard-size", "2"]
    extract, done = ActivationExtractor._extract, []

    def stopping(self: ActivationExtractor, *args: Any, **kwargs: Any) -> Any:
        done.append(args)
        if len(done) == 3:
            raise KeyboardInterrupt
        return extract(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(ActivationExtractor, "_extract", stopping)
        said = failed(command, capsys, status=130)
    n_texts = len(SENTENCES)
    assert said == f"mfa-sklearn: interrupted: 4 of {n_texts} texts are kept in '{path}'; to go on, do the same again"
    assert main(["fit", str(path), *FIT, "-o", str(tmp_path / "mix")]) == 0
    assert f"of an interrupted extraction, 4 of {n_texts} texts of" in capsys.readouterr().err
    assert "incomplete" not in worked(command, capsys) and ActivationStore(path).complete


def test_room_is_asked_for_the_mixture_to_come(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(files, "_allocate", lambda _, n_bytes: asked.append(n_bytes))
    np.save(tmp_path / "wide.npy", np.random.default_rng(0).normal(size=(40, 200)))
    worked(
        ["fit", tmp_path / "wide.npy", "-k", "3", "-q", "4", "--max-iter", "1", "--tol", "0", "-o", tmp_path / "mix"],
        capsys,
    )
    written = sum(path.stat().st_size for path in (tmp_path / "mix").iterdir())
    assert asked[0] == files._PROBE_BYTES and asked[1] >= 0.8 * written
    assert "n_components=1000000 is more than" in failed(
        ["fit", tmp_path / "wide.npy", "-k", "1000000", "-o", tmp_path / "more"], capsys
    )
    assert max(asked) < 10**8  # for no mixture of the size asked for


def test_two_fits_do_not_share_a_new_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, path = outputs(folder, tmp_path)["fit"]
    fit, said = MFA.fit, []

    def meanwhile(self: MFA, rows: Any) -> MFA:
        import threading

        def other() -> None:
            try:
                MFA.from_pretrained(folder / "mfa").save_pretrained(path)
            except OSError as error:
                said.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return fit(self, rows)

    monkeypatch.setattr(MFA, "fit", meanwhile)
    worked(command, capsys)
    assert len(said) == 1 and "another run is writing there" in said[0]
    assert MFA.from_pretrained(path).n_components_ == 3


# ---------------------------------------------------------------- verify


def test_what_is_as_it_was_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    n_files = len(os.listdir(folder / "x")) - 1
    assert f"{n_files} files as written: ActivationStore(" in worked(["verify", folder / "x"], capsys)
    assert "as written: 4 components of 2 factors" in worked(["verify", folder / "mfa"], capsys)


def test_what_is_not(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "x", token_rows, [7])
    MFA.from_pretrained(folder / "mfa").save_pretrained(tmp_path / "mfa")
    for name in ("x/shard-00001.layer-7.npy", "mfa/model.safetensors"):
        content = bytearray((tmp_path / name).read_bytes())
        content[-3] ^= 1
        (tmp_path / name).write_bytes(content)
        assert Path(name).name in failed(["verify", (tmp_path / name).parent], capsys)
        content[-3] ^= 1
        (tmp_path / name).write_bytes(content)
    for name in ("x/manifest.json", "mfa/config.json"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text.replace('"m"', '"n"'))
        assert "was changed after it was written" in failed(["verify", (tmp_path / name).parent], capsys)


@pytest.mark.parametrize("name", ["model", "nowhere", "texts.csv", "."])
def test_what_is_neither(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = failed(["verify", folder / name], capsys)
    assert "is no saved mixture" in said if name == "model" else "there is no store and no mixture at" in said
