"""What the commands have in common about files: read, overwritten or not, checked, and tables that go into them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._base.files import check_writable, reading, replacing
from ._base.words import plural, visible
from ._cli_shell import say

if TYPE_CHECKING:
    import pandas as pd

    from .mixture import MFA

PICTURES = (".png", ".pdf", ".svg")


def output_file(arguments: argparse.Namespace, suffixes: Sequence[str]) -> Path | None:
    """The file to write, found fit to be written before any work; None if none is asked for."""
    if arguments.output is None:
        return None
    return check_writable(arguments.output, tuple(suffixes), overwrite=arguments.force)


def check_mixture_folder(path: Path, force: bool) -> None:
    """Refuse a folder that a mixture may not be written to, before anything is read."""
    from .mixture._saving.folder import reserved

    with reserved(path, force, n_bytes=1):
        pass


def mixture_folder(
    path: Path, force: bool, rows: Any, n_components: int, n_factors: int
) -> AbstractContextManager[Path]:
    """The folder to write a mixture to, kept from other runs and with room for it, for as long as it is fitted."""
    from .mixture._saving.folder import reserved

    # Of other shapes and sizes, the fit itself has more to say than that there is no room.
    n_rows, n_features = rows.shape if len(rows.shape) == 2 else (0, 0)
    n_components, n_factors = min(n_components, n_rows), min(n_factors, n_features)
    numbers = n_components * (2 + n_features * (n_factors + 3))
    return reserved(path, force, n_bytes=8 * max(1, numbers))


def read_rows(paths: Path | Sequence[Path], layer: int | None) -> Any:
    """Activations of a folder, a table of a file, or several of them one after the other.

    They stay on disk and are read as they are needed.
    """
    from ._base.row_views import Concatenated

    several = [paths] if isinstance(paths, Path) else list(paths)
    tables = [_rows_of_one(path, layer) for path in several]
    for path, table in zip(several, tables, strict=True):
        if table.shape[1] != tables[0].shape[1]:
            raise ValueError(
                f"{str(path)!r} has {plural(table.shape[1], 'column')} and {str(several[0])!r} has "
                f"{tables[0].shape[1]:,}: give tables of equal width"
            )
    return tables[0] if len(tables) == 1 else Concatenated(tables)


def _rows_of_one(path: Path, layer: int | None) -> Any:
    from .activations import ActivationStore
    from .activations._path import rows_at

    if layer is None and (path / "manifest.json").is_file():
        with reading(path, "a folder of activations"):
            layers = ActivationStore(path).layers
        if len(layers) > 1:
            raise ValueError(f"{str(path)!r} holds the layers {list(layers)}: name one with --layer")
    return rows_at(path, layer)


def read_mixture(path: Path) -> MFA:
    """The mixture in a folder."""
    from .mixture import MFA

    with reading(path, "a mixture"):
        return MFA.from_pretrained(path)


def read_language_model(arguments: argparse.Namespace, source: dict[str, Any] | None, of: Path, missing: str) -> Any:
    """The language model of a mixture or of rows, or the copy of it that --model names.

    Parameters
    ----------
    arguments : Namespace
    source : dict or None
        What the mixture or the rows say of their origin.
    of : path
        Their folder, near which a model that is named by a path may be.
    missing : str
        What is not known, and the remedy, where neither says which model it is.
    """
    from .activations import load_model
    from .activations._language_model import model_of

    source = source or {}
    if not (arguments.model or source.get("model")):
        raise ValueError(f"{of} does not say which language model {missing}")
    name = model_of(source, arguments.model or None, near=(of, of.parent))
    dtype, processing = source.get("dtype", "float32"), source.get("processing", "raw")
    return load_model(name, arguments.device, dtype, processing, backend=arguments.backend)


def read_table(path: Path) -> pd.DataFrame:
    """A table that a command or `DataFrame.to_csv` wrote; no word in it but an empty one stands for a missing value."""
    from ._base.checks import import_optional

    pd = import_optional("pandas", "plot")
    if path.suffix.lower() != ".csv":
        raise ValueError(f"cannot read {str(path)!r} as a table: give a .csv file")
    with reading(path, "a table"):
        return pd.read_csv(path, keep_default_na=False, na_values=[""], encoding_errors="backslashreplace")


def give(table: pd.DataFrame, output: Path | None, as_text: Callable[[pd.DataFrame], str]) -> None:
    """Write a table to its file, or print it where there is none."""
    if output is None:
        say(as_text(table))
        return
    with replacing(output) as temporary:
        table.to_csv(temporary, index=False, errors="backslashreplace")
    say(f"{output}: {plural(len(table), 'row')}")


def as_text(table: pd.DataFrame, float_format: str) -> str:
    """A table to read; what a terminal would obey is escaped before columns are aligned."""
    shown = table.map(lambda cell: visible(cell) if isinstance(cell, str) else cell)
    return shown.to_string(index=False, float_format=float_format)


def verify(arguments: argparse.Namespace) -> None:
    """Compare a store or a mixture with the checksums it was written with."""
    from .activations import ActivationStore
    from .activations._store_parts import has_store
    from .mixture import MFA

    folder: Path = arguments.folder
    if has_store(folder):
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
