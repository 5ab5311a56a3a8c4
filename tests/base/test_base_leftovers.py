"""Temporary names: of one writer alone, told from other names, and cleared where their writers are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mfa_sklearn._base.leftovers import LOCK_NAME, clear_leftovers, is_passing, is_running, target_of, temporary_name

NAMES = [
    "table.csv",
    "shard-00001.layer-1.npy",
    "manifest.json",
    "model.safetensors",
    "no-suffix",
    ".hidden.txt",
    "a b.png",
]


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("name", NAMES)
def test_a_temporary_name_leads_to_its_file(name: str) -> None:
    temporary = temporary_name(name)
    assert temporary != name and target_of(temporary) == name and target_of(name) is None
    assert Path(temporary).suffix == Path(name).suffix or not Path(name).suffix


def test_no_two_threads_share_a_temporary_name() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(temporary_name, ["a.csv"] * 200))) == 200


def test_names_of_earlier_versions_are_known() -> None:
    assert target_of(".shard-00001.layer-1.4194399.npy") == "shard-00001.layer-1.npy"
    assert target_of(".model.safetensors.4194399") == "model.safetensors"


@pytest.mark.parametrize(
    "name", [".bashrc", ".gitignore", ".config.json", ".a.b.c", "a.1.csv", ".model-0123456789abcdef.safetensors"]
)
def test_other_hidden_files_are_no_temporary_ones(name: str) -> None:
    assert target_of(name) is None


def test_what_is_passing() -> None:
    ours = {"a.csv"}.__contains__
    assert is_passing(LOCK_NAME, ours) and is_passing(temporary_name("a.csv"), ours)
    assert not is_passing(temporary_name("b.csv"), ours) and not is_passing("a.csv", ours)


def test_leftovers_of_dead_processes_go_and_all_else_stays(tmp_path: Path) -> None:
    dead = dead_process()
    gone = f".a.{dead}.csv"
    stay = [f".b.{dead}.csv", temporary_name("a.csv"), f".a.{os.getpid()}.csv", f".a.{dead}-ffffffff-0.csv", "a.csv"]
    for name in [gone, *stay]:
        (tmp_path / name).write_text("x")
    clear_leftovers(tmp_path, {"a.csv"}.__contains__)
    assert set(os.listdir(tmp_path)) == set(stay)


def test_under_a_lock_all_leftovers_go(tmp_path: Path) -> None:
    for name in (temporary_name("a.csv"), f".a.{os.getpid()}.csv", f".a.{dead_process()}-ffffffff-0.csv"):
        (tmp_path / name).write_text("x")
    clear_leftovers(tmp_path, {"a.csv"}.__contains__, locked=True)
    clear_leftovers(tmp_path / "nowhere", {"a.csv"}.__contains__)
    assert os.listdir(tmp_path) == []


def test_processes_that_run() -> None:
    assert is_running(os.getpid()) and is_running(1)
    assert not is_running(dead_process()) and not is_running(2**70)
