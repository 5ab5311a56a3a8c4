"""Loading a language model with hook points, by name or from a local directory, and saying which one it was.

A local directory never leads to a network call: its configuration, weights and tokenizer are all read from it. A name
is looked up as `transformers` does it: in the local cache first, then on the hub unless ``HF_HUB_OFFLINE=1`` is set.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._base.checks import check_choice, import_optional
from .._base.devices import model_dtype, model_dtype_name, resolve_device
from .._base.home import home_path
from .._base.portable import EMBEDDED, is_digest, model_name, model_path
from .._base.words import is_out_of_memory, one_line
from ._load_options import check_load_options, recorded_options
from ._model_config import check_causal_or_encoder

if TYPE_CHECKING:
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    from ._plain_model import PlainModel

PROCESSINGS = ("raw", "compatibility")
BACKENDS = ("transformer_lens", "transformers")
# What decides the numbers that a model directory gives for a text.
_WEIGHTS = (".safetensors", ".bin", ".index.json", ".model")
_NUMBERS = (".safetensors", ".bin")
_FILES = ("config.json", "tokenizer.json", "vocab.json", "vocab.txt", "merges.txt")
LOADING = threading.RLock()  # the loaders' own switches, such as that of progress bars, are the process's


def load_model(
    model: str | os.PathLike[str],
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "float32",
    processing: str = "raw",
    revision: str | None = None,
    backend: str = "transformer_lens",
    load_options: Mapping[str, Any] | None = None,
) -> TransformerBridge | PlainModel:
    """Load a language model with hook points: as a TransformerLens ``TransformerBridge``, or as transformers has it.

    Parameters
    ----------
    model : str or path
        A local directory as `save_pretrained` writes it (configuration, weights, tokenizer), or a model name;
        "tiny_lm" is the embedded one.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one, else the CPU.
    dtype : {"float32", "float64", "float16", "bfloat16"} or torch.dtype, default="float32"
        Of the weights and the computation.
    processing : {"raw", "compatibility"}, default="raw"
        "raw" keeps the weights as published, so that activations are those of `transformers`. "compatibility" folds
        layer norms and centers what is written to the residual stream, as TransformerLens before 3.0 did by default.
    revision : str, optional
        Branch, tag or commit of a model that is given by name.
    backend : {"transformer_lens", "transformers"}, default="transformer_lens"
        "transformers" needs no TransformerLens: hooks go to the modules of `transformers` itself. Rows, logits and
        tokens are the same.
    load_options : dict, optional
        Whatever else the loader takes, such as ``{"device_map": "auto"}`` to spread weights over devices, ``n_devices``
        (TransformerLens'), or a ``quantization_config``.

    Returns
    -------
    transformer_lens.model_bridge.TransformerBridge or PlainModel
        In evaluation mode. Its attribute ``mfa_source`` is the dict of `describe_model`, and ``mfa_tokenizer`` the
        tokenizer as it was saved, where TransformerLens' own lacks tokens that this one opens or closes a text by.

    Raises
    ------
    ImportError
        If transformers or transformer_lens is missing.
    ValueError
        If there is no such directory or model, it cannot be loaded, or a processing or an option is asked for that the
        backend does not know; the message names it and the remedy.
    TypeError
        If `load_options` is no dict, or an option cannot be recorded.

    Examples
    --------
    >>> from mfa_sklearn import datasets
    >>> from mfa_sklearn.activations import load_model
    >>> model = load_model(datasets.tiny_lm())
    >>> model("The river").shape[-1] == model.cfg.d_vocab
    True
    """
    check_choice("backend", backend, BACKENDS)
    check_processing(processing, backend)
    options = check_load_options(load_options, backend, device)
    load = _load_bridge if backend == "transformer_lens" else _load_plain
    name, source = check_model_name(model), describe_model(model, dtype, processing, revision)
    if told := recorded_options(options):
        source["load_options"] = told
    found: Any = load(name, resolve_device(device), model_dtype(dtype), revision, options)
    if processing == "compatibility":
        found.enable_compatibility_mode(disable_warnings=True)
    found.mfa_source = source
    return found


def check_processing(processing: str, backend: str) -> None:
    """Refuse weights processed by one that has not got them.

    Raises
    ------
    ValueError
    """
    check_choice("processing", processing, PROCESSINGS)
    if processing != "raw" and backend == "transformers":
        raise ValueError(
            f"processing={processing!r} is TransformerLens' own, and backend='transformers' has weights as published: "
            "give processing='raw', or backend='transformer_lens'"
        )


def _load_bridge(
    name: str, device: torch.device, dtype: torch.dtype, revision: str | None, options: dict[str, Any]
) -> TransformerBridge:
    try:
        bridges = import_optional("transformer_lens.model_bridge", "a language model")
    except ImportError as error:
        raise ImportError(f"{error}. Or go on without it: backend='transformers' gives the same rows") from error
    with LOADING, _explained(name, options), _quiet():
        _check_weights(name)
        boot = bridges.TransformerBridge.boot_transformers
        given = options if set(options) <= set(inspect.signature(boot).parameters) else {}
        if options and not given:  # which the bridge's loader does not know, and transformers' own does
            from ._plain_model import load_pretrained

            given = {"hf_model": load_pretrained(name, device, dtype, revision, options)}
        placed = not given.keys().isdisjoint(("device_map", "n_devices", "hf_model"))
        bridge = boot(name, device=None if placed else str(device), dtype=dtype, revision=revision, **given)
    bridge.eval()
    keep_tokenizer(bridge, name, revision)
    return bridge


def _load_plain(
    name: str, device: torch.device, dtype: torch.dtype, revision: str | None, options: dict[str, Any]
) -> PlainModel:
    from ._plain_model import load_plain

    check_causal_or_encoder(load_config(name, revision), name)
    with LOADING, _explained(name, options), _quiet():
        _check_weights(name)
        return load_plain(name, device, dtype, revision, options)


def _check_weights(name: str) -> None:
    """Refuse a directory without weights before a model of its configuration's size is built."""
    if Path(name).is_dir() and not any(path.name.endswith(_NUMBERS) for path in Path(name).iterdir()):
        raise ValueError(f"it holds no weights, no file {' or '.join(f'*{end}' for end in _NUMBERS)}")


def keep_tokenizer(bridge: Any, name: str, revision: str | None = None) -> None:
    """Keep the tokenizer as it was saved beside the bridge's, if that has lost special tokens.

    TransformerLens gives every tokenizer a beginning-of-text token. For tokenizers without a class of their own, that
    replaces all that they put around a text, such as BERT's ``[CLS]`` and ``[SEP]``.
    """
    if bridge.tokenizer is None:
        return
    try:
        saved = load_tokenizer(name, revision)
    except ValueError:  # a tokenizer that the loader has found elsewhere, or made itself
        return
    lost = set(saved("a")["input_ids"]) - set(bridge.tokenizer("a")["input_ids"])
    bridge.mfa_tokenizer = (bridge.tokenizer, saved if lost else bridge.tokenizer)


def load_config(model: str | os.PathLike[str], revision: str | None = None) -> Any:
    """The `transformers` configuration of a model: small, and read without its weights.

    Raises
    ------
    ImportError
        If transformers is missing.
    ValueError
        If there is no such directory or model.
    """
    name = check_model_name(model)
    transformers = import_optional("transformers", "a language model")
    with _explained(name):
        return transformers.AutoConfig.from_pretrained(name, revision=revision)


def load_tokenizer(model: str | os.PathLike[str], revision: str | None = None) -> Any:
    """The `transformers` tokenizer of a model, read without its weights; errors are those of `load_config`."""
    name = check_model_name(model)
    transformers = import_optional("transformers", "a language model")
    with _explained(name):
        return transformers.AutoTokenizer.from_pretrained(name, revision=revision)


def check_model_name(model: Any) -> str:
    """`model` as a string, if it is a directory with a model in it or could be the name of one.

    The name of the embedded model becomes its directory.

    Raises
    ------
    TypeError
        If it is neither a string nor a path.
    ValueError
        If it is a path to nothing, or a directory without ``config.json``.
    """
    if not isinstance(model, str | os.PathLike):
        raise TypeError(
            f"model must be a name or a directory, got {type(model).__name__}: "
            "a live model cannot be cloned, pickled or hashed, so pass what it was loaded from"
        )
    name = model_path(os.fspath(home_path(model) if str(model).startswith("~") else model))
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ValueError(f"directory {name!r} holds no model: it has no config.json (as save_pretrained writes it)")
    elif not name or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or path.exists():
        raise ValueError(f"there is no model directory {name!r}: give an existing directory or a model's name")
    return name


def describe_model(
    model: str | os.PathLike[str],
    dtype: str | torch.dtype = "float32",
    processing: str = "raw",
    revision: str | None = None,
    config: Any = None,
) -> dict[str, Any]:
    """What identifies a loaded model: two models with the same revision, processing and dtype act the same.

    Returns
    -------
    dict
        "model" (str, the name or directory as given; "tiny_lm" for the embedded one), "revision" (str: the commit of a
        model from the hub; for a directory a digest of every byte of its configuration, weights and vocabulary, the
        same wherever the directory lies and computed once in a process, see `directory_digest`), "processing", "dtype",
        "d_model" (int) and "n_layers" (int).
    """
    name = check_model_name(model)
    check_choice("processing", processing, PROCESSINGS)
    config = load_config(name, revision) if config is None else config
    found = digest_of(name) or getattr(config, "_commit_hash", None)
    text = config.get_text_config()
    if not (hasattr(text, "hidden_size") and hasattr(text, "num_hidden_layers")):
        raise ValueError(f"{name!r} is no language model with layers ({getattr(config, 'model_type', 'unknown type')})")
    width, depth = int(text.hidden_size), int(text.num_hidden_layers)
    return {
        "model": model_name(name),
        "revision": found or revision,
        "processing": processing,
        "dtype": model_dtype_name(dtype),
        "d_model": width,
        "n_layers": depth,
    }


def model_of(
    source: Mapping[str, Any], model: str | os.PathLike[str] | None = None, near: Sequence[os.PathLike[str]] = ()
) -> str:
    """The model that a source names, as `load_model` takes it.

    Parameters
    ----------
    source : mapping
        `source_` of a mixture, or ``source`` of activations. What a file holds of a directory is its last name and the
        digest of its weights.
    model : str or path, optional
        Where the model is, if that is known.
    near : sequence of path
        Folders in which a directory of that name and digest is looked for, besides the current one.

    Raises
    ------
    ValueError
        If it is not found; the message names it, its digest, and how to say where it is.
    """
    if model is not None:
        return check_model_name(model)
    name, revision = source.get("model"), source.get("revision")
    if name is None:
        raise ValueError("it is not known which language model this is of: give model=..., and layer=...")
    if not is_digest(revision) or name == EMBEDDED:
        return check_model_name(name)
    for folder in (Path(), *map(Path, near)):
        if (folder / name / "config.json").is_file() and directory_digest(folder / name) == revision:
            return check_model_name(folder / name)
    raise ValueError(
        f"the model {name!r} was a directory, and is not found here: give model=... (--model DIR on the command line), "
        f"a directory with the same weights, digest {revision}"
    )


def digest_of(model: str | os.PathLike[str]) -> str | None:
    """The digest of a model that is a directory; None of one that is a name."""
    name = check_model_name(model)
    return directory_digest(name) if Path(name).is_dir() else None


def directory_digest(directory: str | os.PathLike[str]) -> str:
    """A digest of what a model directory computes with: configuration, weights and vocabulary, to the last byte.

    A file is read once in a process, at the speed of the disk or about a gigabyte a second, and again only if it was
    written to.
    """
    digest = hashlib.sha256()
    for path in sorted(p for p in Path(directory).iterdir() if p.name in _FILES or p.name.endswith(_WEIGHTS)):
        status = path.stat()
        # The time of the last change is the file system's own: unlike that of the last writing it cannot be set.
        written = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        digest.update(f"{path.name} {_file_digest(path.resolve(), written)}\n".encode())
    return f"sha256:{digest.hexdigest()[:32]}"


@lru_cache(maxsize=4096)
def _file_digest(path: Path, written: tuple[int, ...]) -> str:
    """A digest of a file's bytes; `written` says which state of it is meant."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _explained(model: str | os.PathLike[str], options: Iterable[str] = ()) -> Iterator[None]:
    """Turn what the loaders raise into an error that names the model and what to do.

    Damaged files make them raise nearly anything: RecursionError, AttributeError, RuntimeError, safetensors' own.
    """
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        name = os.fspath(model)
        said = str(error).strip().split("\n")[0] if isinstance(error, OSError | ValueError | KeyError) else ""
        said = (said or f"{type(error).__name__}: {one_line(error)}")[:300]
        refused = [option for option in options if any(f"{mark}{option}{mark}" in said for mark in "'`")]
        if refused:
            remedy = f"leave {refused[0]!r} out of load_options, or give it another value"
            where = "from directory " if Path(name).is_dir() else ""
            raise ValueError(f"cannot load a model {where}{name!r} ({said}): {remedy}") from error
        if Path(name).is_dir():
            remedy = "it must hold config.json, the weights and the tokenizer of an architecture TransformerLens knows"
            remedy += "; of one that it does not know, backend='transformers' reads the residual stream"
            raise ValueError(f"cannot load a model from directory {name!r} ({said}): {remedy}") from error
        raise ValueError(
            f"cannot load model {name!r} ({said}): it is not a directory here, and neither in the local cache nor "
            f"reachable by that name. Check the spelling; on a machine without network pass a directory, or download "
            f"it once where there is one (`hf download {name}`)"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the loaders' own progress bars out of the way."""
    from transformers.utils import logging

    if not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
