"""Where rows came from: whether two tables are of one place in one model, and what is said if they are not.

A *source* is the dictionary that `ActivationExtractor` attaches to its rows and that a mixture fitted on them keeps as
`source_`. Rows without one, such as any table of numbers, pass every check: nothing is known of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .annotated import shared_fact
from .checks import warn_user

Source = Mapping[str, Any]

# What must be known in both sources to be compared; None says nothing, except of pooling.
_FACTS = {"layer": "layer", "site": "site", "pooling": "pooling", "processing": "weights processed as"}


class Difference(NamedTuple):
    """A fact on which two sources differ."""

    fact: str
    fitted: Any
    here: Any


def differences(fitted: Source | None, here: Source | None) -> list[Difference]:
    """What differs between where a mixture was fitted and where rows come from, or where it is to steer.

    Compared are the model (by its revision, else by its name), layer, site, pooling and the processing of the weights.
    A fact that one of the two does not tell is not compared.

    Examples
    --------
    >>> from mfa_sklearn._base.origin import differences
    >>> differences({"layer": 4, "site": "mlp"}, {"layer": [4], "site": "residual", "pooling": "mean"})
    [Difference(fact='site', fitted='mlp', here='residual')]
    """
    if not fitted or not here:
        return []
    found = [
        Difference(told, _value(fitted, name), _value(here, name))
        for name, told in _FACTS.items()
        if _is_known(fitted, name) and _is_known(here, name) and _value(fitted, name) != _value(here, name)
    ]
    return [*found, *_other_model(fitted, here)]


def _is_known(source: Source, name: str) -> bool:
    return name in source and (name == "pooling" or source[name] is not None)


def _value(source: Source, name: str) -> Any:
    """A fact in the form it is compared in: a list of one layer is that layer."""
    value = source[name]
    if name == "pooling" and value is None:
        return "none (a row per token)"
    if name == "layer" and not isinstance(value, int):
        layers = [int(layer) for layer in value] if hasattr(value, "__iter__") else [int(value)]
        return layers[0] if len(layers) == 1 else layers
    return value


def _other_model(fitted: Source, here: Source) -> list[Difference]:
    """The models, if they are not one and the same."""
    names, revisions = ([str(s[name]) if s.get(name) else "" for s in (fitted, here)] for name in ("model", "revision"))
    if all(revisions) and _kind(revisions[0]) == _kind(revisions[1]):
        # Of a directory this is a digest of its content, so a model may have moved, but not have been trained on.
        told = [f"{name}@{revision}" for name, revision in zip(names, revisions, strict=True)]
        return [Difference("model revision", *told)] if revisions[0] != revisions[1] else []
    return [Difference("model", *names)] if all(names) and not same_model(*names) else []


def _kind(revision: str) -> int:
    """What a revision is: the length of a digest of a directory, 0 for a hub's; two kinds say nothing of each other."""
    return len(revision) if revision.startswith("sha256:") else 0


def same_model(first: str, second: str) -> bool:
    """Whether two names mean one model: a hub model with and without its owner, or copies of one directory."""
    return first == second or _bare(first) == _bare(second)


def _bare(name: str) -> str:
    """A model's name without its owner or the folders it is in, whatever system they are of; in a hub's cache, its own.

    Examples
    --------
    >>> from mfa_sklearn._base.origin import _bare
    >>> _bare("openai-community/GPT2"), _bare("cache/models--openai-community--gpt2/snapshots/6c0e")
    ('gpt2', 'gpt2')
    """
    parts = [part for part in re.split(r"[/\\]", name) if part]
    cached = [part for part in parts if part.startswith("models--")]
    return (cached[-1].split("--")[-1] if cached else parts[-1] if parts else name).casefold()


def told(source: Source) -> str:
    """A source in words.

    Examples
    --------
    >>> from mfa_sklearn._base.origin import told
    >>> told({"model": "gpt2", "layer": 4, "site": "residual", "pooling": "mean"})
    "layer 4, site 'residual', pooling 'mean', of model 'gpt2'"
    """
    parts = [f"layer {_value(source, 'layer')}"] if _is_known(source, "layer") else []
    parts += [f"site {source['site']!r}"] if source.get("site") else []
    parts += [f"pooling {source['pooling']!r}"] if source.get("pooling") else []
    parts += [f"weights {source['processing']!r}"] if source.get("processing") else []
    if source.get("model"):
        revision = f" ({source['revision']})" if source.get("revision") else ""
        parts.append(f"of model {str(source['model'])!r}{revision}")
    return ", ".join(parts) or "an unknown place"


def other_source(fitted: Source | None, X: Any) -> str | None:
    """A sentence that names both sources, if the rows `X` are known to come from elsewhere; else None."""
    here = shared_fact(X, "source")
    found = differences(fitted, here)
    if not found or fitted is None:
        return None
    return (
        f"it was fitted on {told(fitted)}; these rows are of {told(here)}: they differ in "
        f"{' and '.join(difference.fact for difference in found)}"
    )


def warn_other_source(estimator: Any, X: Any) -> None:
    """Warn if rows come from elsewhere than those the estimator was fitted on."""
    said = other_source(getattr(estimator, "source_", None), X)
    if said:
        warn_user(
            f"{type(estimator).__name__} says nothing of rows from elsewhere: {said}. Give rows from where it was "
            "fitted; numpy.asarray(X) has no source, if that is meant."
        )


def warn_incomplete(X: Any) -> None:
    """Warn if rows are what an interrupted extraction left."""
    left = shared_fact(X, "incomplete")
    if left and "whose writer was interrupted" in left:
        warn_user(f"these rows are not all, {left}. What is found now is of the part that is there.")
    elif left:
        warn_user(
            f"these rows are of an interrupted extraction, {left}: the same call of extract_to goes on where it "
            "stopped. What is found now is of the part that is there."
        )
