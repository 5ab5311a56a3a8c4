"""A folder of two files that holds arrays and plain values: safetensors and JSON, no pickle.

``model.safetensors`` holds the arrays, ``config.json`` everything else, the checksum of the arrays' file included, so
that files that do not belong together are noticed. Both are written under another name first.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import sklearn
import torch
from safetensors import SafetensorError

from ... import __version__
from ..._base.files import check_folder, replacing

FORMAT = "mfa-sklearn.MFA"
FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
ARRAYS_NAME = "model.safetensors"

_WRITE_AGAIN = "write it again with save_pretrained, or restore it from a copy"


def write_folder(folder: Path, arrays: dict[str, np.ndarray], values: dict[str, Any], left_out: list[str]) -> None:
    """Write arrays and plain values; a folder that holds something else is refused.

    Parameters
    ----------
    left_out : list of str
        Names that the folder says it does not hold.
    """
    check_target(folder)
    content = safetensors.numpy.save(arrays, metadata={"format": FORMAT})
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {
            "mfa-sklearn": __version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "torch": str(torch.__version__),
        },
        "arrays": {"file": ARRAYS_NAME, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
        "left_out": left_out,
        "values": values,
    }
    text = json.dumps(config, indent=2, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    for name, written in ((ARRAYS_NAME, content), (CONFIG_NAME, text.encode())):
        with replacing(folder / name) as temporary:
            temporary.write_bytes(written)


def check_target(folder: str | os.PathLike[str]) -> Path:
    """`folder`, if a mixture may be written there: it can be made, is empty, or holds a mixture."""
    return check_folder(folder, CONFIG_NAME, _read_config)


def read_folder(folder: Path) -> tuple[dict[str, Any], Any]:
    """Arrays and plain values by their names, and the versions that wrote them."""
    config = _read_config(folder / CONFIG_NAME)
    return _read_arrays(folder / ARRAYS_NAME, config) | config["values"], config.get("versions")


def _read_config(path: Path) -> dict[str, Any]:
    content = _read(path)
    try:
        config = json.loads(content)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); {_WRITE_AGAIN}") from error
    seen = config.get("format") if isinstance(config, dict) else type(config).__name__
    if seen != FORMAT:
        raise ValueError(f"{path} is not of a saved mixture: its format is {seen!r}, expected {FORMAT!r}")
    version = config.get("format_version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise ValueError(
            f"{path} has format_version {version!r}, but this version ({__version__}) of mfa-sklearn reads up to "
            f"{FORMAT_VERSION}; upgrade mfa-sklearn"
        )
    if not isinstance(config.get("values"), dict) or not isinstance(config.get("arrays"), dict):
        raise ValueError(f"{path} lacks 'values' or 'arrays'; {_WRITE_AGAIN}")
    return config


def _read_arrays(path: Path, config: dict[str, Any]) -> dict[str, np.ndarray]:
    content = _read(path)
    expected = config["arrays"]
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != expected.get("sha256"):
        raise ValueError(
            f"{path} is not the file that {CONFIG_NAME} describes: it has {len(content)} bytes and SHA-256 {checksum}, "
            f"expected {expected.get('bytes')} bytes and {expected.get('sha256')}; {_WRITE_AGAIN}"
        )
    try:
        return safetensors.numpy.load(content)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); {_WRITE_AGAIN}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist; give a folder that save_pretrained wrote") from error
