"""Writing an activation store, shard after shard, so that an interrupted run goes on where it was.

One run at a time writes to a folder, in one process or in parts (`_store_parts.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from .._base.behind import behind, with_next
from .._base.checks import check_choice, check_count
from .._base.files import probe
from .._base.home import home_path
from .._base.locks import locked
from .._base.progress import Progress, hidden
from ._given_texts import ListedTexts, ShardTexts, StreamedTexts
from ._load_options import numbers_source
from ._part import ALL, Part
from ._row_plan import LayerRows
from ._shard_files import write_shard
from ._store import ActivationStore
from ._store_manifest import new_manifest, read_manifest, shard_name, shard_number
from ._store_numbers import DTYPES
from ._store_parts import part_manifests
from ._store_run import Run, check_others, finish, is_finished, part_lock, start, telling_what_is_kept


def write_store(
    directory: str | os.PathLike[str],
    extract: Callable[[list[str], Any, int], LayerRows],
    settings: dict[str, Any],
    source: dict[str, Any],
    texts: list[str] | ListedTexts | StreamedTexts,
    labels: Any = None,
    *,
    shard_size: int = 1000,
    dtype: str = "float16",
    select: dict[str, Any] | None = None,
    resume: bool = True,
    bar: Callable[[int | None, int], AbstractContextManager[Progress]] = hidden,
    announce: Callable[[list[str]], None] = lambda _: None,
    least_bytes: int = 0,
    part: Part = ALL,
) -> ActivationStore:
    """Extract and write the shards that are missing.

    Parameters
    ----------
    directory : path
    extract : callable
        From some texts, their labels (or None) and the number of the first of them to `LayerRows`.
    settings : dict
        Whatever else the numbers depend on; a run is resumed only with the same, and the same texts and labels.
    source : dict
        As in `ActivationArray.source`.
    texts : list of n str, ListedTexts or StreamedTexts
    labels : array-like of length n, optional
        Of a list.
    shard_size : int
        Texts per shard.
    dtype : {"float16", "float32", "bfloat16"}
    select : dict, optional
        The selection of tokens, for the manifest.
    resume : bool
    bar : callable
        From the number of all texts (None if that is not known) and of those that are there to what counts them.
    announce : callable
        Told, before the texts of a shard are extracted, which texts come after them: none after the last.
    least_bytes : int
        That the first shard will need; there must be room for it before anything is extracted.
    part : Part
        What this process does of it.

    Returns
    -------
    ActivationStore
        Of which other parts may be missing.

    Raises
    ------
    ValueError
        If the folder holds activations of other texts or parameters, or of another number of parts, or no rows come of
        the texts.
    OSError
        If the folder holds other things, another run writes to it, or it cannot be written to.
    """
    path, given = home_path(directory), texts if not isinstance(texts, list) else ListedTexts(texts, labels)
    key = given.key({**settings, **numbers_source(source), "shard_size": shard_size, "dtype": dtype})
    check_others(path)
    if resume and is_finished(path, key):
        _compare(given, shard_size, read_manifest(path))
        return ActivationStore(path)
    layers = source["layer"] if isinstance(source["layer"], list) else [source["layer"]]
    new = new_manifest(key, source | {"layer": layers}, layers, dtype, given.n_texts, select)
    with _begun(path, new, resume, part, shard_size, least_bytes) as (run, known):
        total = _n_own(given.n_texts, shard_size, run.part)
        with bar(total, run.n_kept) as counted:
            _write_shards(run, extract, given, shard_size, counted, known, announce)
    return ActivationStore(path)


def check_store_options(shard_size: Any, dtype: Any) -> None:
    """Refuse what no store can have, before a model is run."""
    check_count("shard_size", shard_size)
    check_choice("dtype", dtype, DTYPES)


@contextmanager
def _begun(
    path: Path, new: dict[str, Any], resume: bool, part: Part, shard_size: int, least_bytes: int
) -> Iterator[tuple[Run, dict[int, str]]]:
    """The run, alone in its folder or with its part of it, and the digests of the shards that are known already."""
    own = locked(path) if part.is_all else part_lock(path, part)
    brief = not part.is_all
    with own:
        probe(path, least_bytes)
        with locked(path, brief=brief):
            run = start(path, new, resume, part, shard_size)
            manifests = [run.manifest, *(() if part.is_all else part_manifests(path).values())]
        with telling_what_is_kept(run):
            yield run, _digests(manifests, new["key"])
        with locked(path, brief=brief):
            finish(run)


# ---------------------------------------------------------------- shards


def _write_shards(
    run: Run,
    extract: Callable[..., LayerRows],
    texts: ListedTexts | StreamedTexts,
    shard_size: int,
    bar: Progress,
    known: dict[int, str],
    announce: Callable[[list[str]], None],
) -> None:
    """Extract a shard while the one before it is written, so that two are in memory at most."""
    all_of_them = _Read(texts.shards(shard_size), known, shard_size, run.manifest["n_texts"])
    written = {shard_number(shard["name"]) for shard in run.manifest["shards"]}
    own = (some for some in all_of_them if some.number not in written and run.part.takes(some.number))
    with behind() as writer:
        for some, following in with_next(own):
            announce([] if following is None else following.texts)
            rows = extract(some.texts, some.labels, some.start)
            bar.update(writer.wait() or 0)
            writer.do(_append, run, rows, some)
            del rows  # the writer's alone: it is to be gone once it is written
        bar.update(writer.wait() or 0)
    _end(run, all_of_them.last, known)


class _Read:
    """The shards of given texts, compared with what is known of them; remembers the last."""

    def __init__(
        self, shards: Iterator[ShardTexts], known: dict[int, str], shard_size: int, n_texts: int | None
    ) -> None:
        self._shards, self._known, self._shard_size, self._n_texts = shards, known, shard_size, n_texts
        self.last: ShardTexts | None = None

    def __iter__(self) -> Iterator[ShardTexts]:
        for some in self._shards:
            _check_given(some, self._known)
            if len(some.texts) < self._shard_size:  # it is the last, and none of it is written if that is too early
                _check_end(some, self._known, self._n_texts)
            self.last = some
            yield some


def _append(run: Run, rows: LayerRows, texts: ShardTexts) -> int:
    """Write a shard, and say so in the manifest; how many texts it has."""
    manifest, name = run.manifest, shard_name(texts.number, run.mark)
    shard = write_shard(run.path, name, rows, manifest["layers"], (texts.start, texts.stop), manifest["dtype"])
    manifest["width"] = int(rows.layers[0].shape[1])
    run.add(shard if texts.given is None else shard | {"given": texts.given})
    return len(texts.texts)


def _end(run: Run, last: ShardTexts | None, known: dict[int, str]) -> None:
    """What is known when all texts have been gone through."""
    assert last is not None
    _check_end(last, known, run.manifest["n_texts"])
    part = run.manifest.get("part")
    if part is not None:
        part["done"] = True
    if last.given is not None:
        run.manifest["n_texts"] = last.stop
        if part is not None:
            part["end"] = last.given
    if part is not None or last.given is not None:
        run.save()


def _n_own(n_texts: int | None, shard_size: int, part: Part) -> int | None:
    """How many texts are a part's; None if that is not known."""
    if n_texts is None:
        return None
    starts = range(part.number * shard_size, n_texts, part.total * shard_size)
    return sum(min(shard_size, n_texts - first) for first in starts)


# ---------------------------------------------------------------- streams


def _digests(manifests: list[dict[str, Any]], key: str) -> dict[int, str]:
    """The running digests of a stream that shards keep, by their numbers."""
    same = [shard for manifest in manifests if manifest["key"] == key for shard in manifest["shards"]]
    return {shard_number(shard["name"]): shard["given"] for shard in same if "given" in shard}


def _compare(texts: ListedTexts | StreamedTexts, shard_size: int, manifest: dict[str, Any]) -> None:
    """Refuse a stream that is another than a store is of; of a list the key has said that."""
    if isinstance(texts, ListedTexts):
        return
    known, last = _digests([manifest], manifest["key"]), None
    for last in texts.shards(shard_size):
        _check_given(last, known)
    assert last is not None
    _check_end(last, known, manifest["n_texts"])


_OTHER = "give the same stream from its beginning (fix the seed of what shuffles it), or resume=False (--force)"


def _check_given(texts: ShardTexts, known: dict[int, str]) -> None:
    if texts.given is not None and known.get(texts.number, texts.given) != texts.given:
        raise ValueError(
            f"the stream has other texts or labels than the store, somewhere up to texts[{texts.stop - 1}]: {_OTHER}"
        )


def _check_end(last: ShardTexts, known: dict[int, str], n_texts: int | None) -> None:
    if last.given is not None and (last.number < max(known, default=0) or n_texts not in (None, last.stop)):
        there = "more" if n_texts is None else f"{n_texts:,}"
        raise ValueError(f"the stream has ended after {last.stop:,} texts, and the store is of {there}: {_OTHER}")
