"""Affine maps in files, read by safetensors itself and applied to transformers' models by a hook written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from steerer_cases import LAYER, PROMPTS, D, Pair, bos, make_mixture

from mfa_sklearn import TokenSelection, __version__
from mfa_sklearn.steering import AffineMap, affine_map, load_affine, save_affine

SOURCE = {"model": "some/model", "revision": "607a30d", "layer": LAYER, "site": "residual", "processing": "raw"}


def centroid() -> AffineMap:
    return affine_map(make_mixture(), 2, 0.6, {1: 3.0})


@contextmanager
def hooked(pair: Pair, layer: int, move: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[Any]:
    """transformers' model with what a layer puts out moved, all but the beginning-of-text token."""
    first = bos(pair)
    layers = pair.plain.transformer.h if pair.architecture == "gpt2" else pair.plain.model.layers

    def hook(module: Any, args: Any, output: Any) -> Any:
        x = output[0] if isinstance(output, tuple) else output
        moved = torch.cat([x[:, :first], move(x[:, first:])], dim=1)
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    handle = layers[layer].register_forward_hook(hook)
    try:
        yield pair.plain
    finally:
        handle.remove()


MOVES: dict[str, dict[str, Any]] = {
    "centroid": {"alpha": 0.6, "z": {0: 2.0}},
    "transport": {"alpha": 0.8, "method": "transport", "source": 1},
    "offset": {"z": [4.0, -1.0, 0.0]},
}


@pytest.mark.parametrize("move", MOVES.values(), ids=list(MOVES))
def test_a_file_steers_transformers_as_the_steerer_does(pair: Pair, move: dict[str, Any], tmp_path: Path) -> None:
    """The map as a foreign program has it: tensors of the file at the layer of the note, in a product of matrices."""
    save_affine(tmp_path / "a.safetensors", {LAYER: affine_map(make_mixture(), 2, **move)})
    tensors = load_file(tmp_path / "a.safetensors")
    weight, bias = tensors.get(f"layer.{LAYER}.weight", torch.eye(D)), tensors[f"layer.{LAYER}.bias"]
    ids = pair.tokens(PROMPTS[0])
    with hooked(pair, LAYER, lambda x: x @ weight.T + bias) as model, torch.no_grad():
        expected = model(ids).logits
    found = pair.steerer.logits(PROMPTS[0], component=2, every_position=True, **move)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    with hooked(pair, LAYER, load_affine(tmp_path / "a.safetensors").maps[LAYER]) as model, torch.no_grad():
        torch.testing.assert_close(model(ids).logits, expected)


def test_the_library_of_the_format_reads_it(tmp_path: Path) -> None:
    maps = {3: affine_map(make_mixture(), 1, z={0: 1.0}), np.int64(1): centroid()}
    save_affine(tmp_path / "a.safetensors", maps, source=SOURCE, select="prompt", note="a note")
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        names, metadata = set(file.keys()), file.metadata()
        weight, bias = file.get_tensor("layer.1.weight"), file.get_tensor("layer.1.bias")
    assert names == {"layer.1.weight", "layer.1.bias", "layer.3.bias"}
    np.testing.assert_array_equal(weight, 0.4 * np.eye(D, dtype=np.float32))
    assert bias.dtype == np.float32 and metadata["format"] == "mfa-sklearn.affine"
    one = {"method": "centroid", "component": 1, "alpha": 0.0, "z": [1.0, 0.0, 0.0], "source": None}
    assert json.loads(metadata["note"]) == {
        "format": "mfa-sklearn.affine",
        "format_version": 1,
        "mfa-sklearn": __version__,
        "model": "some/model",
        "revision": "607a30d",
        "layers": [1, 3],
        "site": "residual",
        "hooks": {"1": "blocks.1.hook_resid_post", "3": "blocks.3.hook_resid_post"},
        "select": {"phase": "prompt"},
        "moves": {"1": {**one, "component": 2, "alpha": 0.6, "z": [0.0, 3.0, 0.0]}, "3": one},
        "note": "a note",
        "width": D,
        "dtype": "float32",
    }


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_file_comes_back(dtype: str, tmp_path: Path) -> None:
    move = centroid()
    save_affine(tmp_path / "a.safetensors", {LAYER: move}, dtype=dtype)
    found = load_affine(str(tmp_path / "a.safetensors"))
    weight, bias, settings = found.maps[LAYER]
    assert found.note["dtype"] == dtype and weight is not None and move.weight is not None
    assert torch.equal(weight, move.weight.to(getattr(torch, dtype)))
    assert torch.equal(bias, move.bias.to(getattr(torch, dtype)))
    assert settings == move.settings and list(found.maps) == [LAYER]
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("select", "noted"),
    [
        ([0, -1], {"at": [0, -1]}),
        ({" b", " a"}, {"strings": [" a", " b"]}),
        (None, {}),
        (TokenSelection(phase="prompt", first=2), {"phase": "prompt", "first": 2}),
    ],
)
def test_the_note_says_which_tokens_are_meant(select: Any, noted: Any, tmp_path: Path) -> None:
    save_affine(tmp_path / "a.safetensors", {LAYER: centroid()}, select=select)
    assert load_affine(tmp_path / "a.safetensors").note["select"] == noted


def test_a_directory_of_a_model_is_noted_by_its_own_name(tmp_path: Path) -> None:
    source = {**SOURCE, "model": "/home/ann/lm", "revision": "sha256:0a1b"}
    save_affine(tmp_path / "a.safetensors", {LAYER: centroid()}, source=source)
    assert load_affine(tmp_path / "a.safetensors").note["model"] == "lm"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"site": "mlp_out"}, "fitted on site 'mlp_out', but the file would say 'residual'"),
        ({"pooling": "mean"}, "fitted on pooling 'mean'"),
        ({"processing": "compatibility"}, "weights processed as 'compatibility', but the file would say 'raw'"),
        ({"layer": 2}, rf"fitted on layer 2, but layers \[{LAYER}\] are to be steered"),
        ({"layer": [2]}, "fitted on layer 2"),
    ],
)
def test_a_mixture_from_elsewhere_is_refused(source: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        save_affine(tmp_path / "a.safetensors", {LAYER: centroid()}, source=SOURCE | source, site="residual")
    assert list(tmp_path.iterdir()) == []


def test_the_site_is_that_of_the_source(tmp_path: Path) -> None:
    save_affine(tmp_path / "a.safetensors", {LAYER: centroid()}, source=SOURCE | {"site": "mlp_out"})
    assert load_affine(tmp_path / "a.safetensors").note["hooks"] == {str(LAYER): f"blocks.{LAYER}.hook_mlp_out"}


@pytest.mark.parametrize(
    ("maps", "options", "error", "message"),
    [
        ({}, {}, ValueError, r"maps=\{\} is empty"),
        ([1], {}, TypeError, "must be a dict of layer to AffineMap"),
        ({1: torch.eye(2)}, {}, TypeError, "must be a dict of layer to AffineMap"),
        ({-1: centroid()}, {}, ValueError, "the layer -1: layers are integers, counted from 0"),
        ({"1": centroid()}, {}, ValueError, "the layer '1'"),
        ({1: centroid(), 2: AffineMap(None, torch.ones(2))}, {}, ValueError, "one width, but these have"),
        ({1: AffineMap(torch.eye(3), torch.ones(2))}, {}, ValueError, r"a weight \(3, 3\): give \(D,\) and \(D, D\)"),
        ({1: AffineMap(None, torch.ones(1, 2))}, {}, ValueError, r"a bias \(1, 2\)"),
        ({1: centroid()}, {"dtype": "int8"}, ValueError, "dtype='int8' is unknown"),
        ({1: centroid()}, {"site": "nowhere"}, ValueError, "nowhere"),
        ({1: centroid()}, {"select": len}, TypeError, "is a function, which JSON cannot hold"),
        ({1: AffineMap(None, torch.full((2,), 1e6))}, {"dtype": "float16"}, ValueError, "up to 1e[+]06, beyond what"),
        ({1: AffineMap(None, torch.full((2,), torch.nan))}, {}, ValueError, "layer 1 holds NaN or infinity"),
    ],
)
def test_what_cannot_be_written_is_refused(
    maps: Any, options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        save_affine(tmp_path / "a.safetensors", maps, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_if_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_affine(path, {1: centroid()})
    with pytest.raises(FileExistsError, match="it exists"):
        save_affine(path, {2: centroid()}, overwrite=False)
    assert list(load_affine(path).maps) == [1]
    save_affine(path, {2: centroid()})
    assert list(load_affine(path).maps) == [2]
    with pytest.raises(ValueError, match=r"must end in .safetensors"):
        save_affine(tmp_path / "a.bin", {2: centroid()})


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """A file with its tensors and its note changed."""
    save_affine(path, {LAYER: centroid()})
    tensors, note = load_file(path), load_affine(path).note
    change(tensors, note)
    save_file(tensors, path, {"format": "mfa-sklearn.affine", "note": json.dumps(note)})
    return path


CHANGES: dict[str, tuple[Callable[[Any, Any], None], str]] = {
    "later": (lambda tensors, note: note.update(format_version=2), "format_version 2, .* upgrade mfa-sklearn"),
    "other layers": (lambda tensors, note: note.update(layers=[4]), "layer.4.bias"),
    "one tensor more": (lambda tensors, note: tensors.update(more=torch.ones(2)), "are not those of its note"),
    "other width": (lambda tensors, note: note.update(width=7), "are not those of its note"),
    "transposed": (lambda tensors, note: tensors.update({f"layer.{LAYER}.weight": torch.ones(2, D)}), "give .D,."),
    "no number": (lambda tensors, note: tensors[f"layer.{LAYER}.bias"].fill_(torch.inf), "holds NaN or infinity"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_does_not_go_together_is_refused(change: str, tmp_path: Path) -> None:
    how, message = CHANGES[change]
    with pytest.raises(ValueError, match=message):
        load_affine(rewritten(tmp_path / "a.safetensors", how))


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_affine(path)
    save_file({"x": torch.ones(2)}, path)
    with pytest.raises(ValueError, match=r"its format is None, expected 'mfa-sklearn.affine'"):
        load_affine(path)
    save_affine(path, {LAYER: centroid()})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cannot be read as a file of affine maps"):
        load_affine(path)
