"""Options that go on to the loader of a language model: checked, and recorded with the rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .._base.words import shortened

# Parameters of this library's own, by the names the loaders have for them.
_OWN = {
    **{name: "model" for name in ("pretrained_model_name_or_path", "model", "model_name", "hf_model", "config")},
    **{name: name for name in ("device", "dtype", "processing", "backend", "revision")},
    "torch_dtype": "dtype",
    "tokenizer": "model",
}
# Where weights are put: rows do not depend on it, but for rounding.
PLACES = ("device_map", "n_devices", "max_memory", "low_cpu_mem_usage")
# Secrets, and folders of one machine, that no file should tell.
_UNTOLD = ("token", "use_auth_token", "cache_dir", "proxies", "offload_folder", "local_files_only", "force_download")


def check_load_options(options: Any, backend: str, device: Any = "auto") -> dict[str, Any]:
    """Options for the loader of a backend, as a dictionary.

    Raises
    ------
    TypeError
        If they are no mapping from names, or one cannot be recorded.
    ValueError
        If one is a parameter of its own, belongs to the other backend, or places weights that `device` places too.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise TypeError(f"load_options={shortened(options)} must be a dict of names and values, for the model's loader")
    for name in options:
        if name in _OWN:
            raise ValueError(f"load_options has {name!r}: give it as {_OWN[name]}=..., which is recorded as such")
    recorded_options(options)
    if backend == "transformers" and "n_devices" in options:
        raise ValueError(
            "load_options has 'n_devices', which is TransformerLens' own: give device_map='auto' in its place, or "
            "backend='transformer_lens'"
        )
    if backend == "transformer_lens" and "attn_implementation" in options:
        raise ValueError(
            "load_options has 'attn_implementation', and TransformerLens computes attention in steps of its own: leave "
            "it out, or give backend='transformers'"
        )
    places = [name for name in ("device_map", "n_devices") if name in options]
    if places and str(device) != "auto":
        raise ValueError(
            f"load_options has {places[0]!r}, which places the weights, as device={str(device)!r} does: "
            "leave device at 'auto'"
        )
    return dict(options)


def recorded_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a source tells of the options: all but secrets and folders of this machine, as JSON has them.

    Examples
    --------
    >>> import torch
    >>> recorded_options({"device_map": {"": torch.device("cpu")}, "token": "secret"})
    {'device_map': {'': 'cpu'}}
    """
    return {name: _plain(name, value) for name, value in sorted((options or {}).items()) if name not in _UNTOLD}


def numbers_source(source: Mapping[str, Any]) -> dict[str, Any]:
    """What of a source decides the numbers: of a model with a revision not its name, and not where it was put."""
    known = {name: fact for name, fact in source.items() if name != "model" or not source.get("revision")}
    options = {name: value for name, value in known.pop("load_options", {}).items() if name not in PLACES}
    return known | ({"load_options": options} if options else {})


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "to_dict"):  # a configuration of quantization
        return _plain(name, value.to_dict())
    if isinstance(value, Mapping):
        return {str(key): _plain(name, entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.path.basename(value)
    if type(value).__module__ == "torch":
        return str(value)
    raise TypeError(
        f"load_options has {name}={shortened(value)}, which cannot be recorded: give numbers, strings, lists, dicts of "
        "these, or a configuration with to_dict"
    )
