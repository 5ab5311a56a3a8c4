"""A checkpoint's files: whole or refused, and never those of anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mfa_sklearn.mixture._checkpoint import folder as files

CPU = torch.device("cpu")
TENSOR = torch.arange(24.0).view(4, 2, 3).mT


def made(folder: Path, number: int = 1, **state: Any) -> dict[str, Any]:
    return files.write(folder, {"asked": {}, "number": number, "iteration": 7}, {"tensor": TENSOR, **state})


def test_tensors_come_back_as_they_lay_in_memory(tmp_path: Path) -> None:
    """The last digits of a sum depend on it."""
    shared = torch.ones(1, 3).expand(5, 3)
    plain = [1, 2.5, float("nan"), None, True, "word", {"nested": (1, 2)}]
    description = made(tmp_path, shared=(shared, shared), plain=plain)
    state = files.read_state(tmp_path, description, CPU)
    assert torch.equal(state["tensor"], TENSOR) and state["tensor"].stride() == TENSOR.stride()
    one, other = state["shared"]
    assert one.stride() == (0, 1) and one.data_ptr() == other.data_ptr()
    assert repr(state["plain"]) == repr(plain)


def test_the_last_one_counts_and_takes_the_place_of_the_others(tmp_path: Path) -> None:
    assert files.read_description(tmp_path) is None
    made(tmp_path, 1)
    made(tmp_path, 2, more=1)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.json", "state-2-0.pt"}
    description = files.read_description(tmp_path)
    assert description is not None and files.read_state(tmp_path, description, CPU)["more"] == 1


@pytest.mark.parametrize("killed_at", ["state", "description", "clearing"])
def test_killed_while_writing_the_last_whole_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str
) -> None:
    made(tmp_path, 1)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    if killed_at == "clearing":
        monkeypatch.setattr(Path, "iterdir", killed)
    else:
        monkeypatch.setattr(files, "_write_state" if killed_at == "state" else "write_description", killed)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, 2)
    monkeypatch.undo()
    description = files.read_description(tmp_path)
    assert description is not None and description["number"] == (2 if killed_at == "clearing" else 1)
    assert torch.equal(files.read_state(tmp_path, description, CPU)["tensor"], TENSOR)
    assert files.check_place(tmp_path) == tmp_path


def spoil(path: Path, change: Any) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "checkpoint.json").write_bytes(b'{"format": '), "cannot be read as a checkpoint"),
        (lambda f: (f / "checkpoint.json").write_bytes(b"[]"), "is not of a checkpoint"),
        (lambda f: spoil(f / "checkpoint.json", lambda c: c.update(iteration=8)), "was changed after it was written"),
        (lambda f: spoil(f / "checkpoint.json", lambda c: (c.update(version="9"), c.pop("sha256"))), "mfa-sklearn 9"),
        (lambda f: spoil(f / "checkpoint.json", lambda c: (c.pop("asked"), c.pop("sha256"))), "lacks some of"),
        (lambda f: (f / "state-1-0.pt").unlink(), "is missing"),
        (lambda f: (f / "state-1-0.pt").write_bytes((f / "state-1-0.pt").read_bytes()[:-9]), "is not the file"),
        (lambda f: (f / "state-1-0.pt").write_bytes(b"x" * (f / "state-1-0.pt").stat().st_size), "is not the file"),
        (
            lambda f: spoil(f / "checkpoint.json", lambda c: (c["states"][0].update(file="../x"), c.pop("sha256"))),
            "is missing",
        ),
    ],
)
def test_damage_is_told_with_a_remedy(tmp_path: Path, damage: Any, words: str) -> None:
    made(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=words) as caught:
        description = files.read_description(tmp_path)
        assert description is not None
        files.read_state(tmp_path, description, CPU)
    assert str(caught.value).endswith(files.REMEDY) and str(tmp_path) in str(caught.value)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    """A checkpoint may come from elsewhere; pickles run what they say."""
    description = made(tmp_path, path=Path("x"))
    with pytest.raises(ValueError, match="cannot be read as a checkpoint's state"):
        files.read_state(tmp_path, description, CPU)


def test_folders_of_other_things_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="holds other things"):
        files.check_place(tmp_path)
    with pytest.raises(FileExistsError, match="it is a file"):
        files.check_place(tmp_path / "thesis.txt")
    assert files.check_place(tmp_path / "new") == tmp_path / "new"
