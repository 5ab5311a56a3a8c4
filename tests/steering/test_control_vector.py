"""Control vectors, read by the package of the format and by the rules of the programs that add them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from steerer_cases import LAYER, PROMPTS, D, Pair, make_mixture

from mfa_sklearn.steering import AffineMap, affine_map, save_control_vector

gguf = pytest.importorskip("gguf")


def offset() -> AffineMap:
    return affine_map(make_mixture(), 2, z={0: 2.0, 1: -1.0})


def directions_of(path: Path) -> dict[int, np.ndarray]:
    """As repeng, EasySteer and llama.cpp find them: the number behind the point is the layer."""
    return {int(tensor.name.split(".")[1]): np.array(tensor.data) for tensor in gguf.GGUFReader(path).tensors}


def test_the_package_of_the_format_reads_it(tmp_path: Path) -> None:
    means, move = make_mixture().means_, offset()
    save_control_vector(
        tmp_path / "a.gguf", {np.int64(2): move, 1: 0.5 * (means[2] - means[0])}, model_type="llama", note="a note"
    )
    reader = gguf.GGUFReader(tmp_path / "a.gguf")
    told = {name: reader.get_field(name).contents() for name in reader.fields if not name.startswith("GGUF.")}
    assert told == {
        "general.architecture": "controlvector",
        "general.description": "a note",
        "controlvector.model_hint": "llama",
        "controlvector.layer_count": 2,
    }
    assert {tensor.name: (tensor.tensor_type.name, list(tensor.shape)) for tensor in reader.tensors} == {
        "direction.1": ("F32", [D]),
        "direction.2": ("F32", [D]),
    }
    found = directions_of(tmp_path / "a.gguf")
    np.testing.assert_array_equal(found[1], np.float32(0.5 * (means[2] - means[0])))
    np.testing.assert_array_equal(found[2], move.bias.numpy().astype(np.float32))
    assert [path.name for path in tmp_path.iterdir()] == ["a.gguf"]


def test_a_file_steers_transformers_as_the_steerer_does(llama: Pair, tmp_path: Path) -> None:
    """repeng's rule, `model.layers[L]` puts out what it did plus the direction, on all tokens but the first."""
    save_control_vector(tmp_path / "a.gguf", {LAYER: offset()}, model_type="llama")
    (layer, direction), *rest = directions_of(tmp_path / "a.gguf").items()
    ids = llama.tokens(PROMPTS[0])

    def hook(module: Any, args: Any, output: Any) -> Any:
        x = output[0] if isinstance(output, tuple) else output
        moved = x + torch.as_tensor(direction) * (torch.arange(x.shape[1]) > 0)[:, None]
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    handle = llama.plain.model.layers[layer].register_forward_hook(hook)
    with torch.no_grad():
        expected = llama.plain(ids).logits
    handle.remove()
    found = llama.steerer.logits(PROMPTS[0], component=2, z={0: 2.0, 1: -1.0}, every_position=True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert layer == LAYER and not rest


def test_of_a_move_to_a_centroid_the_constant_part_is_written_on_request(tmp_path: Path) -> None:
    move = affine_map(make_mixture(), 2, 0.6)
    with pytest.raises(ValueError, match=r"layer 1 is more than an offset, .* pass constant_part=True"):
        save_control_vector(tmp_path / "a.gguf", {1: move}, model_type="llama")
    assert list(tmp_path.iterdir()) == []
    save_control_vector(tmp_path / "a.gguf", {1: move}, model_type="llama", constant_part=True)
    np.testing.assert_array_equal(directions_of(tmp_path / "a.gguf")[1], np.float32(0.6 * make_mixture().means_[2]))


@pytest.mark.parametrize(
    ("directions", "options", "error", "message"),
    [
        ({0: offset()}, {}, ValueError, "behind layers 1 and up, and never behind layer 0"),
        ({}, {}, ValueError, r"directions=\{\} is empty"),
        ([1.0], {}, TypeError, "must be a dict of layer to vector"),
        ({-1: [1.0]}, {}, ValueError, "the layer -1: layers are integers"),
        ({1: [[1.0]]}, {}, ValueError, r"layer 1 has shape \(1, 1\)"),
        ({1: ["a"]}, {}, ValueError, "layer 1 has shape .* give numbers"),
        ({1: []}, {}, ValueError, r"layer 1 has shape \(0,\)"),
        ({1: [np.nan]}, {}, ValueError, "not finite in single precision"),
        ({1: [1e39]}, {}, ValueError, "not finite in single precision"),
        ({1: [1.0], 2: [1.0, 2.0]}, {}, ValueError, "one width, but these have {1: 1, 2: 2}"),
        ({1: [1.0]}, {"model_type": ""}, TypeError, "model_type='' must be a word"),
        ({1: [1.0]}, {"model_type": None}, TypeError, "model_type=None must be a word"),
        ({1: [1.0]}, {"source": {"site": "mlp_out"}}, ValueError, "the mixture was fitted on 'mlp_out'"),
        ({1: [1.0]}, {"source": {"layer": 3}}, ValueError, "fitted on layer 3"),
        ({1: [1.0]}, {"constant_part": "no"}, TypeError, "constant_part='no' must be True or False"),
    ],
)
def test_what_cannot_be_written_is_refused(
    directions: Any, options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        save_control_vector(tmp_path / "a.gguf", directions, **({"model_type": "llama"} | options))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_if_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    save_control_vector(path, {1: torch.tensor([1.0, 2.0])}, model_type="llama")
    with pytest.raises(FileExistsError, match="it exists"):
        save_control_vector(path, {2: [3.0, 4.0]}, model_type="llama", overwrite=False)
    assert list(directions_of(path)) == [1]
    save_control_vector(path, {2: [3, 4]}, model_type="llama")
    assert {layer: vector.tolist() for layer, vector in directions_of(path).items()} == {2: [3.0, 4.0]}
    with pytest.raises(ValueError, match=r"must end in .gguf"):
        save_control_vector(tmp_path / "a.bin", {1: [1.0]}, model_type="llama")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensors_to_file", fail)
    with pytest.raises(OSError, match=r"cannot write .*a.gguf.* make room"):
        save_control_vector(tmp_path / "a.gguf", {1: [1.0]}, model_type="llama")
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ImportError, match=r"save_control_vector needs gguf: pip install 'mfa-sklearn\[export\]'"):
        save_control_vector(tmp_path / "a.gguf", {1: [1.0]}, model_type="llama")
