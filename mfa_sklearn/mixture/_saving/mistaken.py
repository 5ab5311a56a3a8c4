"""What was taken for the folder of a mixture, in words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..._base.home import home_path

_FILES = ("config.json", "model.safetensors")


def check_mistaken(directory: Any) -> Path:
    """`directory` as a path, refused if it plainly is something else than the folder of a mixture.

    A folder that is missing, empty or damaged passes: reading it says more.

    Raises
    ------
    TypeError
        If it is no path.
    NotADirectoryError
        If it is a file.
    ValueError
        If it holds a language model or activations.
    """
    if not isinstance(directory, str | os.PathLike):
        raise TypeError(f"directory={directory!r} must be a path: the folder that save_pretrained wrote")
    path = home_path(directory)
    if path.is_file():
        remedy = f"its folder, {str(path.parent)!r}" if path.name in _FILES else "the folder that save_pretrained wrote"
        raise NotADirectoryError(f"{str(path)!r} is a file: give {remedy}{_of_file(path)}")
    if (path / "manifest.json").is_file() and not (path / "config.json").exists():
        raise ValueError(
            f"{str(path)!r} is no saved mixture: it holds activations, as extract_to writes them; fit a mixture "
            "on them and save that"
        )
    kind = _model_type(path / "config.json")
    if kind is not None:
        raise ValueError(
            f"{str(path)!r} is no saved mixture: it holds a language model of the type {kind!r}, which "
            "ActivationExtractor(model=...) and load_model read"
        )
    return path


def _of_file(path: Path) -> str:
    """How a file of another kind is read."""
    if path.suffix in (".joblib", ".pkl", ".pickle"):
        return f"; a pickle is read with joblib.load({str(path)!r})"
    if path.suffix in (".pt", ".pth"):
        return f"; a checkpoint of the reference is read with MFA.from_reference_checkpoint({str(path)!r})"
    return ""


def _model_type(path: Path) -> str | None:
    """The type of the language model whose configuration this is; None if it is of none, or cannot be read."""
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(config, dict) and "format" not in config
    return config["model_type"] if known and isinstance(config.get("model_type"), str) else None
