"""A plain `transformers` model with the verbs that this library uses of a TransformerLens bridge."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._base.checks import check_choice, check_count, import_optional
from ._language_model import load_config, load_tokenizer
from ._plain_config import facts_of, fills_gaps
from ._plain_sites import HookSite, find_sites
from ._tokenize import read_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class PlainModel:
    """A `transformers` model that can be read and steered by forward hooks, without TransformerLens.

    Rows and logits are those of a TransformerLens bridge of the same weights, and texts are read as the same tokens, so
    a mixture that was fitted on rows of the one steers the other. `load_model` with ``backend="transformers"`` returns
    one; `MFASteerer` and `evaluation.reconstruction_loss` make one of a `transformers` model that they are given.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        It is neither copied nor changed: hooks come off again, whatever happens.
    tokenizer : transformers tokenizer, optional
        By default the one of the directory that the model was loaded from; without one prompts are token ids.

    Attributes
    ----------
    original_model : transformers.PreTrainedModel
    tokenizer : transformers tokenizer or None
        Where it lacks a beginning-of-text or padding token, a copy whose end-of-text token stands for them.
    hook_dict : dict
        The hook points by TransformerLens' names: ``blocks.{layer}.hook_resid_post``, ``hook_resid_pre``,
        ``hook_attn_out``, ``hook_mlp_out`` and ``mlp.hook_post``; of architectures that are not known to the library,
        the first two.

    Raises
    ------
    TypeError
        If it is no model of transformers.

    Examples
    --------
    >>> from transformers import AutoModelForCausalLM
    >>> from mfa_sklearn import datasets
    >>> from mfa_sklearn.activations import PlainModel
    >>> model = PlainModel(AutoModelForCausalLM.from_pretrained(datasets.tiny_lm()))
    >>> seen = []
    >>> with model.hooks(fwd_hooks=[("blocks.1.hook_resid_post", lambda activation, hook: seen.append(activation))]):
    ...     logits = model("The river")
    >>> seen[0].shape[:2] == logits.shape[:2], seen[0].shape[2] == model.cfg.d_model
    (True, True)
    """

    compatibility_mode = False  # weights are as they were published

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None = None) -> None:
        if not is_plain(model):
            kind = type(model).__name__
            raise TypeError(f"model is a {kind}, and no model of transformers, as AutoModelForCausalLM loads one")
        self.original_model: Any = model
        own = tokenizer if tokenizer is not None else _tokenizer_of(model.config)
        self.tokenizer: Any = with_stand_ins(own)
        self.mfa_tokenizer = (self.tokenizer, self.tokenizer)
        self.mfa_source: dict[str, Any] = {}
        self.hook_dict = find_sites(model)
        self._takes = set(inspect.signature(model.forward).parameters)
        self._facts = facts_of(model)
        generates = self._facts["attention_dir"] == "causal" and model.can_generate()
        self.adapter = SimpleNamespace(supports_generation=generates)

    def __repr__(self) -> str:
        name = self._facts.get("model_name")
        return f"PlainModel({self.cfg.architecture}{f', {name!r}' if name else ''})"

    @property
    def cfg(self) -> SimpleNamespace:
        """What a bridge's configuration is asked for: `n_layers`, `d_model`, `d_mlp`, `n_ctx`, `device` and so on."""
        return SimpleNamespace(**self._facts, device=self.original_model.device)

    def parameters(self) -> Iterator[Tensor]:
        """The model's weights."""
        return self.original_model.parameters()

    @contextmanager
    def hooks(self, fwd_hooks: Iterable[tuple[str, Callable[..., Tensor | None]]] = ()) -> Iterator[PlainModel]:
        """Have functions read or replace activations while the block is run.

        Parameters
        ----------
        fwd_hooks : list of (str, callable)
            Names of `hook_dict`, with functions ``(activation, hook)`` that return None, or the activation that takes
            its place. Several at one place are called in the order given.

        Raises
        ------
        KeyError
            If there is no such hook point.
        """
        wanted = list(fwd_hooks)
        for name, _ in wanted:
            if name not in self.hook_dict:
                raise KeyError(f"{type(self.original_model).__name__} has no known hook point {name!r}")
        handles: list[Any] = []
        try:
            for name, function in wanted:
                handles.append(_renamed(self.hook_dict[name], name).attach(function))
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def __call__(
        self,
        input: str | Sequence[str] | Tensor,
        *,
        attention_mask: Tensor | None = None,
        return_type: str | None = "logits",
        past_key_values: Any = None,
        use_past_kv_cache: bool = False,
        position_ids: Tensor | None = None,
    ) -> Any:
        """Run the model.

        Parameters
        ----------
        input : str, list of str, or Tensor of int of shape (n, T)
            Strings are read as the extractor reads them, and padded on the right.
        attention_mask : Tensor of shape (n, T), optional
            1 where a token is real. Padding may be on either side. Or (n, 1, T, T), what is added to scores.
        return_type : {"logits", "logits_and_cache", None}, default="logits"
            None runs the model for what its hooks see.
        past_key_values : cache, optional
            What an earlier call returned with "logits_and_cache", with use_past_kv_cache=True.
        use_past_kv_cache : bool, default=False
        position_ids : Tensor of int of shape (n, T), optional
            Places of tokens in their texts, where they are not those that the mask tells.

        Returns
        -------
        Tensor (n, T, V), or that and the cache

        Raises
        ------
        ValueError
            If the model has no head that gives logits.
        """
        ids, mask = self._read(input, attention_mask)
        given: dict[str, Any] = {} if mask is None else {"attention_mask": mask} | self._positions(mask, ids)
        given |= {} if position_ids is None else {"position_ids": position_ids}
        if "use_cache" in self._takes:
            cached = use_past_kv_cache or past_key_values is not None
            given |= {"use_cache": cached, "past_key_values": past_key_values}
        output = self.original_model(input_ids=ids, **given)
        if return_type is None:
            return None
        logits = getattr(output, "logits", None)
        if logits is None:
            raise ValueError(
                f"{self.cfg.architecture} has no head that gives logits: load it with AutoModelForCausalLM, or with "
                "AutoModelForMaskedLM"
            )
        return (logits, output.past_key_values) if return_type == "logits_and_cache" else logits

    def to_tokens(self, input: str | Sequence[str], prepend_bos: bool | None = None, truncate: bool = False) -> Tensor:
        """Token ids (n, T) of texts, as the extractor reads them, padded on the right; never cut."""
        if truncate:
            raise ValueError("texts are not cut here: leave truncate out")
        return self._encoded(input, prepend_bos)[0]

    def _encoded(self, texts: Any, prepend_bos: bool | None, side: str = "right") -> tuple[Tensor, Tensor | None]:
        """Token ids (n, T) of texts, padded on one side, and their mask; None where nothing is padded."""
        found = read_texts(self, [texts] if isinstance(texts, str) else list(texts), prepend_bos)
        rows = [torch.from_numpy(sequence.ids) for sequence in found]
        pad_id, pad = self.tokenizer.pad_token_id or 0, torch.nn.utils.rnn.pad_sequence
        ids = pad(rows, batch_first=True, padding_value=pad_id, padding_side=side)
        mask = pad([torch.ones_like(row) for row in rows], batch_first=True, padding_side=side)
        device = self.original_model.device
        return ids.to(device), None if bool(mask.all()) else mask.to(device)

    def _read(self, input: Any, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Token ids (n, T) of what was given, and their mask."""
        if not isinstance(input, Tensor):
            return self._encoded(input, None)
        device = self.original_model.device
        return input.to(device), None if mask is None else mask.to(device)

    def _positions(self, mask: Tensor, ids: Tensor) -> dict[str, Tensor]:
        """Places of tokens behind padding, which most models would count from the padding on."""
        if "position_ids" not in self._takes or mask.ndim != 2 or bool(mask[:, 0].all()):
            return {}
        return {"position_ids": (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]}

    def generate(
        self,
        input: str | Sequence[str] | Tensor,
        max_new_tokens: int = 10,
        *,
        attention_mask: Tensor | None = None,
        do_sample: bool = True,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float = 1.0,
        num_beams: int = 1,
        num_return_sequences: int = 1,
        length_penalty: float = 1.0,
        stop_at_eos: bool = True,
        eos_token_id: int | list[int] | None = None,
        use_past_kv_cache: bool = True,
        prepend_bos: bool | None = None,
        return_type: str = "input",
    ) -> Any:
        """Write on, with the model's own `generate`; what the model's generation configuration recommends is left out.

        Parameters
        ----------
        input : str, list of str, or Tensor of int of shape (n, T)
            Prompts; token ids are padded on the left where they differ in length.
        max_new_tokens : int, default=10
        attention_mask : Tensor of shape (n, T), optional
            1 where a token is real.
        do_sample : bool, default=True
            Draw tokens, from torch's generator; else take the most probable one each time, which `temperature` 0 does
            as well.
        temperature, top_k, top_p, repetition_penalty
            As of transformers; without `top_k` and `top_p` all tokens are drawn from.
        num_beams : int, default=1
            Continuations that are followed at once, of which the best is returned; with `do_sample` they are drawn.
        num_return_sequences : int, default=1
            Continuations of each prompt, side by side: the best of the beams, or as many draws.
        length_penalty : float, default=1.0
            Of beams.
        stop_at_eos : bool, default=True
            Whether a text ends with the end-of-text token, which fills its row from there on.
        eos_token_id : int or list of int, optional
            By default the configuration's, else the tokenizer's.
        use_past_kv_cache : bool, default=True
        prepend_bos : bool, optional
            Of strings: whether they begin with the beginning-of-text token; by default as the extractor reads them.
        return_type : {"input", "str", "tokens"}, default="input"
            Strings of strings and ids of ids, or always the one or the other.

        Returns
        -------
        Tensor of int of shape (n, T + at most max_new_tokens), str, or list of str
            Prompts included.
        """
        check_choice("return_type", return_type, ("input", "str", "tokens"))
        is_text = not isinstance(input, Tensor)
        ids, mask = self._encoded(input, prepend_bos, "left") if is_text else self._read(input, attention_mask)
        ends, fill = self._ends(stop_at_eos, eos_token_id)
        config = _generation_config(
            do_sample=bool(do_sample) and temperature != 0,
            temperature=float(temperature),
            top_k=top_k or 0,
            top_p=1.0 if top_p is None else float(top_p),
            repetition_penalty=float(repetition_penalty),
            num_beams=check_count("num_beams", num_beams),
            num_return_sequences=check_count("num_return_sequences", num_return_sequences),
            length_penalty=float(length_penalty),
            max_new_tokens=check_count("max_new_tokens", max_new_tokens),
            eos_token_id=ends,
            pad_token_id=fill,
            use_cache=bool(use_past_kv_cache),
        )
        real = torch.ones_like(ids) if mask is None else mask
        written = self.original_model.generate(ids, attention_mask=real, generation_config=config)
        if return_type == "tokens" or (return_type == "input" and not is_text):
            return written
        texts = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return texts[0] if isinstance(input, str) and len(texts) == 1 else texts

    def _ends(self, stop_at_eos: bool, eos_token_id: Any) -> tuple[list[int], int]:
        """Tokens that end a text, and the one that fills a row behind its end."""
        if not stop_at_eos:
            return [], 1  # nothing is filled; beams would look for an end in place of 0
        own = getattr(self.tokenizer, "eos_token_id", None)
        known = (eos_token_id, self._facts["eos_token_id"], own)
        given: Any = next((ids for ids in known if ids is not None), [])
        ends = list(given) if isinstance(given, Sequence) else [int(given)]
        return ends, int(own) if len(ends) > 1 and own is not None else next(iter(ends), 0)


def _generation_config(do_sample: bool, **options: Any) -> Any:
    """A configuration with every option that the model's own would be asked for if it were None."""
    config = import_optional("transformers", "generate").GenerationConfig
    # transformers' defaults: what shapes a draw stands beside `do_sample=False` with no other values.
    return config(
        do_sample=do_sample, **options | ({} if do_sample else {"temperature": 1.0, "top_k": 50, "top_p": 1.0})
    )


def is_plain(model: Any) -> bool:
    """Whether it is a model of transformers."""
    return isinstance(model, torch.nn.Module) and any(
        kind.__name__ == "PreTrainedModel" and kind.__module__.startswith("transformers")
        for kind in type(model).__mro__
    )


def load_plain(
    name: str, device: Any, dtype: Any, revision: str | None = None, options: Mapping[str, Any] | None = None
) -> PlainModel:
    """A model by name or from a directory, as transformers loads it, in evaluation mode.

    Parameters
    ----------
    name : str
    device : torch.device
    dtype : torch.dtype
        Of weights and computation.
    revision : str, optional
    options : dict, optional
        Of `load_pretrained`.
    """
    model = load_pretrained(name, device, dtype, revision, options or {})
    try:
        tokenizer = load_tokenizer(name, revision)
    except ValueError:  # a directory without one: its model reads token ids
        tokenizer = None
    return PlainModel(model, tokenizer)


def load_pretrained(name: str, device: Any, dtype: Any, revision: str | None, options: Mapping[str, Any]) -> Any:
    """A model as transformers loads it with these options, in evaluation mode, on its device or where they place it."""
    transformers = import_optional("transformers", "a language model")
    config = load_config(name, revision)
    loader = transformers.AutoModelForMaskedLM if fills_gaps(config) else transformers.AutoModelForCausalLM
    # In earlier versions of transformers, fused attention leaves out the cap that Gemma 2's scores have.
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None
    more = {"attn_implementation": "eager"} if capped else {}
    model = loader.from_pretrained(name, dtype=dtype, revision=revision, **more | dict(options))
    placed = "device_map" in options or getattr(model, "is_quantized", False)
    return (model if placed else model.to(device)).eval()


def with_stand_ins(tokenizer: Any) -> Any:
    """`tokenizer`; where it has an end-of-text token and lacks one that begins or pads, a copy where that stands in.

    As TransformerLens does it, so that the tokens are the same.
    """
    end = getattr(tokenizer, "eos_token", None)
    missing = [name for name in ("bos_token", "pad_token") if getattr(tokenizer, name, None) is None]
    if tokenizer is None or end is None or not missing:
        return tokenizer
    filled = copy.deepcopy(tokenizer)
    for name in missing:
        setattr(filled, name, end)
    return filled


def _tokenizer_of(config: Any) -> Any:
    """The tokenizer in the directory that a model was loaded from, if there is one."""
    try:
        return load_tokenizer(config.name_or_path) if Path(config.name_or_path).is_dir() else None
    except ValueError:
        return None


def _renamed(site: HookSite, name: str) -> HookSite:
    """A hook point under the name it was asked for by."""
    return site if site.name == name else site._replace(name=name)
