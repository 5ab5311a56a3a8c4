"""The command `extract`: parts, types and options of the loader."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from lm_fixtures import SENTENCES, save_tiny_model
from tiny_stores import content

from mfa_sklearn import ActivationStore
from mfa_sklearn.cli import main, make_parser

BASIC = ["extract", "t.txt", "-o", "x", "--model", "m", "--layer", "1"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = tmp_path_factory.mktemp("cli")
    (path / "texts.txt").write_text("\n".join(SENTENCES))
    model = save_tiny_model(path / "model", "llama", n_layers=2)
    return ["extract", str(path / "texts.txt"), "--model", str(model), "--layer", "0", "--shard-size", "2"]


def test_parts_from_a_shell(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*command, "--dtype", "bfloat16", "--backend", "transformers"]
    assert main([*command, "-o", str(tmp_path / "one")]) == 0
    assert main([*command, "-o", str(tmp_path / "two"), "--part", "1/2"]) == 0
    assert "incomplete: part 0 of 2 is missing" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "two")]) == 0
    assert main([*command, "-o", str(tmp_path / "two")]) == 2
    said = capsys.readouterr().err
    assert "go on with part=(i, 2) (on the command line: --part i/2)" in said and said.count("\n") == 1
    assert main([*command, "-o", str(tmp_path / "two"), "--part", "0/2"]) == 0
    assert content(tmp_path / "two") == content(tmp_path / "one")


def test_a_job_array_says_which_part(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--load-option", "use_safetensors=true", "--backend", "transformers", "-o", str(tmp_path)]
    for name, value in (("ID", "3"), ("COUNT", "3"), ("MIN", "1"), ("STEP", "1")):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert main([*command, *options]) == 0
    store = ActivationStore(tmp_path)
    assert store.missing_parts == (0, 1) and store.source["load_options"] == {"use_safetensors": True}
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "9")
    assert main([*command, *options]) == 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"part": "auto", "load_option": [], "dtype": "float16"}),
        (["--part", "all"], {"part": None}),
        (["--part", "3/8"], {"part": (3, 8)}),
        (
            ["--load-option", "device_map=auto", "--load-option", 'max_memory={"0": "9GiB", "cpu": 1}'],
            {"load_option": [("device_map", "auto"), ("max_memory", {0: "9GiB", "cpu": 1})]},
        ),
        (["--load-option", "n_devices=2"], {"load_option": [("n_devices", 2)]}),
        (["--load-option", "a=b=c"], {"load_option": [("a", "b=c")]}),
    ],
)
def test_options(options: list[str], expected: dict[str, Any]) -> None:
    found = vars(make_parser().parse_args([*BASIC, *options]))
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--part", "4/4"], "invalid value '4/4': give I/N, from 0/N"),
        (["--part", "first"], "invalid value 'first': give I/N"),
        (["--load-option", "device_map"], "invalid value 'device_map': give NAME=VALUE, as device_map=auto"),
        (["--dtype", "bfloat"], "did you mean bfloat16?"),
    ],
)
def test_mistyped_options(options: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_parser().parse_args([*BASIC, *options])
    assert says in capsys.readouterr().err


def test_windows_batches_and_streams(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*command, "--backend", "transformers", "--max-length", "10"]
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main([*command, "-o", str(tmp_path / "cut")]) == 0
    cut = ActivationStore(tmp_path / "cut")
    told = capsys.readouterr()
    assert cut.n_cut_tokens > 0 and f"{cut.n_cut_tokens} tokens cut" in told.out and "(stride=0 reads" in told.err
    for name, options in {"list": [], "stream": ["--stream"]}.items():
        options += ["--stride", "2", "--batch-tokens", "30", "--pack"]
        assert main([*command, *options, "-o", str(tmp_path / name)]) == 0
    assert "tokens cut" not in capsys.readouterr().out
    listed, streamed = (ActivationStore(tmp_path / name) for name in ("list", "stream"))
    assert listed.n_rows == streamed.n_rows == cut.n_rows + cut.n_cut_tokens and not listed.n_cut_tokens
    assert listed[0].text_index.tolist() == streamed[0].text_index.tolist()
    assert tuple(streamed.texts) == tuple(SENTENCES) and streamed[0].labels is None
