"""An atlas as one HTML file, and its data as files for other programs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._base.checks import check_flag, import_optional
from .._base.files import as_path, check_folder, check_writable, replacing
from .._base.words import plural
from ._atlas_data import PROMPTS, atlas_data
from ._page import render
from ._schema import FORMAT, Atlas

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel

    from ..activations import ActivationStore, PlainModel, StoredActivations
    from ..mixture import MFA

# What the page is written with.
_NEEDED = ("jinja2", "vl_convert")
# The file that every folder of data has, written last.
_HEAD = "atlas.json"
# Tables of each mixture: the list of a region that each is made of.
_TABLES = ("tokens", "concepts", "neighbors")
_FIGURES = ("component", "label", "weight", "size", "sharpness", "spread", "dimension", "factors_90", "purity")
_PLACES = ("n_enriched", "concept", "cluster", "x", "y")


def write_atlas(
    mfa: MFA,
    activations: ArrayLike | ActivationStore | StoredActivations,
    path: str | os.PathLike[str],
    *,
    model: TransformerBridge | PlainModel | PreTrainedModel | None = None,
    against: MFA | None = None,
    against_activations: ArrayLike | ActivationStore | StoredActivations | None = None,
    tokens: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    title: str | None = None,
    names: Sequence[str] | None = None,
    data_folder: str | os.PathLike[str] | None = None,
    prompts: Sequence[str] = PROMPTS,
    method: str = "centroid",
    alpha: float = 0.6,
    n_tokens: int = 8,
    n_contexts: int | None = None,
    context: int = 12,
    n_points: int = 250,
    random_state: int | None = 0,
    overwrite: bool = True,
    verbose: bool = False,
) -> Path:
    """Write an atlas of a mixture's regions: one HTML file to browse, which needs no network.

    A map of all regions, a table to search and to sort, and a page for each region: its tokens in their contexts, its
    concepts, its neighbors, how its rows differ from others and where they lie, and with a model what steering to it
    promotes.

    Parameters
    ----------
    mfa : fitted MFA
    activations : ActivationArray, activation store or array-like, of shape (n, n_features)
    path : path
        The file to write, which ends in .html.
    model, against, against_activations, tokens, labels, title, names
        As of `atlas_data`.
    data_folder : path, optional
        A folder to write the data to as well, for other programs: atlas.json, a JSON file for each mixture, and tables
        as CSV. It is made if it is not there, and must else be empty or hold the data of another atlas.
    prompts, method, alpha, n_tokens, n_contexts, context, n_points, random_state
        As of `atlas_data`.
    overwrite : bool, default=True
        Whether files that are there may be replaced.
    verbose : bool, default=False
        Say what is done.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError, TypeError
        As of `atlas_data`, and if the file's name does not end in .html or its folder is missing; before any work.
    FileExistsError
        If a file is there and may not be replaced, or `data_folder` holds other things.
    OSError
        If a file cannot be written. What was there before is then still there.
    ImportError
        If a package that the page is made with is missing: ``pip install 'mfa-sklearn[atlas]'``.

    See Also
    --------
    atlas_data : The data alone.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from mfa_sklearn import MFA, write_atlas
    >>> X = np.random.default_rng(0).normal([[0.0, 0], [9, 9]], 1, size=(20, 2, 2)).reshape(-1, 2)
    >>> mfa = MFA(2, 1, init=np.array([[0.0, 0], [9, 9]]), max_iter=0).fit(X)
    >>> written = write_atlas(mfa, X, Path(tempfile.mkdtemp()) / "atlas.html", tokens=[" cat", " dog"] * 20)
    >>> written.name
    'atlas.html'
    """
    check_flag("overwrite", overwrite)
    output = check_writable(as_path("path", path), (".html", ".htm"), overwrite=overwrite)
    folder = None if data_folder is None else check_data_folder(as_path("data_folder", data_folder), overwrite)
    for module in _NEEDED:
        import_optional(module, "write_atlas")
    told: dict[str, Any] = {"tokens": tokens, "labels": labels, "title": title, "names": names}
    told |= {"model": model, "against": against, "against_activations": against_activations}
    told |= {"prompts": prompts, "method": method, "alpha": alpha}
    told |= {"n_tokens": n_tokens, "n_contexts": n_contexts, "context": context, "n_points": n_points}
    data = atlas_data(mfa, activations, **told, random_state=random_state, verbose=verbose)
    if folder is not None:
        write_data(data, folder)
    page = render(dict(data))
    with replacing(output) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    if verbose:
        n_regions = sum(mixture["n_components"] for mixture in data["mixtures"])
        print(f"[atlas] {output}: {plural(n_regions, 'region')}, {output.stat().st_size / 1e6:.1f} MB", flush=True)
    return output


def as_json(data: Any) -> str:
    """Data as JSON that any program reads: no NaN, no blanks, characters as they are.

    >>> as_json({"a": [1, "ä"]})
    '{"a":[1,"ä"]}'
    """
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def write_data(data: Atlas, folder: Path) -> None:
    """Write the data of an atlas to a folder: `atlas.json`, mixture-1.json and tables as CSV, and so for a second one.

    Parameters
    ----------
    data : dict
        What `atlas_data` returns.
    folder : Path
        Is made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    head: dict[str, Any] = {name: value for name, value in data.items() if name != "mixtures"}
    head["mixtures"] = []
    for number, mixture in enumerate(data["mixtures"], 1):
        name = f"mixture-{number}.json"
        head["mixtures"].append(name)
        _write(folder / name, as_json(mixture))
        for table, lines in _tables(mixture).items():
            _write_table(folder / f"{table}-{number}.csv", lines)
    if data["matches"] is not None:
        _write_table(folder / "matches.csv", data["matches"])
    _clear(folder, len(data["mixtures"]))
    _write(folder / _HEAD, as_json(head))


def _clear(folder: Path, n_mixtures: int) -> None:
    """Remove what an atlas of two mixtures left, where this one is of one."""
    for file in folder.iterdir():
        stale = file.stem == "matches" or file.stem.endswith("-2")
        if n_mixtures == 1 and stale and _is_part(file.name):
            file.unlink()


def _write_table(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    pd = import_optional("pandas", "write_atlas")
    with replacing(path) as temporary:
        pd.DataFrame(lines).to_csv(temporary, index=False, errors="backslashreplace", lineterminator="\n")


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _tables(mixture: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Lines of tables, with words in place of numbers of words."""
    strings, concepts = mixture["strings"], mixture["concepts"]

    def in_words(line: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(line)
        if found.get("token") is not None:
            found["token"] = strings[found["token"]]
        if found.get("concept") is not None:
            found["concept"] = concepts[found["concept"]]
        return found

    regions = mixture["regions"]
    tables = {"regions": [in_words({name: r[name] for name in (*_FIGURES, *_PLACES)}) for r in regions]}
    for name in _TABLES:
        own = "neighbor" if name == "neighbors" else name
        tables[name] = [
            {"component": r["component"], **_renamed(in_words(line), own)} for r in regions for line in r[name]
        ]
    return tables


def _renamed(line: dict[str, Any], own: str) -> dict[str, Any]:
    """A line beside the component it is of: a neighbor's number has a column of its own."""
    return {own if name == "component" else name: value for name, value in line.items()}


def check_data_folder(folder: Path, overwrite: bool) -> Path:
    """`folder`, if the data of an atlas can be written there."""
    found = check_folder(folder, _HEAD, _is_atlas, overwrite=overwrite, ours=_is_ours, left=_is_part)
    if not found.is_dir():
        parent = next(place for place in found.absolute().parents if place.exists())
        check_writable(parent / _HEAD)
    else:
        check_writable(found / _HEAD)
    return found


def _is_atlas(path: Path) -> None:
    """Refuse another program's file."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{path.name} is no atlas")


def _is_part(name: str) -> bool:
    """Whether a file may have been left by a run that was killed before it wrote the head."""
    return name != _HEAD and _is_ours(name)


def _is_ours(name: str) -> bool:
    """Whether a file may be of an atlas's data."""
    stem, _, suffix = name.rpartition(".")
    kind = stem.rpartition("-")[0] or stem
    return suffix in ("json", "csv") and kind in ("atlas", "mixture", "matches", "regions", *_TABLES)
