"""Affine maps in files that serving engines can take, and what may be exported from where."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from .. import __version__
from .._base.checks import check_choice, check_flag
from .._base.files import as_path, check_writable, reading, replacing
from .._base.origin import differences
from .._base.portable import portable_source
from .._base.stored import parse_json
from ..activations._selection import as_selection
from ..activations._sites import check_site, hook_name
from ._affine import AffineMap

FORMAT = "mfa-sklearn.affine"
FORMAT_VERSION = 1
AFFINE = ".safetensors"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class SavedMaps(NamedTuple):
    """What `load_affine` finds in a file."""

    maps: dict[int, AffineMap]  # of each layer
    note: dict[str, Any]


def save_affine(
    path: str | os.PathLike[str],
    maps: Mapping[int, AffineMap],
    *,
    source: Mapping[str, Any] | None = None,
    site: str | None = None,
    select: Any = "all",
    note: str = "",
    dtype: str = "float32",
    overwrite: bool = True,
) -> None:
    """Write affine maps, one for each layer that is steered, as a safetensors file with a note in JSON.

    For layer 4 the file holds the tensors ``layer.4.weight`` (D, D) and ``layer.4.bias`` (D,), and activations x of
    that layer become ``x @ weight.T + bias``; where there is no weight, it is the identity. The file's metadata hold
    ``format`` and ``note``, the latter JSON with the model and its revision, layers, site and hook points, the tokens
    that are meant, and what each map was made from.

    Parameters
    ----------
    path : path
        Ends in .safetensors. The file is either whole or absent.
    maps : dict of int to AffineMap
        Layers, counted from 0, and their maps.
    source : dict, optional
        Where the mixtures were fitted, `MFA.source_`: model, revision, site. Without one the note does not say it.
    site : {"residual", "residual_pre", "mlp", "mlp_out", "attn_out"}, optional
        Where in the layer; by default as `source` says, else "residual".
    select : TokenSelection or a short form of one, default="all"
        Which tokens the move is meant for, for the note, without functions; maps themselves know of no tokens.
    note : str, default=""
        Anything else to be said.
    dtype : {"float32", "float16", "bfloat16"}, default="float32"
    overwrite : bool, default=True
        Whether a file that is there may be replaced.

    Raises
    ------
    ValueError
        If there are no maps, their widths differ, a number does not fit into `dtype`, or `source` says that the
        mixture was fitted at another layer or site, on pooled texts, or on a model whose weights were processed, which
        no engine serves.
    FileExistsError
        If there is such a file and it may not be replaced.
    OSError
        If it cannot be written.

    See Also
    --------
    affine_map : Makes maps from a mixture.
    load_affine : Reads them again.

    Notes
    -----
    EasySteer, steering for vLLM (https://github.com/ZJU-REAL/EasySteer), takes one such map as the payload
    ``LinearMap(weight, bias)`` of its algorithm "linear", for which weight and bias have these shapes and this
    meaning, and a bias without a weight as ``DirectionVector({layer: bias})`` of "direct". It counts layers from 0 as
    here and moves what a layer puts out, which is the site "residual". Leave its ``scale`` at 1: it multiplies all
    that a linear map returns. ::

        found = load_affine("move.safetensors")
        maps = [
            VectorSpec(data=LinearMap(weight=m.weight, bias=m.bias), algorithm="linear", layers=[layer],
                       apply=ApplySpec(prompt="all", generation="all"))
            for layer, m in found.maps.items()
        ]

    Examples
    --------
    >>> import tempfile
    >>> from mfa_sklearn import MFA
    >>> from mfa_sklearn.steering import affine_map, load_affine, save_affine
    >>> mfa = MFA.from_params([0.5, 0.5], [[0.0, 0.0], [10.0, 0.0]], [[[1.0], [0.0]], [[0.0], [2.0]]], [1.0, 1.0])
    >>> path = tempfile.mkdtemp() + "/move.safetensors"
    >>> save_affine(path, {4: affine_map(mfa, component=1, alpha=0.5)}, source={"model": "gpt2", "site": "residual"})
    >>> found = load_affine(path)
    >>> found.maps[4].bias
    tensor([5., 0.])
    >>> found.note["model"], found.note["hooks"], found.note["moves"]["4"]["alpha"]
    ('gpt2', {'4': 'blocks.4.hook_resid_post'}, 0.5)
    """
    check_choice("dtype", dtype, tuple(DTYPES))
    width = _check_maps(maps)
    site = check_place(maps, source, site)
    facts = _note(maps, source, site, select, note) | {"width": width, "dtype": dtype}
    target = check_writable(as_path("path", path), (AFFINE,), overwrite=check_flag("overwrite", overwrite))
    tensors = {
        name: _cast(name, tensor, dtype)
        for layer, map_ in sorted(maps.items())
        for name, tensor in _named(layer, map_).items()
    }
    content = safetensors.torch.save(tensors, {"format": FORMAT, "note": json.dumps(facts, allow_nan=False)})
    with replacing(target) as temporary:
        temporary.write_bytes(content)


def _check_maps(maps: Mapping[int, AffineMap]) -> int:
    """The width of the maps, if they are maps and fit together."""
    if not isinstance(maps, Mapping) or not all(isinstance(map_, AffineMap) for map_ in maps.values()):
        kinds = {layer: type(map_).__name__ for layer, map_ in maps.items()} if isinstance(maps, Mapping) else maps
        raise TypeError(
            f"maps must be a dict of layer to AffineMap, as in {{4: affine_map(mfa, 20, 0.6)}}, got {kinds!r}"
        )
    check_layer_numbers(maps, "maps")
    widths = {layer: len(map_.bias) for layer, map_ in maps.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f"maps of one model have one width, but these have {widths}: save each model's by themselves")
    width = next(iter(widths.values()))
    for layer, map_ in maps.items():
        shapes = tuple(map_.bias.shape), (width, width) if map_.weight is None else tuple(map_.weight.shape)
        if shapes != ((width,), (width, width)):
            raise ValueError(
                f"the map of layer {layer} has a bias {shapes[0]} and a weight {shapes[1]}: give (D,) and (D, D)"
            )
        if not all(bool(tensor.isfinite().all()) for tensor in _named(layer, map_).values()):
            raise ValueError(f"the map of layer {layer} holds NaN or infinity: make it again from a fitted mixture")
    return width


def check_layer_numbers(given: Mapping[Any, Any], name: str) -> None:
    """Refuse what has no layers, or others than 0, 1, ..."""
    if not given:
        raise ValueError(f"{name}={given!r} is empty: give one for each layer that is to be steered")
    for layer in given:
        if isinstance(layer, bool) or not isinstance(layer, Integral) or layer < 0:
            raise ValueError(f"{name} has the layer {layer!r}: layers are integers, counted from 0")


def check_place(given: Mapping[int, Any], source: Mapping[str, Any] | None, site: str | None) -> str:
    """The site, if what is written means there what it did where the mixture was fitted."""
    known = source or {}
    site = check_site(site or known.get("site") or "residual")
    for fact, fitted, here in differences(known, {"site": site, "pooling": None, "processing": "raw"}):
        raise ValueError(
            f"the mixture was fitted on {fact} {fitted!r}, but the file would say {here!r}, where its regions mean "
            "nothing: fit on raw activations of single tokens, at the site that is to be steered"
        )
    layers = [] if known.get("layer") is None else np.atleast_1d(known["layer"]).tolist()
    if layers and not set(layers) & set(given):
        fitted_on = layers[0] if len(layers) == 1 else layers
        raise ValueError(f"the mixture was fitted on layer {fitted_on}, but layers {sorted(given)} are to be steered")
    return site


def _note(
    maps: Mapping[int, AffineMap], source: Mapping[str, Any] | None, site: str, select: Any, note: str
) -> dict[str, Any]:
    """What a reader should know, as plain values."""
    known = portable_source(source or {})
    facts = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "mfa-sklearn": __version__,
        "model": known.get("model"),
        "revision": known.get("revision"),
        "layers": sorted(int(layer) for layer in maps),
        "site": site,
        "hooks": {str(layer): hook_name(site, int(layer)) for layer in sorted(maps)},
        "select": as_selection(select).to_dict(),
        "moves": {str(layer): dict(map_.settings) for layer, map_ in sorted(maps.items())},
        "note": str(note),
    }
    return facts


def _named(layer: int, map_: AffineMap) -> dict[str, Tensor]:
    """The tensors of a map by the names that they have in a file."""
    bias = {f"layer.{layer}.bias": map_.bias}
    return bias if map_.weight is None else {f"layer.{layer}.weight": map_.weight} | bias


def _cast(name: str, tensor: Tensor, dtype: str) -> Tensor:
    cast = tensor.detach().to("cpu", DTYPES[dtype]).contiguous()
    if not bool(cast.isfinite().all()):
        largest = float(tensor.detach().abs().max())
        raise ValueError(f"{name} has numbers up to {largest:.3g}, beyond what {dtype} holds: take dtype='bfloat16'")
    return cast


def load_affine(path: str | os.PathLike[str]) -> SavedMaps:
    """Read what `save_affine` wrote.

    Parameters
    ----------
    path : path

    Returns
    -------
    SavedMaps
        `maps`, a dict of layer to AffineMap in the precision they were written in, on the CPU; and `note`, the dict
        that stands in the file as JSON.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such file, of a later format, or its tensors and its note do not go together.
    """
    target = as_path("path", path)
    if not target.is_file():
        raise FileNotFoundError(f"there is no file {str(target)!r}: give one that save_affine wrote")
    with reading(target, "a file of affine maps"), safetensors.safe_open(target, "pt") as file:
        note = _read_note(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return SavedMaps(_read_maps(tensors, note), note)


def _read_note(metadata: Mapping[str, str]) -> dict[str, Any]:
    if metadata.get("format") != FORMAT:
        raise ValueError(f"its format is {metadata.get('format')!r}, expected {FORMAT!r}")
    note = parse_json(metadata["note"].encode())
    version = note["format_version"]
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise ValueError(
            f"it has format_version {version!r}, but this version ({__version__}) of mfa-sklearn reads up to "
            f"{FORMAT_VERSION}; upgrade mfa-sklearn"
        )
    return note


def _read_maps(tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> dict[int, AffineMap]:
    """Maps of the layers that the note speaks of, if the tensors are theirs and no others."""
    maps = {
        layer: AffineMap(
            tensors.get(f"layer.{layer}.weight"), tensors[f"layer.{layer}.bias"], note["moves"][str(layer)]
        )
        for layer in note["layers"]
    }
    strays = set(tensors) - {name for layer, map_ in maps.items() for name in _named(layer, map_)}
    if strays or _check_maps(maps) != note["width"]:
        raise ValueError(f"its tensors {sorted(tensors)} are not those of its note: write it again with save_affine")
    return maps
