"""What is no folder of a mixture is told by what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfa_sklearn import MFA, datasets


@pytest.mark.parametrize("directory", [None, 3, ["a"], MFA()])
def test_no_path(directory):
    with pytest.raises(TypeError, match="must be a path: the folder that save_pretrained wrote"):
        MFA.from_pretrained(directory)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "is a file: give its folder"),
        ("model.safetensors", "is a file: give its folder"),
        ("mfa.joblib", r"the folder that save_pretrained wrote; a pickle is read with joblib.load"),
        ("mfa.pt", r"MFA.from_reference_checkpoint"),
        ("notes.txt", "the folder that save_pretrained wrote$"),
    ],
)
def test_a_file(tmp_path: Path, name: str, message: str):
    (tmp_path / name).write_text("{}")
    with pytest.raises(NotADirectoryError, match=message):
        MFA.from_pretrained(tmp_path / name)


def test_a_language_model_and_activations(tmp_path: Path):
    with pytest.raises(ValueError, match=r"is no saved mixture: it holds a language model.*'llama'.*load_model"):
        MFA.from_pretrained(datasets.tiny_lm())
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match=r"it holds activations.*fit a mixture"):
        MFA.from_pretrained(str(tmp_path))


@pytest.mark.parametrize("content", [None, "no JSON", "[" * 10_000, "[]", json.dumps({"model_type": 3})])
def test_what_is_not_told_is_read_and_refused_there(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises((ValueError, FileNotFoundError, RecursionError), match=r"config\.json|recursion"):
        MFA.from_pretrained(tmp_path)
