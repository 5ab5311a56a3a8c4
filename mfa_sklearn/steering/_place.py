"""Where a mixture belongs in a model: layer and site, and whether it was fitted on this model's activations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..activations._language_model import directory_digest
from ..activations._sites import check_layers, check_site, hook_name


class Place(NamedTuple):
    """A hook point of a model."""

    layer: int
    site: str
    hook_name: str


def resolve_place(
    model: Any,
    source: Mapping[str, Any] | None,
    layer: int | None,
    site: str | None,
    n_features: int,
    check_source: bool,
) -> Place:
    """The hook point to steer, checked against the model and against where the mixture was fitted.

    Parameters
    ----------
    model : hookable model
    source : mapping or None
        `mfa.source_`.
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
    source = source or {}
    if check_source:
        _check_model(model, source)
    site = check_site(site or source.get("site") or "residual")
    n_layers = getattr(getattr(model, "cfg", None), "n_layers", None)
    layer = _one_layer(source.get("layer") if layer is None else layer, n_layers)
    name = _existing(model, layer, site)
    _check_width(model, name, site, n_features)
    if check_source:
        for fact, fitted, here in _disagreements(model, source, layer, site):
            raise ValueError(
                f"the mixture was fitted on {fact} {fitted!r}, but is to steer {here!r}, where its regions mean "
                "nothing. Fit it where it is to steer, or pass check_source=False to steer all the same."
            )
    return Place(layer, site, name)


def _check_model(model: Any, source: Mapping[str, Any]) -> None:
    """Refuse another model than the mixture's; before its layers are counted, which would say less."""
    here = describe_live(model)
    names, revisions = ([str(facts.get(fact) or "") for facts in (source, here)] for fact in ("model", "revision"))
    # Of a directory the revision is a digest of its content: a model may have moved, but not have been trained on.
    if revisions[0] != revisions[1] if all(revisions) else all(names) and not same_model(*names):
        fitted, seen = (f"{n!r}" + f" ({r})" * bool(r) for n, r in zip(names, revisions, strict=True))
        raise ValueError(
            f"this is another model: the mixture was fitted on model {fitted}, but is to steer {seen}, where its "
            "regions mean nothing. Load the model it was fitted on, or pass check_source=False to steer all the same."
        )


def _one_layer(layer: Any, n_layers: int | None = None) -> int:
    if layer is None:
        raise ValueError("give layer=: the mixture does not say which layer it was fitted on")
    layers = check_layers(layer, n_layers)
    if len(layers) > 1:
        raise ValueError(f"layer={layer!r} must be one layer: a mixture of stacked layers cannot steer one of them")
    return layers[0]


def _existing(model: Any, layer: int, site: str) -> str:
    """The name of the hook point; asked for with the verb that steering uses, which all hookable models have."""
    name = hook_name(site, layer)
    try:
        with model.hooks(fwd_hooks=[(name, lambda activation, hook: None)]):
            return name
    except (KeyError, NotImplementedError) as error:
        raise ValueError(f"the model has no hook {name!r}: its architecture lacks the site {site!r}") from error


def _check_width(model: Any, name: str, site: str, n_features: int) -> None:
    cfg = getattr(model, "cfg", None)
    width = getattr(cfg, "d_mlp" if site == "mlp" else "d_model", None)
    if width is not None and width != n_features:
        raise ValueError(f"the mixture has {n_features} features, but activations at {name} have {width}")


def _disagreements(model: Any, source: Mapping[str, Any], layer: int, site: str) -> list[tuple[str, Any, Any]]:
    """Facts on which the mixture's source and the place to steer differ: (name, fitted on, to steer)."""
    here = {**describe_live(model), "layer": layer, "site": site}
    fitted = {**source, "layer": _one_layer(source["layer"])} if "layer" in source else source
    places = [name for name in ("layer", "site") if fitted.get(name, here[name]) != here[name]]
    found: list[tuple[str, Any, Any]] = [(name, fitted[name], here[name]) for name in places]
    if here.get("processing") and source.get("processing", here["processing"]) != here["processing"]:
        found.append(("weights processed as", source["processing"], here["processing"]))
    return found


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


def same_model(first: str, second: str) -> bool:
    """Whether two names mean one model: a hub model with and without its owner, or copies of one directory."""
    return first == second or Path(first).name.casefold() == Path(second).name.casefold()


def resolve_prepend_bos(prepend_bos: bool | None, source: Mapping[str, Any] | None) -> bool | None:
    """As asked for, else as where the mixture was fitted, else as the model does (None)."""
    return prepend_bos if prepend_bos is not None else (source or {}).get("prepend_bos")
