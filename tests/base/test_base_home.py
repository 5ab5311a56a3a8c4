"""A leading ``~`` is the home folder wherever a path is taken, and never a folder of that name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfa_sklearn import MFA, ActivationExtractor, ActivationStore
from mfa_sklearn._base.files import check_folder, check_writable, replacing
from mfa_sklearn._base.home import home_path
from mfa_sklearn.activations._language_model import check_model_name
from mfa_sklearn.cli import main
from mfa_sklearn.datasets import read_texts


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def test_in_python(home: Path) -> None:
    MFA.from_params([1.0], [[0.0, 2.0]], [[[1.0], [1.0]]], [0.5, 0.5]).save_pretrained("~/mix")
    assert (home / "mix" / "config.json").is_file() and MFA.from_pretrained("~/mix").means_.shape == (1, 2)
    (home / "t.csv").write_text("text\nRain.\n")
    assert read_texts("~/t.csv").texts == ["Rain."]
    ActivationExtractor("tiny_lm", 0, device="cpu").extract_to("~/acts", ["Rain."])
    assert len(ActivationStore("~/acts")[0]) and (home / "acts" / "manifest.json").is_file()
    with pytest.raises(FileNotFoundError, match=r"home.no.pt"):
        MFA.from_reference_checkpoint("~/no.pt")
    assert not list(Path().iterdir())


def test_models(home: Path) -> None:
    (home / "lm").mkdir()
    (home / "lm" / "config.json").write_text("{}")
    assert check_model_name("~/lm") == str(home / "lm")
    with pytest.raises(ValueError, match=r"there is no model directory '.*home.no'"):
        check_model_name("~/no")


def test_files(home: Path) -> None:
    assert check_writable("~/a.csv") == home / "a.csv" and check_folder("~/new", "mark") == home / "new"
    with replacing("~/a.csv") as temporary:
        temporary.write_text("a")
    assert (home / "a.csv").read_text() == "a"
    with pytest.raises(ValueError, match="no home folder for '~nobody-of-that-name/x': write the path out"):
        home_path("~nobody-of-that-name/x")


def test_on_the_command_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(home / "t.npy", np.random.default_rng(0).normal(size=(20, 3)))
    assert main(["fit", "~/t.npy", "-k", "1", "-q", "1", "--tol", "1", "--output=~/m"]) == 0
    assert (home / "m" / "config.json").is_file() and not list(Path().iterdir())
    with pytest.raises(SystemExit) as caught:
        main(["fit", "~nobody-of-that-name/t.npy", "-k", "1", "-o", "m"])
    assert caught.value.code == 2 and "no home folder" in capsys.readouterr().err
