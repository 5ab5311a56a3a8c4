"""What the commands have in common about files: what they may overwrite, and the command that checks what is stored."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ._base.files import check_writable, reading
from ._base.words import plural
from ._cli_shell import say


def output_file(arguments: argparse.Namespace, suffixes: Sequence[str]) -> Path | None:
    """The file to write, found fit to be written before any work; None if none is asked for."""
    if arguments.output is None:
        return None
    return check_writable(arguments.output, tuple(suffixes), overwrite=arguments.force)


def mixture_folder(arguments: argparse.Namespace, rows: Any) -> AbstractContextManager[Path]:
    """The folder to write a mixture to, kept from other runs and with room for it, for as long as it is fitted."""
    from .mixture._saving.folder import reserved

    # Of other shapes and sizes, the fit itself has more to say than that there is no room.
    n_rows, n_features = rows.shape if len(rows.shape) == 2 else (0, 0)
    n_components, n_factors = min(arguments.components, n_rows), min(arguments.factors, n_features)
    numbers = n_components * (2 + n_features * (n_factors + 3))
    return reserved(arguments.output, arguments.force, n_bytes=8 * max(1, numbers))


def verify(arguments: argparse.Namespace) -> None:
    """Compare a store or a mixture with the checksums it was written with."""
    from .activations import ActivationStore
    from .mixture import MFA

    folder: Path = arguments.folder
    if (folder / "manifest.json").exists():
        with reading(folder, "a folder of activations"):
            store = ActivationStore(folder)
            n_files = store.verify()
        say(f"{folder}: {plural(n_files, 'file')} as written: {store}")
    elif (folder / "config.json").exists():
        with reading(folder, "a mixture"):
            mfa: Any = MFA.from_pretrained(folder)
        size = f"{plural(mfa.n_components_, 'component')} of {plural(mfa.n_factors_, 'factor')}"
        say(f"{folder}: 2 files as written: {size}, {plural(mfa.n_features_in_, 'feature')}")
    else:
        raise ValueError(
            f"there is no store and no mixture at {str(folder)!r}: give a folder that `extract` or `fit` wrote"
        )
