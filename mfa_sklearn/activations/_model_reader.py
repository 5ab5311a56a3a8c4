"""What an extractor's parameters mean: the model they name, where the rows come from, and whether that can be."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from .._base.checks import check_choice, check_count, check_flag
from .._base.devices import model_dtype_name, resolve_device
from .._base.frames import FramesKeepFacts
from .._base.portable import is_digest
from ._checks import check_norm_ratio
from ._dropped_layers import drop_behind
from ._extraction import Extraction
from ._language_model import (
    BACKENDS,
    LOADING,
    check_model_name,
    check_processing,
    describe_model,
    digest_of,
    load_config,
    load_model,
    load_tokenizer,
)
from ._load_options import check_load_options, recorded_options
from ._model_config import check_causal_or_encoder, site_width
from ._selection import as_selection
from ._selection_facts import check_prompt_only, settings_of
from ._sites import check_layers, check_site, hook_name

if TYPE_CHECKING:
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    from ._plain_model import PlainModel

POOLINGS = (None, "last", "mean", "first")


class ModelReader(FramesKeepFacts, TransformerMixin, BaseEstimator):
    """The part of `ActivationExtractor` that knows its model."""

    model: str | os.PathLike[str]
    layer: int | Sequence[int]
    site: str
    pooling: str | None
    batch_size: int
    batch_tokens: int | None
    max_length: int | None
    stride: int | None
    pack: bool
    prepend_bos: bool | None
    select: Any
    max_norm_ratio: float | None
    processing: str
    revision: str | None
    device: str | torch.device
    dtype: str | torch.dtype
    backend: str
    load_options: Mapping[str, Any] | None

    def load(self) -> TransformerBridge | PlainModel:
        """The model itself, as `load_model` returns it, with all layers: to steer, or to run.

        Loaded once, and again if its directory was written to, or rows were read of it before: for these, layers behind
        the last one asked for are dropped from memory.

        Returns
        -------
        transformer_lens.model_bridge.TransformerBridge or PlainModel
        """
        return self._model(None)

    def _model(self, last: int | None) -> TransformerBridge | PlainModel:
        """The model with all layers, or with those up to one at least: rows need none behind it."""
        state, dtype, options = digest_of(self.model), model_dtype_name(self.dtype), repr(self.load_options)
        key = (str(self.model), self.revision, str(self.device), dtype, self.processing, self.backend, options, state)
        with LOADING:
            held, _, until = getattr(self, "_loaded", (None, None, None))
            if held != key or (until is not None and (last is None or last > until)):
                self._loaded: tuple[Any, Any, Any] = (None, None, None)  # of two models one may be too many
                where = self.model, self.device, self.dtype, self.processing, self.revision, self.backend
                model = load_model(*where, self.load_options)
                if last is not None:
                    drop_behind(model, last)
                self._loaded = (key, model, last)
            return self._loaded[1]

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()  # type: ignore[misc]
        return {name: value for name, value in state.items() if name != "_loaded"}

    def _describe(self) -> tuple[dict[str, Any], int]:
        """Check every parameter, and give the source of the activations and their number of columns."""
        self._check_own_parameters()
        config = self._config()
        check_causal_or_encoder(config, str(self.model))
        source = describe_model(self.model, self.dtype, self.processing, self.revision, config)
        layers = check_layers(self.layer, source.pop("n_layers"))
        source |= {
            "layer": layers[0] if isinstance(self.layer, Integral) else list(layers),
            "site": self.site,
            "hooks": [hook_name(self.site, layer) for layer in layers],
            "pooling": self.pooling,
            "prepend_bos": self.prepend_bos,
        }
        if told := recorded_options(self.load_options):
            source["load_options"] = told
        return source, len(layers) * site_width(config, self.site)

    def _config(self) -> Any:
        """The model's configuration; where it is no longer found, with the digest to find the same one by."""
        try:
            return load_config(check_model_name(self.model), self.revision)
        except ValueError as error:
            revision = (getattr(self, "source_", None) or {}).get("revision")
            if not is_digest(revision):
                raise
            raise ValueError(
                f"{error}. This extractor was fitted with weights of the digest {revision}: where a directory has the "
                "same ones, set_params(model=DIR)"
            ) from error

    def _check_own_parameters(self) -> None:
        check_site(self.site)
        check_layers(self.layer)
        model_dtype_name(self.dtype)
        resolve_device(self.device)
        check_choice("pooling", self.pooling, POOLINGS)
        check_choice("backend", self.backend, BACKENDS)
        check_processing(self.processing, self.backend)
        check_load_options(self.load_options, self.backend, self.device)
        check_count("batch_size", self.batch_size)
        for name in ("max_length", "batch_tokens"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        if self.stride is not None:
            check_count("stride", self.stride, 0)
        check_flag("pack", self.pack)
        check_norm_ratio(self.max_norm_ratio)
        check_prompt_only(self.select)
        if self.prepend_bos is not None:
            check_flag("prepend_bos", self.prepend_bos)

    def _settings(self, record: dict[str, Any]) -> dict[str, Any]:
        """Parameters that the numbers depend on and the source does not tell, the same in every process."""
        chosen = settings_of(as_selection(self.select), record, self._tokenizer)
        windows = {} if self.stride is None else {"stride": int(self.stride)}  # stores without are older
        return chosen | windows | {name: getattr(self, name) for name in ("max_length", "max_norm_ratio")}

    def _tokenizer(self) -> Any:
        return load_tokenizer(self.model, self.revision)

    def _extraction(self, described: tuple[dict[str, Any], int], progress: bool) -> Extraction:
        """What reads texts with these parameters; the model is loaded."""
        source, n_features = described
        model = self._model(max(check_layers(source["layer"])))
        if is_digest(source["revision"]) and model.mfa_source["revision"] != source["revision"]:
            raise ValueError(f"model {str(self.model)!r} was written to meanwhile: begin again, with the new weights")
        return Extraction(
            model=model,
            source=source,
            width=n_features // len(source["hooks"]),
            pooling=self.pooling,
            batch_size=int(self.batch_size),
            max_length=self.max_length,
            prepend_bos=self.prepend_bos,
            select=as_selection(self.select),
            max_norm_ratio=None if self.max_norm_ratio is None else float(self.max_norm_ratio),
            dtype=np.dtype(np.float64 if model_dtype_name(self.dtype) == "float64" else np.float32),
            progress=progress,
            stride=None if self.stride is None else int(self.stride),
            pack=bool(self.pack),
            batch_tokens=None if self.batch_tokens is None else int(self.batch_tokens),
        )
