"""Opening files of activations that other programs wrote: nothing is copied, and rows are read as they are needed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..._base.files import as_path
from ..._base.words import shortened
from .._checks import check_texts
from .._sites import check_layers, hook_name
from .._store import ActivationStore, StoredActivations
from .._store_parts import has_store
from .chosen import Chosen, check_names, choose
from .column import Columns
from .files import files_of
from .rows import OpenedLayers, OpenedRows, RowNumbers, RowTexts
from .source import check_source, check_tokenizer


def open_activations(
    path: str | os.PathLike[str],
    layer: int | None = None,
    *,
    activations: str | Sequence[str] | None = None,
    facts: Mapping[str, str | None] | None = None,
    layers: Sequence[int] | None = None,
    texts: Sequence[str] | None = None,
    tokenizer: Any = None,
    source: Mapping[str, Any] | None = None,
) -> OpenedRows | OpenedLayers | StoredActivations | ActivationStore:
    """Activations that lie at a path, whoever wrote them; they stay there, and rows are read as they are needed.

    A file or a folder of files of one format, which are one after the other in the order of their names (2 before 10):
    ``.npy``, ``.safetensors``, files of `torch.save` (tensors alone, nothing is unpickled) or ``.parquet`` (needs
    pyarrow). Tables of two dimensions are rows by features. Tables of three are rows by layers by features. In
    Parquet a table is a column of lists, or all columns of floating-point numbers; a row group of it is in memory at
    once. The head of every file is checked here, so that what does not fit is told before work is spent.

    Facts of rows have one entry per row, and stand beside the tables: as tensors or columns, or in ``.npy`` files of
    their own. They are known by their usual names ("token_ids" or "input_ids", "tokens", "text_index", "positions",
    "starts", "ends", "labels", "roles", "text"), or those that `facts` gives. A layer is known by a number in the
    name of a tensor or of its file ("blocks.7.hook_resid_post", "layer_7").

    Parameters
    ----------
    path : path
        A file, a folder of files, or a folder that `ActivationExtractor.extract_to` wrote.
    layer : int, optional
        The layer to open, where there are several.
    activations : str or list of str, optional
        The name of the tensor or column that holds activations, or the names of the columns that are a feature each;
        needed where there are several tables that are no layers.
    facts : dict of str to str, optional
        What facts are called here, as ``{"labels": "class"}``; None for one to leave out.
    layers : list of int, optional
        The numbers of the layers of tables of three dimensions; by default 0, 1, ...
    texts : list of str, optional
        The texts, indexed by the fact "text_index". Where there is a column of texts, they need not be given.
    tokenizer : str, path or transformers tokenizer, optional
        That the token ids are of, for their strings.
    source : dict, optional
        Where the activations come from, as far as known: "model", "revision", "layer", "site" and others, as in
        `ActivationArray.source`.

    Returns
    -------
    array-like of shape (n, d), or a mapping of layers to such
        Rows are read like those of a store, ``rows[100:200]``, and taken wherever an array of activations is; of
        several layers, take one, as ``opened[7]``.

    Raises
    ------
    ValueError
        If there is nothing to read, a file is damaged, or files do not fit together; the message names the file.
    ImportError
        If pyarrow is missing and needed.

    Warns
    -----
    UserWarning
        If the folder holds other files, which are left out.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from mfa_sklearn import open_activations
    >>> folder = tempfile.mkdtemp()
    >>> for part in range(2):
    ...     np.save(f"{folder}/part{part}.npy", np.full((3, 4), part, dtype=np.float32))
    ...     np.save(f"{folder}/labels{part}.npy", np.array(["cat", "dog", "cat"]))
    >>> rows = open_activations(folder, source={"model": "gpt2", "layer": 4, "site": "residual"})
    >>> rows.shape, rows[2:4].labels.tolist(), rows.source["hooks"]
    ((6, 4), ['cat', 'cat'], ['blocks.4.hook_resid_post'])
    """
    path = as_path("path", path)
    if path.is_dir() and has_store(path):
        given = {"activations": activations, "facts": facts, "layers": layers, "texts": texts, "source": source}
        _refuse(path, given | {"tokenizer": tokenizer})
        store = ActivationStore(path)
        return store.open(layer) if layer is not None or len(store.layers) == 1 else store
    numbers = None if layers is None else check_layers(layers)
    names, known = check_names(facts), check_source(source)
    chosen = choose(files_of(path), activations, names, numbers)
    opened = opened_layers(chosen, str(path), texts, check_tokenizer(tokenizer), known)
    if layer is None:
        return opened if len(chosen.layers) > 1 else next(iter(opened.values()))
    if None in chosen.layers:
        raise ValueError(f"{str(path)!r} names no layer, so layer={layer} is not known to be there: leave it out")
    return opened.open(layer)


def _refuse(path: Path, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{str(path)!r} is a store, which knows its {name}: leave {name}={shortened(value)} out")


def opened_layers(
    chosen: Chosen, told: str, texts: Sequence[str] | None, tokenizer: Any, source: dict[str, Any] | None
) -> OpenedLayers:
    """The rows of each layer, with their facts."""
    facts: dict[str, Any] = {name: Columns(columns) for name, columns in chosen.facts.items()}
    n_rows = sum(len(column) for column in next(iter(chosen.layers.values())))
    shared = _shared_texts(facts, texts, n_rows, told)
    found = {}
    for layer, columns in chosen.layers.items():
        of_layer = _source_of(source, layer, chosen.sites.get(layer))
        found[layer] = OpenedRows(
            Columns(columns), facts, shared | ({"source": of_layer} if of_layer else {}), tokenizer
        )
    return OpenedLayers(found, repr(told))  # type: ignore[arg-type]


def _shared_texts(facts: dict[str, Any], texts: Sequence[str] | None, n_rows: int, told: str) -> dict[str, Any]:
    """The texts, if there are any; rows that have a text each are numbered by it."""
    column = facts.pop("texts", None)
    if texts is None and column is None:
        return {}
    if texts is None:
        if "text_index" in facts:
            raise ValueError(
                f"{told!r} has a text for each row, and text_index besides: leave one out, as "
                "facts={'text_index': None}"
            )
        facts["text_index"] = RowNumbers(n_rows)
        return {"texts": RowTexts(column)}
    found = tuple(check_texts(texts))
    if "text_index" not in facts:
        if len(found) != n_rows:
            raise ValueError(
                f"there are {len(found):,} texts for {n_rows:,} rows of {told!r}, which have no text_index that says "
                "which text is whose: name that fact, or give a text per row"
            )
        facts["text_index"] = RowNumbers(n_rows)
        return {"texts": found}
    index = facts["text_index"].read(slice(0, n_rows))
    if n_rows and not 0 <= index.min() <= index.max() < len(found):
        raise ValueError(
            f"text_index of {told!r} goes from {index.min()} to {index.max()}, and there are {len(found):,} texts"
        )
    return {"texts": found}


def _source_of(source: dict[str, Any] | None, layer: int | None, site: str | None) -> dict[str, Any]:
    """Where a layer's rows come from, as far as is known."""
    found = dict(source or {})
    if layer is not None:
        said = found.get("layer")
        if said is not None and layer not in np.atleast_1d(said):
            raise ValueError(f"source says layer {said}, and the files layer {layer}: correct one of them")
        found["layer"] = layer
    if site is not None:
        found.setdefault("site", site)
    if found.get("site") and isinstance(found.get("layer"), int):
        found.setdefault("hooks", [hook_name(found["site"], found["layer"])])
    return found
