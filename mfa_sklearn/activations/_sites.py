"""Sites, layers and hook points that a user names, checked."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

from .._base.checks import check_choice
from .._base.sites import SITES
from ._model_config import NO_HIDDEN_UNITS


def check_site(site: Any) -> str:
    """`site`, if it is one of `SITES`.

    Raises
    ------
    ValueError
        If it is not; the message lists the sites.

    Examples
    --------
    >>> check_site("mlp_out")
    'mlp_out'
    """
    check_choice("site", site, SITES)
    return site


def check_layers(layer: Any, n_layers: int | None = None) -> tuple[int, ...]:
    """The layers asked for, as a tuple.

    Parameters
    ----------
    layer : int or iterable of int
        Counted from 0.
    n_layers : int, optional
        How many the model has; without it only the type and sign are checked.

    Raises
    ------
    TypeError
        If `layer` is neither an integer nor some integers.
    ValueError
        If there is none, one is named twice, or one is not in ``0 ... n_layers - 1``.

    Examples
    --------
    >>> check_layers(4, n_layers=12), check_layers([0, 3])
    ((4,), (0, 3))
    """
    layers = tuple(layer) if isinstance(layer, Iterable) and not isinstance(layer, str) else (layer,)
    for value in layers:
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise TypeError(f"layer must be an integer or a list of integers, got {layer!r}")
        if int(value) < 0 or (n_layers is not None and int(value) >= n_layers):
            reach = "counted from 0" if n_layers is None else f"from 0 to {n_layers - 1} for this model"
            raise ValueError(f"layer {value} is out of range: layers are {reach}")
    if not layers:
        raise ValueError("no layer given: pass an integer or a list with at least one")
    if len(set(layers)) < len(layers):
        raise ValueError(f"layer names one more than once: {list(layers)!r}")
    return tuple(int(value) for value in layers)


def hook_name(site: str, layer: int) -> str:
    """The hook point of a site in a layer.

    Examples
    --------
    >>> hook_name("residual", 4)
    'blocks.4.hook_resid_post'
    """
    return SITES[check_site(site)].format(layer=layer)


def check_hook(model: Any, name: str) -> str:
    """`name`, if `model` (with TransformerLens' ``hook_dict``) has that hook point.

    Raises
    ------
    ValueError
        If it has not, as some architectures lack some sites, or it stands for what experts hand on instead of for
        hidden units.
    """
    if name not in model.hook_dict:
        raise ValueError(f"this model's architecture has no hook point {name!r}: choose another site of {list(SITES)}")
    check_hidden_units(model, name)
    return name


def check_hidden_units(model: Any, name: str) -> None:
    """Refuse the hidden units of a mixture of experts, whose hook point is that of its output by another name."""
    hooks = getattr(model, "hook_dict", {})
    is_hidden = name.endswith(".mlp.hook_post") and name in hooks
    if is_hidden and hooks[name] is hooks.get(name.replace("hook_post", "hook_out")):
        raise ValueError(NO_HIDDEN_UNITS)
