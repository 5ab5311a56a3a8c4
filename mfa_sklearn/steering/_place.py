"""Where a mixture belongs in a model: layer and site, and whether it was fitted on this model's activations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .._base.checks import check_flag, warn_user
from .._base.origin import differences
from .._base.turns import turn_of
from ..activations._language_model import directory_digest
from ..activations._model_config import check_causal_or_encoder
from ..activations._plain_model import PlainModel, is_plain
from ..activations._sites import check_hidden_units, check_layers, check_site, hook_name
from ..activations._tokenize import is_encoder


def as_hookable(model: Any) -> Any:
    """`model`; one of `transformers` with the verbs that hooks need."""
    return PlainModel(model) if is_plain(model) else model


def check_model(model: Any, mfa: Any) -> None:
    """Refuse what cannot be steered; errors are those of `check_hookable`.

    Warns
    -----
    UserWarning
        If it is an encoder, of what it cannot do.
    """
    check_hookable(model, mfa)
    if is_encoder(model):
        warn_user(
            "this model is an encoder, which fills gaps in a text: it cannot generate, and has no next token for "
            "logit_diff to speak of. What is left are steer and logits(..., every_position=True)"
        )


def check_hookable(model: Any, mfa: Any) -> None:
    """Refuse what has no activations to write to.

    Parameters
    ----------
    model
    mfa
        What was given beside the model, which the two may have been swapped for.

    Raises
    ------
    TypeError
        If it has no hooks; the message says what it was taken for.
    ValueError
        If it is a sequence-to-sequence model.
    """
    if not (callable(model) and hasattr(model, "hooks")):
        raise TypeError(f"{_is_a('model', model)}, which has no hooks: {_meant(model, mfa)}")
    config = getattr(getattr(model, "original_model", None), "config", None)
    check_causal_or_encoder(config, str(getattr(getattr(model, "cfg", None), "model_name", type(model).__name__)))


def _is_a(name: str, value: Any) -> str:
    kind = type(value).__name__
    spelled = kind[:2].isupper() and kind[0] in "AEFHILMNORSX"  # "an MFA", but "a Module"
    return f"{name} is {'an' if spelled or kind[0] in 'AEIOU' else 'a'} {kind}"


def _meant(model: Any, mfa: Any) -> str:
    if callable(mfa) and hasattr(mfa, "hooks"):
        return "were model and mfa swapped? The model goes first"
    if isinstance(model, str | Path):
        return f"load it first, with mfa_sklearn.activations.load_model({str(model)!r})"
    if callable(getattr(model, "load", None)):
        return "give the model that it loads, as model.load()"
    return "give a TransformerLens model or one of transformers, for instance what load_model(name) returns"


class Place(NamedTuple):
    """A hook point of a model."""

    layer: int
    site: str
    hook_name: str


def resolve_place(
    model: Any,
    mfa: Any,
    layer: int | None,
    site: str | None,
    n_features: int,
    check_source: bool,
) -> Place:
    """The hook point to steer, checked against the model and against where the mixture was fitted.

    Parameters
    ----------
    model : hookable model
    mfa : MFA, or an object with its parameters
    layer, site
        As asked for; None takes the source's.
    n_features : int
        Width of the mixture.
    check_source : bool
        False checks against the model alone.

    Raises
    ------
    ValueError
        Naming what disagrees and what to do about it.
    """
    source = getattr(mfa, "source_", None) or {}
    if check_source:
        # Before layers are counted: of another model their number says less.
        _check_same(source, describe_live(model))
    site = check_site(site or source.get("site") or "residual")
    n_layers = getattr(getattr(model, "cfg", None), "n_layers", None)
    layer = one_layer(source.get("layer") if layer is None else layer, n_layers)
    name = existing_hook(model, layer, site)
    check_width(model, name, site, n_features)
    if check_source:
        _check_known(mfa, source)
        _check_same(source, _tokens_at(layer, site))
    return Place(layer, site, name)


def _check_same(source: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse a place that differs from the mixture's source."""
    for fact, fitted, seen in differences(source, here):
        other = "this is another model: " if fact.startswith("model") else ""
        raise ValueError(
            f"{other}the mixture was fitted on {fact} {fitted!r}, but is to steer {seen!r}, where its regions mean "
            "nothing. Fit it where it is to steer, or pass check_source=False to steer all the same."
        )


def one_layer(layer: Any, n_layers: int | None = None, whose: str = "the mixture") -> int:
    """The layer asked for.

    Parameters
    ----------
    layer : int, list of one int, or None where nothing says it
    n_layers : int, optional
        Of the model.
    whose : str
        What does not say which layer it was fitted on, or is of several.
    """
    if layer is None:
        raise ValueError(f"give layer=: {whose} does not say which layer it was fitted on")
    layers = check_layers(layer, n_layers)
    if len(layers) > 1:
        raise ValueError(
            f"layer={layer!r} must be one layer: what was fitted on stacked layers knows none of them alone"
        )
    return layers[0]


def existing_hook(model: Any, layer: int, site: str) -> str:
    """The name of the hook point; asked for with the verb that steering uses, which all hookable models have."""
    name = hook_name(site, layer)
    check_hidden_units(model, name)
    try:
        with turn_of(model).taken(), model.hooks(fwd_hooks=[(name, lambda activation, hook: None)]):
            return name
    except (KeyError, NotImplementedError) as error:
        raise ValueError(f"the model has no hook {name!r}: its architecture lacks the site {site!r}") from error


def computing_dtype(model: Any) -> torch.dtype:
    """The precision that a model computes in."""
    parameters = getattr(model, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None
    return getattr(first, "dtype", torch.float32)


def check_width(model: Any, name: str, site: str, n_features: int, whose: str = "the mixture") -> None:
    """Refuse what was fitted on rows of another width than activations at a hook point have."""
    cfg = getattr(model, "cfg", None)
    width = getattr(cfg, "d_mlp" if site == "mlp" else "d_model", None)
    if width is not None and width != n_features:
        raise ValueError(f"{whose} has {n_features} features, but activations at {name} have {width}")


def _check_known(mfa: Any, source: Mapping[str, Any]) -> None:
    """Refuse a mixture that was fitted on rows of which nothing is known; numbers given by hand are taken as they are.

    What was fitted has a history, what was put together from numbers has none.
    """
    if not source and hasattr(mfa, "lower_bound_"):
        raise ValueError(
            "the mixture was fitted on rows without a source (its source_ is None): on plain numbers, or behind "
            "another transformer, such as a StandardScaler, whose numbers are no activations. If they are this model's "
            "activations as they are, pass check_source=False. Else fit on what ActivationExtractor gives, without a "
            "step between: MFA scales columns by itself."
        )


def _tokens_at(layer: int, site: str) -> dict[str, Any]:
    """The place of what is steered: activations of single tokens."""
    return {"layer": layer, "site": site, "pooling": None}


def describe_live(model: Any) -> dict[str, Any]:
    """Name, revision and weight processing of a loaded model, as far as it tells."""
    known = dict(getattr(model, "mfa_source", None) or {})
    name = known.setdefault("model", getattr(getattr(model, "cfg", None), "model_name", None))
    if not known.get("revision") and name and (Path(name) / "config.json").is_file():
        known["revision"] = directory_digest(name)
    centered = getattr(model, "compatibility_mode", None)
    if centered is not None:
        known["processing"] = "compatibility" if centered else "raw"
    return known


def resolve_prepend_bos(prepend_bos: bool | None, source: Mapping[str, Any] | None) -> bool | None:
    """As asked for, else as where the mixture was fitted, else as the model does (None)."""
    return (source or {}).get("prepend_bos") if prepend_bos is None else check_flag("prepend_bos", prepend_bos)
