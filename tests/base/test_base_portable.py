"""Names that mean something on another machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfa_sklearn import datasets
from mfa_sklearn._base.portable import EMBEDDED, embedded, is_digest, model_name, model_path, portable_source

DIGEST = "sha256:0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/ann/models/lm", "lm"),
        ("/home/ann/models/lm/", "lm"),
        ("models/lm", "lm"),
        ("../lm", "lm"),
        ("lm/.", "lm"),
        ("C:\\Users\\Ann\\lm", "lm"),
        ("lm", "lm"),
        (EMBEDDED, EMBEDDED),
    ],
)
def test_of_a_directory_the_last_name_is_kept(path: str, name: str) -> None:
    source = {"model": path, "revision": DIGEST, "layer": 3}
    assert portable_source(source) == {"model": name, "revision": DIGEST, "layer": 3}
    assert source["model"] == path


def test_the_current_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lm").mkdir()
    monkeypatch.chdir(tmp_path / "lm")
    assert portable_source({"model": ".", "revision": DIGEST})["model"] == "lm"


@pytest.mark.parametrize(
    "source", [{}, {"layer": 4}, {"model": "a/b", "revision": "607a30d"}, {"model": "a/b"}, {"model": None}]
)
def test_names_from_a_hub_stay_as_they_are(source: dict[str, object]) -> None:
    assert portable_source(source) == source


def test_the_embedded_model_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert model_path(EMBEDDED) == str(datasets.tiny_lm()) and model_name(str(datasets.tiny_lm())) == EMBEDDED
    assert model_path("gpt2") == model_name("gpt2") == "gpt2"
    (tmp_path / EMBEDDED).mkdir()
    monkeypatch.chdir(tmp_path)
    assert model_path(EMBEDDED) == EMBEDDED  # a folder of the user's own


def test_missing_data_are_told() -> None:
    with pytest.raises(FileNotFoundError, match="Reinstall mfa-sklearn"):
        embedded("no-such-file")


def test_digests() -> None:
    assert is_digest(DIGEST) and not is_digest("main") and not is_digest(None)
