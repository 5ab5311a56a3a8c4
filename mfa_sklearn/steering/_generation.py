"""What is checked before a model writes, and what becomes of what it wrote."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .._base.checks import check_choice, check_count, check_flag
from ..activations._tokenize import is_encoder, vocabulary_size
from ._prompts import Encoded

RETURN_TYPES = ("input", "str", "tokens")
_COLDEST = 1e-3
# What `generate` functions take, which does not change.
_KNOWN: WeakKeyDictionary[Any, set[str] | None] = WeakKeyDictionary()
_FLAGS = {"do_sample", "prepend_bos", "stop_at_eos", "use_past_kv_cache", "verbose"}
_NOT_HERE = {
    "input": "prompts go first, without a name",
    "padding_side": "prompts are padded as it is right for writing",
    "output_logits": "call model.generate inside a `with steerer.steer(...)` block for that",
    "return_cache": "call model.generate inside a `with steerer.steer(...)` block for that",
    "return_input_tokens": "call model.generate inside a `with steerer.steer(...)` block for that",
}


def check_writes(model: Any) -> None:
    """Refuse models that predict no next token.

    Raises
    ------
    ValueError
        Of an encoder, or another architecture that does not write from left to right.
    TypeError
        Of a model without the verb `generate`.
    """
    adapter = getattr(model, "adapter", None)
    if is_encoder(model) or not getattr(adapter, "supports_generation", True):
        name = getattr(getattr(model, "cfg", None), "architecture", None) or type(model).__name__
        raise ValueError(
            f"{name} cannot generate: it fills gaps in a text, and does not write from left to right. Take a causal "
            "model, or look at logits(..., every_position=True)"
        )
    if not callable(getattr(model, "generate", None)):
        raise TypeError(f"{type(model).__name__} has no generate: load it with load_model or TransformerBridge")


def check_options(model: Any, options: Mapping[str, Any]) -> None:
    """Refuse options that the model's `generate` would ignore or fail on.

    Raises
    ------
    TypeError
        For a name it does not know, or one that has no place here.
    ValueError
        For a value out of range.
    """
    known = known_options(model)
    for name in options:
        if name in _NOT_HERE:
            raise TypeError(f"generate takes no {name!r} here: {_NOT_HERE[name]}")
        if known is not None and name not in known:
            near = get_close_matches(name, sorted(known - set(_NOT_HERE)), n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known - set(_NOT_HERE)))}"
            raise TypeError(f"generate takes no option {name!r}: {advice}")
    _check_values(options)
    for name in sorted(_FLAGS & set(options)):
        if name != "prepend_bos" or options[name] is not None:
            check_flag(name, options[name])
    _check_ends(options.get("eos_token_id"), vocabulary_size(model))


def known_options(model: Any) -> set[str] | None:
    """Names that a model's `generate` takes; None if it does not say."""
    generate = getattr(model, "generate", None)
    function = getattr(generate, "__func__", generate)
    try:
        if function not in _KNOWN:
            _KNOWN[function] = _parameters_of(function)
        return _KNOWN[function]
    except TypeError:  # no hash, or no weak reference to it
        return _parameters_of(function)


def _parameters_of(function: Any) -> set[str] | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    named = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {"self"}
    return (named | {"return_type"}) if named else None


def check_seed(random_state: Any) -> int | None:
    """A seed of torch's generators, or None.

    Raises
    ------
    TypeError, ValueError
        If it is neither.
    """
    if random_state is None:
        return None
    seed = check_count("random_state", random_state, least=0)
    if seed >= 2**32:
        raise ValueError(f"random_state={seed} must be below 2**32")
    return seed


def write(model: Any, encoded: Encoded, n_new: int, options: Mapping[str, Any]) -> Tensor:
    """The prompts, padded on the left, with their continuations: ids (n, T + new).

    Raises
    ------
    ValueError
        If prompts differ in length and the model's `generate` can be told of no padding, or its logits are NaN.
    """
    known = known_options(model)
    takes = {"verbose": False, "return_type": "tokens", "stop_at_eos": _can_stop(model)}
    given: dict[str, Any] = {name: value for name, value in takes.items() if known is None or name in known}
    given |= options
    prompts: Any
    prepend_bos, (prompts, mask) = given.pop("prepend_bos", None), encoded.padded_left()
    mask = given.pop("attention_mask", mask)
    if mask is not None and (known is None or "attention_mask" in known):
        given["attention_mask"] = mask
    elif mask is not None and encoded.texts is not None:  # older models pad strings, and nothing else, by themselves
        prompts, given["prepend_bos"] = encoded.texts, prepend_bos
    elif mask is not None:
        raise ValueError("this model's generate takes no attention_mask: give prompts of one length, or one by one")
    with refusing_nan(model):
        return model.generate(prompts, max_new_tokens=n_new, **given)


def check_mask(encoded: Encoded, mask: Any) -> None:
    """Refuse a mask that is not that of token ids.

    Raises
    ------
    TypeError, ValueError
    """
    if mask is None:
        return
    if encoded.texts is not None:
        raise TypeError("attention_mask belongs to token ids: prompts given as strings are masked here")
    if not isinstance(mask, Tensor) or mask.shape != encoded.ids.shape:
        shape = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"attention_mask must be a tensor of shape {tuple(encoded.ids.shape)}, got {shape}")


def _can_stop(model: Any) -> bool:
    """Whether the model has an end-of-text token; asked to stop at one without it, models fail."""
    ends = getattr(getattr(model, "cfg", None), "eos_token_id", None)
    return ends is not None or getattr(getattr(model, "tokenizer", None), "eos_token_id", None) is not None


def as_given(
    encoded: Encoded, written: Tensor, return_type: str, tokenizer: Any
) -> str | list[str] | Tensor | list[Tensor]:
    """What was written, (n, T + new) behind prompts padded on the left, in the form that the prompts had."""
    as_text = return_type == "str" or (return_type == "input" and encoded.texts is not None)
    width = encoded.ids.shape[1]
    per_prompt = len(written) // len(encoded.lengths)  # several of each where the model was asked for them
    rows = [row[width - encoded.lengths[i // per_prompt] :] for i, row in enumerate(written)]
    single = encoded.single and per_prompt == 1
    if not as_text and encoded.texts is None:
        return rows[0] if single else (rows if len(set(encoded.lengths)) > 1 else written)
    if not as_text:
        return written
    texts = [tokenizer.decode(row, skip_special_tokens=True) for row in rows]
    return texts[0] if single else texts


@contextmanager
def refusing_nan(model: Any) -> Iterator[None]:
    """Inside the block, a pass whose last column of logits is not a number ends in an error, and is not sampled from.

    Raises
    ------
    ValueError
    """
    module = getattr(model, "original_model", model)
    if not isinstance(module, torch.nn.Module):
        yield
        return

    def after(_: Any, __: Any, output: Any) -> None:
        logits = getattr(output, "logits", output[0] if isinstance(output, tuple) and output else output)
        if isinstance(logits, Tensor) and logits.ndim == 3:
            check_finite(logits[:, -1])

    handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def check_finite(logits: Tensor) -> Tensor:
    """`logits`, if none is NaN."""
    if math.isnan(logits.max()):  # a maximum is NaN if one of its numbers is
        raise ValueError(
            "the logits hold NaN: the activations were moved farther than the model can compute with, so give a "
            "smaller alpha or z; if alpha=0 gives the same, look for NaN in the model's weights"
        )
    return logits


def _check_values(options: Mapping[str, Any]) -> None:
    """Ranges of what decides how tokens are drawn."""
    for name in ("temperature", "top_p", "freq_penalty", "repetition_penalty"):
        value = options.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value)):
            raise TypeError(f"{name}={value!r} must be a finite number")
    check_choice("return_type", options.get("return_type", "input"), RETURN_TYPES)
    temperature, top_k, top_p = (options.get(name) for name in ("temperature", "top_k", "top_p"))
    if temperature is not None and temperature != 0 and temperature < _COLDEST:
        raise ValueError(
            f"temperature={temperature} must be at least {_COLDEST}, or 0 to take the most probable token each time"
        )
    for name in ("top_k", "num_beams", "num_return_sequences"):
        if options.get(name) is not None:
            check_count(name, options[name])
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p} must be above 0 and at most 1")
    if top_k is not None and top_p is not None:
        raise ValueError(f"top_k={top_k} and top_p={top_p}: give one of them, models ignore top_p beside top_k")
    if options.get("freq_penalty") is not None and options["freq_penalty"] < 0:
        raise ValueError(f"freq_penalty={options['freq_penalty']} must not be negative")
    if options.get("repetition_penalty") is not None and options["repetition_penalty"] <= 0:
        raise ValueError(f"repetition_penalty={options['repetition_penalty']} must be positive")


def _check_ends(eos_token_id: Any, known: int | None) -> None:
    ends = eos_token_id if isinstance(eos_token_id, list | tuple) else [eos_token_id]
    if eos_token_id is not None and not all(isinstance(end, Integral) and not isinstance(end, bool) for end in ends):
        raise TypeError(f"eos_token_id={eos_token_id!r} must be a token id or some of them")
    beyond = [end for end in ends if end is not None and not (end >= 0 and (known is None or end < known))]
    if beyond:
        raise ValueError(f"eos_token_id={eos_token_id!r} holds {beyond[0]}, which is no token of the model")
