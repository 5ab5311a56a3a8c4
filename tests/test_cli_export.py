"""The command `export`: the files that it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from interpret_fixtures import mixture

from mfa_sklearn import MFA
from mfa_sklearn.cli import main
from mfa_sklearn.steering import affine_map, load_affine

SOURCE = {"model": "some/model", "layer": 4, "site": "residual", "processing": "raw", "pooling": None}


@pytest.fixture(scope="module")
def mfa() -> MFA:
    known = mixture(5.0)
    found = MFA.from_params(known.weights_, known.means_, known.loadings_, known.noise_variance_)
    found.source_ = SOURCE
    return found


@pytest.fixture
def folder(mfa: MFA, tmp_path: Path) -> Path:
    mfa.save_pretrained(tmp_path / "mix")
    return tmp_path


def export(folder: Path, name: str, *options: str) -> int:
    return main(["export", str(folder / "mix"), "--component", "1", *options, "-o", str(folder / name)])


def test_an_affine_map_is_that_of_the_function(mfa: MFA, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(folder, "a.safetensors", "--alpha", "0.6", "--z", "0=2", "--note", "so it is") == 0
    assert f"an affine map of {mfa.n_features_in_} features for layer 4" in capsys.readouterr().out
    maps, note = load_affine(folder / "a.safetensors")
    expected = affine_map(mfa, 1, 0.6, {0: 2.0})
    assert expected.weight is not None and maps[4].weight is not None
    np.testing.assert_allclose(maps[4].weight, expected.weight, rtol=1e-6)
    np.testing.assert_allclose(maps[4].bias, expected.bias, rtol=1e-6)
    assert (note["model"], note["note"], note["moves"]["4"]) == ("some/model", "so it is", expected.settings)


def test_transport_in_half_precision(folder: Path) -> None:
    options = ["--alpha", "1", "--method", "transport", "--source", "0", "--dtype", "bfloat16"]
    assert export(folder, "a.safetensors", *options) == 0
    _, note = load_affine(folder / "a.safetensors")
    assert (note["dtype"], note["moves"]["4"]["method"], note["moves"]["4"]["source"]) == ("bfloat16", "transport", 0)


def test_a_control_vector(mfa: MFA, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gguf = pytest.importorskip("gguf")
    assert export(folder, "a.gguf", "--z", "0=-2", "--model-type", "llama") == 0
    assert "a control vector of" in capsys.readouterr().out
    (tensor,) = gguf.GGUFReader(folder / "a.gguf").tensors
    assert tensor.name == "direction.4"
    np.testing.assert_allclose(tensor.data, -2 * mfa.loadings_[1][:, 0], rtol=1e-6)
    assert export(folder, "b.gguf", "--alpha", "0.5", "--model-type", "llama", "--constant-part") == 0
    (tensor,) = gguf.GGUFReader(folder / "b.gguf").tensors
    np.testing.assert_allclose(tensor.data, 0.5 * mfa.means_[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.bin", ["--alpha", "1"], "must end in .safetensors or .gguf"),
        ("a.safetensors", [], "nothing to do: give alpha"),
        ("a.safetensors", ["--alpha", "1", "--method", "transport"], "without source= starts from"),
        ("a.safetensors", ["--alpha", "1", "--layer", "3"], "fitted on layer 4, but layers [3]"),
        ("a.safetensors", ["--alpha", "1", "--model-type", "llama"], "are for .gguf files"),
        ("a.safetensors", ["--z", "0=1", "0=2"], "--z names a factor twice: [0, 0]"),
        ("a.gguf", ["--alpha", "1"], "give --model-type"),
        ("a.gguf", ["--alpha", "1", "--model-type", "llama", "--dtype", "float16"], "--dtype float16 is for"),
    ],
)
def test_mistakes_get_one_line(
    name: str, options: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(folder, name, *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["mix"]


def test_a_move_to_a_centroid_is_no_control_vector(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gguf")
    assert export(folder, "a.gguf", "--alpha", "1", "--model-type", "llama") == 2
    assert "pass constant_part=True" in capsys.readouterr().err


def test_a_file_is_replaced_by_force_only(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(folder, "a.safetensors", "--alpha", "1") == 0
    assert export(folder, "a.safetensors", "--alpha", "0.5") == 2
    assert "--force" in capsys.readouterr().err
    assert export(folder, "a.safetensors", "--alpha", "0.5", "--force") == 0
    assert load_affine(folder / "a.safetensors").note["moves"]["4"]["alpha"] == 0.5


def test_a_mixture_of_unknown_layer_needs_one(mfa: MFA, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MFA.from_params(mfa.weights_, mfa.means_, mfa.loadings_, mfa.noise_variance_).save_pretrained(tmp_path / "mix")
    assert export(tmp_path, "a.safetensors", "--alpha", "1") == 2
    assert "give layer=" in capsys.readouterr().err
    assert export(tmp_path, "a.safetensors", "--alpha", "1", "--layer", "2") == 0
    maps, note = load_affine(tmp_path / "a.safetensors")
    assert list(maps) == [2] and note["model"] is None
