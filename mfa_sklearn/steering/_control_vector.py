"""The constant part of a move as a GGUF control vector, which llama.cpp adds to the residual stream."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .._base.checks import check_flag, import_optional
from .._base.files import as_path, check_writable, replacing
from ._affine import AffineMap
from ._export import check_layer_numbers, check_place

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

VECTOR = ".gguf"
_ARCHITECTURE = "controlvector"


def save_control_vector(
    path: str | os.PathLike[str],
    directions: Mapping[int, ArrayLike | AffineMap],
    *,
    model_type: str,
    source: Mapping[str, Any] | None = None,
    constant_part: bool = False,
    note: str = "",
    overwrite: bool = True,
) -> None:
    """Write one direction for each layer as a GGUF control vector, which llama.cpp adds to the residual stream.

    A control vector adds the same vector to every token, so it can hold the offset ``W_k z`` inside a region, the
    difference ``alpha (mu_k - mu_j)`` of two centroids, or any other direction. Of a move towards a centroid,
    ``(1 - alpha) x + alpha mu_k + W_k z``, it can hold the constant part only: that `x` shrinks is lost.

    Parameters
    ----------
    path : path
        Ends in .gguf. The file is either whole or absent.
    directions : dict of int to (array of shape (D,) or AffineMap)
        Layers, counted from 0 as everywhere here, and what is added to the residual stream behind them. Layer 0 can
        not be steered so.
    model_type : str
        What the model is, as its ``config.json`` says: "llama", "gpt2", ...; a hint for whoever loads the file.
    source : dict, optional
        Where the mixtures were fitted, `MFA.source_`; must be the site "residual".
    constant_part : bool, default=False
        Whether to take the bias of an `AffineMap` whose weight is not the identity. It can be a long vector: the
        length of activations themselves, where the move went a fraction of that.
    note : str, default=""
        Goes into the file as ``general.description``.
    overwrite : bool, default=True
        Whether a file that is there may be replaced.

    Raises
    ------
    ImportError
        If gguf is not installed.
    ValueError
        If there are no directions, one is for layer 0, their widths differ, a number is not finite, a map is more than
        an offset, or `source` says that the mixture was fitted elsewhere than on the residual stream.
    FileExistsError, OSError
        As of `save_affine`.

    Notes
    -----
    The file has ``general.architecture = "controlvector"``, ``controlvector.model_hint``,
    ``controlvector.layer_count`` and a tensor ``direction.L`` of float32 for each layer. Layers are counted from 0:
    llama.cpp adds ``direction.L`` to what block L puts out (its `build_cvec` behind the sum that ends a block), which
    is ``blocks.L.hook_resid_post``. It keeps no room for block 0, and refuses a file with ``direction.0``. repeng and
    EasySteer write and read the same names with the same count.

    llama.cpp adds it to all tokens of prompt and text, the beginning-of-text token among them, which `MFASteerer`
    leaves alone unless told otherwise: ``llama-cli -m model.gguf --control-vector move.gguf``, or
    ``--control-vector-scaled`` with a factor.

    References
    ----------
    llama.cpp, https://github.com/ggml-org/llama.cpp (``src/llama-adapter.cpp``, ``common/common.cpp``); repeng,
    https://github.com/vgel/repeng (``repeng/extract.py``).

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mfa_sklearn.steering import save_control_vector
    >>> means = np.array([[0.0, 1.0], [10.0, 1.0]])  # of a fitted mixture: mfa.means_
    >>> path = tempfile.mkdtemp() + "/move.gguf"
    >>> save_control_vector(path, {4: 0.5 * (means[1] - means[0])}, model_type="gpt2")
    >>> from gguf import GGUFReader
    >>> [(tensor.name, tensor.data.tolist()) for tensor in GGUFReader(path).tensors]
    [('direction.4', [5.0, 0.0])]
    """
    gguf = import_optional("gguf", "save_control_vector")
    vectors = _vectors(directions, check_flag("constant_part", constant_part))
    site = check_place(directions, source, None)
    if site != "residual":
        raise ValueError(f"a control vector is added to the residual stream, and the mixture was fitted on {site!r}")
    if not isinstance(model_type, str) or not model_type:
        raise TypeError(f"model_type={model_type!r} must be a word, such as 'llama': see the model's config.json")
    target = check_writable(as_path("path", path), (VECTOR,), overwrite=check_flag("overwrite", overwrite))
    with replacing(target) as temporary:
        _write_vectors(gguf.GGUFWriter(temporary, _ARCHITECTURE), vectors, model_type, note)


def _write_vectors(writer: Any, vectors: Mapping[int, np.ndarray], model_type: str, note: str) -> None:
    try:
        if note:
            writer.add_description(str(note))
        writer.add_string(f"{_ARCHITECTURE}.model_hint", model_type)
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", len(vectors))
        for layer, vector in vectors.items():
            writer.add_tensor(f"direction.{layer}", vector)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _vectors(directions: Mapping[int, ArrayLike | AffineMap], constant_part: bool) -> dict[int, np.ndarray]:
    """What is added behind each layer, in single precision."""
    if not isinstance(directions, Mapping):
        raise TypeError(f"directions={directions!r} must be a dict of layer to vector")
    check_layer_numbers(directions, "directions")
    if 0 in directions:
        raise ValueError("llama.cpp adds control vectors behind layers 1 and up, and never behind layer 0")
    vectors = {int(layer): _vector(layer, directions[layer], constant_part) for layer in sorted(directions)}
    widths = {layer: len(vector) for layer, vector in vectors.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(f"directions of one model have one width, but these have {widths}")
    return vectors


def _vector(layer: int, given: Any, constant_part: bool) -> np.ndarray:
    if isinstance(given, AffineMap):
        if given.weight is not None and not constant_part:
            raise ValueError(
                f"the map of layer {layer} is more than an offset, and a control vector holds its bias only: pass "
                "constant_part=True if that is meant, or give a direction: z alone, or a difference of means_"
            )
        given = given.bias
    vector = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
    if vector.ndim != 1 or not len(vector) or vector.dtype.kind not in "fiu":
        raise ValueError(
            f"the direction of layer {layer} has shape {vector.shape} of {vector.dtype}: give numbers (D,)"
        )
    with np.errstate(over="ignore"):
        vector = np.ascontiguousarray(vector, dtype=np.float32)
    if not np.isfinite(vector).all():
        raise ValueError(f"the direction of layer {layer} holds numbers that are not finite in single precision")
    return vector
