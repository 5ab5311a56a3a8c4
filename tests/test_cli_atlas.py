"""The command `atlas`: the page that it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atlas_data_cases import known_mixture
from interpret_fixtures import mixture
from lm_fixtures import save_tiny_model

from mfa_sklearn import MFA, ActivationExtractor, ActivationStore
from mfa_sklearn.cli import main

pytest.importorskip("jinja2")
pytest.importorskip("vl_convert")

TEXTS = ["the cat sat on the mat", "a dog ran over the hill", "we saw the cat and a dog"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    known_mixture().save_pretrained(tmp_path / "mix")
    known_mixture(seed=3).save_pretrained(tmp_path / "other")
    np.save(tmp_path / "X.npy", mixture(1.0).sample(80, np.random.default_rng(0)))
    np.save(tmp_path / "shorter.npy", mixture(1.0).sample(70, np.random.default_rng(0)))
    return tmp_path


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, activations of two of its layers and a mixture of each."""
    folder = tmp_path_factory.mktemp("extracted")
    model = save_tiny_model(folder / "model", "gpt2")
    extractor = ActivationExtractor(str(model), layer=[0, 1], backend="transformers")
    extractor.extract_to(folder / "acts", TEXTS, ["pets", "hills", "pets"])
    for layer in (0, 1):
        rows = ActivationStore(folder / "acts").open(layer)
        MFA(3, 1, max_iter=0, random_state=0).fit(rows).save_pretrained(folder / f"mix{layer}")
    return folder


def atlas(folder: Path, *options: str, rows: str = "X.npy") -> int:
    return main(["atlas", str(folder / "mix"), str(folder / rows), "-o", str(folder / "a.html"), *options])


def data(folder: Path) -> Any:
    return json.loads((folder / "data" / "atlas.json").read_text(encoding="utf-8"))


def test_a_page_of_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert atlas(folder, "--title", "Lines") == 0
    assert "a.html: 4 regions on 80 rows, 1." in capsys.readouterr().out
    assert "Lines" in (folder / "a.html").read_text(encoding="utf-8")
    assert atlas(folder) == 2 and "--force" in capsys.readouterr().err
    assert atlas(folder, "--force", "--verbose") == 0 and "[atlas]" in capsys.readouterr().out


def test_two_mixtures_and_their_data(folder: Path) -> None:
    names = ["--names", "seed 0", "seed 3"]
    assert atlas(folder, "--against", str(folder / "other"), *names, "--data", str(folder / "data")) == 0
    found = data(folder)
    assert len(found["mixtures"]) == 2 and found["matches"]
    assert (folder / "data" / "matches.csv").is_file()
    first = json.loads((folder / "data" / "mixture-1.json").read_text(encoding="utf-8"))
    assert first["name"] == "seed 0"


def test_another_layer_and_what_steering_promotes(extracted: Path, tmp_path: Path) -> None:
    options = ["--layer", "0", "--against", str(extracted / "mix1"), "--against-layer", "1"]
    options += ["--model", "--backend", "transformers", "--prompt", "the cat", "--alpha", "0.5"]
    command = ["atlas", str(extracted / "mix0"), str(extracted / "acts"), "-o", str(tmp_path / "a.html")]
    assert main([*command, *options, "--data", str(tmp_path / "data")]) == 0
    for number, layer in ((1, 0), (2, 1)):
        told = json.loads((tmp_path / "data" / f"mixture-{number}.json").read_text(encoding="utf-8"))
        assert told["source"]["layer"] == layer and told["source"]["model"] == "model"
        assert {region["steering"]["strength"] for region in told["regions"]} == {0.5}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--against", "other", "X.npy", "X.npy"], "at most one folder of activations"),
        (["--against", "other", "shorter.npy"], "80 rows and against_activations 70"),
        (["--against-layer", "1"], "give its folder by --against"),
        (["--model"], "does not say which language model it was fitted on"),
        (["--names", "a", "b"], "must be 1 name"),
        (["--contexts", "0"], "n_contexts=0 must be at least 1"),
        (["--data", "X.npy"], "it is a file, name a folder"),
    ],
)
def test_what_is_refused(
    options: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert atlas(folder, *options) == 2
    assert said in capsys.readouterr().err and not (folder / "a.html").exists()
