"""What an atlas and its mixtures are called, and what is told of where their rows came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from .._base.portable import portable_source
from .._base.words import plural
from ._gathered import Gathered

# Names of folders that say nothing of the model that lies in them.
_SAY_NOTHING = ("model", "models", "checkpoint", "snapshot", "weights", "final", "output")


def names_of(names: Sequence[str] | None, mixtures: Sequence[Gathered]) -> list[str]:
    """What each mixture is called, by what was given or by its layer and its number of regions.

    Raises
    ------
    ValueError
        If there is not one name for each, or they are the same.
    """
    if names is not None:
        given = [names] if isinstance(names, str) else [str(name) for name in names]
        if len(given) != len(mixtures) or len(set(given)) < len(given):
            raise ValueError(f"names={names!r} must be {plural(len(mixtures), 'name')}, one for each mixture")
        return given
    found = []
    for g in mixtures:
        layer = (g.source or {}).get("layer")
        found.append(f"{'' if layer is None else f'layer {layer}, '}{plural(g.n_components, 'region')}")
    if len(set(found)) < len(found):
        return ["first mixture", "second mixture"]
    return found


def title_of(mixtures: Sequence[Gathered]) -> str:
    """What the atlas is called: how many regions of which model, layer and site."""
    first, last = (plain_source(g.source) or {} for g in (mixtures[0], mixtures[-1]))
    places = [", ".join(_place(source)) for source in (first, last)]
    where = [part for part in (_model(first), " and ".join(dict.fromkeys(filter(None, places)))) if part]
    sizes = list(dict.fromkeys(g.n_components for g in mixtures))
    counts = plural(sizes[0], "region") if len(sizes) == 1 else f"{sizes[0]} and {sizes[1]} regions"
    if len(mixtures) == 2:
        return ", ".join([f"Two mixtures of {counts}", *where])
    return f"{counts} of {', '.join(where)}" if where else f"A mixture of {counts}"


def plain_source(source: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What is known of where rows came from, as JSON holds it, without where on this machine a model lies.

    >>> plain_source({"model": "/home/somebody/tiny", "layer": 3})
    {'model': 'tiny', 'layer': 3}
    """
    if source is None:
        return None
    found = {str(name): _plain(value) for name, value in portable_source(source).items()}
    model = found.get("model")
    if isinstance(model, str) and PurePath(model).is_absolute():
        found["model"] = PurePath(model).name
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _model(source: Mapping[str, Any]) -> str:
    """Its name, if that says which it is."""
    name = str(source.get("model") or "")
    return "" if name.lower() in _SAY_NOTHING else name


def _place(source: Mapping[str, Any]) -> list[str]:
    """Where in the model."""
    layer, site = source.get("layer"), source.get("site")
    return [*([] if layer is None else [f"layer {layer}"]), *([str(site)] if site else [])]
