"""Names of models that mean something on another machine, and none of the folders they lay in.

A saved mixture says which model it is of. A name from a hub is the same everywhere, the
embedded model has a name of its own; of any other directory its last name is kept, and the digest of its weights says
which model that was.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

#: What the embedded language model is called wherever the name of a model is asked for.
EMBEDDED = "tiny_lm"


def data_folder() -> Path:
    """The installed `mfa_sklearn.data`, or the top-level `data` of a checkout."""
    try:
        return Path(str(resources.files("mfa_sklearn.data")))
    except ModuleNotFoundError:
        return Path(__file__).resolve().parents[2] / "data"


def embedded(name: str) -> Path:
    """A file or folder of the package's data.

    Raises
    ------
    FileNotFoundError
        If it is missing.
    """
    path = data_folder() / name
    if not path.exists():
        raise FileNotFoundError(f"The embedded {name!r} is missing: {path}. Reinstall mfa-sklearn with its data files.")
    return path


def model_path(model: str) -> str:
    """`model`, or the directory of the embedded one if it is called by its name."""
    return str(embedded("tiny-lm")) if model == EMBEDDED and not Path(model).exists() else model


def model_name(path: str) -> str:
    """`path`, or the name of the embedded model if it is its directory."""
    return EMBEDDED if Path(path).resolve() == (data_folder() / "tiny-lm").resolve() else path


def is_digest(revision: Any) -> bool:
    """Whether a revision is the digest of a directory, as opposed to a commit, a tag or a branch of a hub."""
    return isinstance(revision, str) and revision.startswith("sha256:")


def portable_source(source: Mapping[str, Any]) -> dict[str, Any]:
    """A source as it is shared: a model's directory by its own name, without those it lies in.

    Examples
    --------
    >>> portable_source({"model": "/home/ann/models/lm/", "revision": "sha256:0a1b", "layer": 4})
    {'model': 'lm', 'revision': 'sha256:0a1b', 'layer': 4}
    >>> portable_source({"model": "openai-community/gpt2", "revision": "607a30d"})
    {'model': 'openai-community/gpt2', 'revision': '607a30d'}
    """
    name = source.get("model")
    if not isinstance(name, str | os.PathLike) or not is_digest(source.get("revision")):
        return dict(source)
    parts = [part for part in re.split(r"[\\/]", os.fspath(name)) if part not in ("", ".", "..")]
    return {**source, "model": parts[-1] if parts else Path(name).resolve().name}
