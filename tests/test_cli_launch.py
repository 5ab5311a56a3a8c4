"""Several processes that torchrun starts: which of them speaks, which commands they share, what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from lm_fixtures import SENTENCES, save_tiny_model

from mfa_sklearn import MFA, ActivationStore
from mfa_sklearn._cli_launch import Launch, quiet, together
from mfa_sklearn._cli_shell import KNOWN_TO_GROUP, mistake
from mfa_sklearn.cli import _COMMANDS, main


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, (0, 1)),
        ({"WORLD_SIZE": "4"}, (0, 1)),
        ({"RANK": "3"}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "4"}, (3, 4)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, (0, 1)),
    ],
)
def test_which_of_how_many(environment: dict[str, str], found: tuple[int, int]) -> None:
    assert Launch.of(environment) == found == Launch.told_by(environment)


@pytest.mark.parametrize(("rank", "size"), [("4", "4"), ("-1", "2"), ("one", "2"), ("0", ""), ("0", "0")])
def test_what_is_no_number_of_a_process(rank: str, size: str) -> None:
    environment = {"RANK": rank, "WORLD_SIZE": size}
    with pytest.raises(ValueError, match=rf"RANK='{rank}' and WORLD_SIZE='{size}' .*unset both for one process"):
        Launch.of(environment)
    assert Launch.told_by(environment) == (0, 1)


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_command_that_would_do_everything_twice_is_refused(command: str) -> None:
    Launch(0, 1).check(command)
    if command in ("extract", "fit", "kmeans"):
        Launch(1, 2).check(command)
        return
    with pytest.raises(ValueError, match=rf"'{command}' is the work of one process, and this is one of 2 .*torchrun"):
        Launch(1, 2).check(command)


def test_only_the_first_process_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    for rank in (0, 1):
        with quiet(Launch(rank, 2)):
            print(f"out {rank}")
            print(f"err {rank}", file=sys.stderr)
    assert capsys.readouterr() == ("out 0\n", "err 0\n")


def test_a_refusal_is_told_by_the_first_process_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mfa_sklearn.cli.wait_for_first", lambda *_: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert main(["verify", str(tmp_path)]) == 2
        said.append(capsys.readouterr())
    assert said[0].err.count("\n") == 1 and "'verify' is the work of one process" in said[0].err
    assert said[1] == ("", "")


@pytest.mark.filterwarnings("default:.*of an interrupted extraction")
def test_what_a_process_does_by_itself_is_told_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tiny_model(tmp_path / "model", "gpt2")
    (tmp_path / "texts.txt").write_text("\n".join(SENTENCES))
    for name in ("MASTER_ADDR", "MASTER_PORT"):  # nobody to ask whether the first has failed as well
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    words = ["--model", str(tmp_path / "model"), "--layer", "1", "--shard-size", "2", "-o", str(tmp_path / "store")]
    said = []
    for rank, texts in (("0", "texts.txt"), ("1", "nowhere.txt"), ("1", "texts.txt")):
        monkeypatch.setenv("RANK", rank)
        assert main(["extract", str(tmp_path / texts), *words]) == (2 if texts == "nowhere.txt" else 0)
        said.append(capsys.readouterr())
    assert said[0].out.endswith("incomplete: part 1 of 2 is missing); the other processes may still be at theirs\n")
    assert said[1].err.startswith("mfa-sklearn: error: No such file: ") and said[1].err.count("\n") == 1
    assert said[1].out == "" and said[2] == ("", "") and ActivationStore(tmp_path / "store").complete


def test_one_process_is_no_group_and_others_must_know_where_to_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    with together(Launch(), "cpu") as group:
        assert (group.rank, group.size, group.first) == (0, 1, True) and not dist.is_initialized()
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(ValueError, match="RANK=1 and WORLD_SIZE=2 are set and MASTER_ADDR and MASTER_PORT not"),
        together(Launch(1, 2), "cpu"),
    ):
        pass


def test_what_another_process_failed_with_is_a_mistake_and_no_bug() -> None:
    error = RuntimeError("rank 1 failed: KeyError: 'x'")
    assert mistake(error) is None
    setattr(error, KNOWN_TO_GROUP, True)
    assert mistake(error) == "rank 1 failed: KeyError: 'x'"


SCRIPT = """
import os, sys
from mfa_sklearn.cli import main
table, folder = sys.argv[1:]
fit = ["fit", table, "-k", "3", "-q", "1", "-o", folder]
assert [main([*command, "--device", "cpu"]) for command in (fit, [*fit, "--force"], fit)] == [2, 0, 2]
"""


def test_two_processes_fit_what_one_does_and_one_of_them_writes_and_tells(tmp_path: Path) -> None:
    centers = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0]])
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", centers[rng.integers(0, 3, 301)] + rng.normal(size=(301, 3)))
    MFA(2, random_state=0, max_iter=1, tol=0, checkpoint=tmp_path / "two.checkpoint").fit(rng.normal(size=(9, 3)))
    (tmp_path / "script.py").write_text(SCRIPT)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(tmp_path / "script.py"), str(tmp_path / "x.npy"), str(tmp_path / "two")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and "3 components of 1 factor on 301 rows" in done.stdout
    told = [line for line in done.stderr.splitlines() if line.startswith("mfa-sklearn: ")]
    assert len(told) == 2 and "holds another fit" in told[0] and told[0].endswith("--force deletes it")
    assert "holds an earlier result" in told[1] and "--force" in told[1]
    assert main(["fit", str(tmp_path / "x.npy"), "-k", "3", "-q", "1", "-o", str(tmp_path / "one")]) == 0
    assert not list(tmp_path.glob("*.checkpoint"))
    one, two = (MFA.from_pretrained(tmp_path / name) for name in ("one", "two"))
    assert one.n_iter_ == two.n_iter_ and one.get_params() == two.get_params()
    np.testing.assert_allclose(two.means_, one.means_, atol=1e-8)
    np.testing.assert_allclose(two.lower_bound_, one.lower_bound_, rtol=1e-10)
