"""A folder of two files that holds arrays and plain values: safetensors and JSON, no pickle.

``model.safetensors`` holds the arrays, ``config.json`` everything else, the checksums of the arrays' file and of itself
included, so that files that do not belong together, or were changed, are noticed.

A mixture is replaced by another at the moment that ``config.json`` is. The new arrays are beside the old ones before
that, under a name with their checksum, and get their own name after it; who reads in between finds them by that.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import sklearn
import torch
from safetensors import SafetensorError

from ... import __version__
from ..._base.files import check_folder, probe, replacing, write_error
from ..._base.leftovers import clear_leftovers
from ..._base.locks import locked
from ..._base.stored import OWN, own_digest, parse_json

FORMAT = "mfa-sklearn.MFA"
FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
ARRAYS_NAME = "model.safetensors"

_WRITE_AGAIN = "write it again with save_pretrained, or restore it from a copy"
_STAGED = re.compile(r"\.model-[0-9a-f]{16}\.safetensors")
_OURS = (CONFIG_NAME, ARRAYS_NAME)


def write_folder(
    folder: Path, arrays: dict[str, np.ndarray], values: dict[str, Any], left_out: list[str], overwrite: bool = True
) -> None:
    """Write arrays and plain values; a folder that holds something else is refused.

    Parameters
    ----------
    left_out : list of str
        Names that the folder says it does not hold.
    overwrite : bool, default=True
        Whether a mixture that is there may be replaced.
    """
    content = safetensors.numpy.save(arrays, metadata={"format": FORMAT})
    checksum = hashlib.sha256(content).hexdigest()
    config = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {
            "mfa-sklearn": __version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
            "torch": str(torch.__version__),
        },
        "arrays": {"file": ARRAYS_NAME, "bytes": len(content), "sha256": checksum},
        "left_out": left_out,
        "values": values,
    }
    text = json.dumps(config | {OWN: own_digest(config)}, indent=2, allow_nan=False)
    with reserved(folder, overwrite):
        _write_pair(folder, content, text.encode(), checksum)


@contextmanager
def reserved(folder: str | os.PathLike[str], overwrite: bool = True, n_bytes: int = 0) -> Iterator[Path]:
    """A folder that a mixture may be written to, kept from other runs until the block ends.

    Parameters
    ----------
    folder : path
        Made if it does not exist, and removed if it is empty at the end.
    overwrite : bool, default=True
        Whether a mixture that is there may be replaced.
    n_bytes : int, default=0
        For which there must be room; 0 does not ask.

    Raises
    ------
    FileExistsError
        If it is a file, holds other things, or a mixture that may not be replaced.
    OSError
        If another run writes to it, or it cannot be written to.
    """
    check_target(folder, overwrite)
    with locked(folder):
        path = check_target(folder, overwrite)  # again: meanwhile another run may have ended there
        clear_leftovers(path, _OURS.__contains__, locked=True)
        if n_bytes:
            probe(path, n_bytes)
        yield path


def check_target(folder: str | os.PathLike[str], overwrite: bool = True) -> Path:
    """`folder`, if a mixture may be written there: it can be made, is empty, or holds a mixture."""

    def left_by_killed_run(name: str) -> bool:
        return bool(_STAGED.fullmatch(name)) or (name == ARRAYS_NAME and _is_ours(Path(folder)))

    return check_folder(
        folder, CONFIG_NAME, _read_config, overwrite=overwrite, ours=_OURS.__contains__, left=left_by_killed_run
    )


def _is_ours(folder: Path) -> bool:
    """Whether there are a mixture's arrays, and no configuration of whatever else."""
    if (folder / CONFIG_NAME).exists():
        return False
    try:
        with safetensors.safe_open(folder / ARRAYS_NAME, "np") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (OSError, SafetensorError):
        return False


def _write_pair(folder: Path, arrays: bytes, config: bytes, checksum: str) -> None:
    if not (folder / CONFIG_NAME).exists():
        for name, content in ((ARRAYS_NAME, arrays), (CONFIG_NAME, config)):
            _write(folder / name, content)
        return
    try:
        _write(folder / str(_staged_name(checksum)), arrays, called=folder / ARRAYS_NAME)
        _write(folder / CONFIG_NAME, config)
    finally:
        _settle(folder)


def _settle(folder: Path) -> None:
    """Give the staged arrays that the configuration is of their own name, and delete others."""
    current = _staged_name(_read_config(folder / CONFIG_NAME)["arrays"].get("sha256"))
    for name in filter(_STAGED.fullmatch, os.listdir(folder)):
        if name != current:
            with suppress(OSError):
                (folder / name).unlink()
            continue
        try:
            os.replace(folder / name, folder / ARRAYS_NAME)
        except OSError as error:
            raise write_error(folder / ARRAYS_NAME, error) from error


def _staged_name(checksum: Any) -> str | None:
    """The name that arrays have until they get their own; None of what is no checksum."""
    known = isinstance(checksum, str) and re.fullmatch("[0-9a-f]{64}", checksum)
    return f".model-{checksum[:16]}.safetensors" if known else None


def _write(path: Path, content: bytes, called: Path | None = None) -> None:
    with replacing(path, called) as temporary:
        temporary.write_bytes(content)


def read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and plain values by their names, and the configuration."""
    config = _read_config(folder / CONFIG_NAME)
    arrays, values = _read_arrays(folder, config), config["values"]
    twice = sorted(arrays.keys() & values.keys())
    if twice:
        raise ValueError(f"{folder / CONFIG_NAME} has values of {twice}, which {ARRAYS_NAME} holds; {_WRITE_AGAIN}")
    return arrays | values, config


def _read_config(path: Path) -> dict[str, Any]:
    content = _read(path)
    try:
        config = parse_json(content)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); {_WRITE_AGAIN}") from error
    seen = config.get("format") if isinstance(config, dict) else type(config).__name__
    if seen != FORMAT:
        raise ValueError(f"{path} is not of a saved mixture: its format is {seen!r}, expected {FORMAT!r}")
    version = config.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise ValueError(
            f"{path} has format_version {version!r}, but this version ({__version__}) of mfa-sklearn reads up to "
            f"{FORMAT_VERSION}; upgrade mfa-sklearn"
        )
    if not isinstance(config.get("values"), dict) or not isinstance(config.get("arrays"), dict):
        raise ValueError(f"{path} lacks 'values' or 'arrays'; {_WRITE_AGAIN}")
    return config


def _read_arrays(folder: Path, config: dict[str, Any]) -> dict[str, np.ndarray]:
    path, expected = folder / ARRAYS_NAME, config["arrays"]
    wanted = expected.get("sha256")
    staged = folder / (_staged_name(wanted) or ARRAYS_NAME)
    content = _read(staged if staged.exists() else path)
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != wanted and staged.exists():  # cut short, and never given its name
        content = _read(path)
        checksum = hashlib.sha256(content).hexdigest()
    if checksum != wanted:
        raise ValueError(
            f"{path} is not the file that {CONFIG_NAME} describes: it has {len(content)} bytes and SHA-256 {checksum}, "
            f"expected {expected.get('bytes')} bytes and {wanted}; {_WRITE_AGAIN}"
        )
    try:
        return safetensors.numpy.load(content)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not a safetensors file ({error}); {_WRITE_AGAIN}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{path} does not exist; give a folder that save_pretrained wrote") from error
    except IsADirectoryError as error:
        raise ValueError(f"{path} is a folder, expected a file; {_WRITE_AGAIN}") from error
