"""The table of components as text to read in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .._base.words import plural, visible

if TYPE_CHECKING:
    import pandas as pd


def format_components(table: pd.DataFrame) -> str:
    """The table of `describe_components` as text to read: a block per component, nothing cut off.

    Parameters
    ----------
    table : DataFrame
        Or some lines of it, in any order, and some of its columns.

    Returns
    -------
    str

    Raises
    ------
    TypeError
        If `table` is no table.

    Examples
    --------
    >>> import pandas as pd
    >>> from mfa_sklearn.interpret import format_components
    >>> columns = {"tokens": "cat · dog", "size": 40, "sharpness": 0.98, "dimension": 3.2, "concepts": "pets 90%"}
    >>> print(format_components(pd.DataFrame(columns, index=[7])))
    component 7: 40 rows, sharpness 0.98, dimension 3.2
      tokens    cat · dog
      concepts  pets 90%
    """
    if not hasattr(table, "iterrows"):
        raise TypeError(
            f"table must be what describe_components returns, got {type(table).__name__}: call "
            "describe_components(mfa, X) first"
        )
    # Not line by line: a line of pandas is of one type, which makes 75.0 of 75 where others are no whole numbers.
    lines = zip(table.index, table.to_dict("records"), strict=True)
    return "\n\n".join("\n".join(_block(component, line)) for component, line in lines)


def _block(component: Any, line: dict[str, Any]) -> Iterator[str]:
    """The lines of one component; those of what is not known are left out."""
    known = {name: value for name, value in line.items() if not _is_empty(value)}
    if "concept" in known:
        known["concept"] = visible(known["concept"])
    if "factors_90" in known:
        known["factors_90"] = plural(known["factors_90"], "factor")
    numbers = [text.format(**known) for name, text in _NUMBERS.items() if name in known]
    yield ", ".join([f"component {component}: {numbers[0]}" if numbers else f"component {component}", *numbers[1:]])
    for head, value in _texts(known):
        yield f"  {head:<8}  {value}"


# What the first line says, in its order.
_NUMBERS = {
    "size": "{size:,} rows",
    "weight": "weight {weight:.3g}",
    "sharpness": "sharpness {sharpness:.3g}",
    "spread": "spread {spread:.3g}",
    "dimension": "dimension {dimension:.3g}",
    "factors_90": "{factors_90} for 90 %",
}
_ENRICHED = {
    "concept": "{concept}:",
    "lift": "lift {lift:.3g},",
    "q_value": "q {q_value:.1g},",
    "n_enriched": "{n_enriched} enriched,",
    "purity": "purity {purity:.0%},",
    "labeled": "of {labeled:,} labeled rows",
}


def _texts(known: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The head and the text of each further line."""
    for name in ("tokens", "columns", "concepts"):
        if name in known:
            yield name, known[name]
    if "concept" in known:
        yield "", " ".join(text.format(**known) for name, text in _ENRICHED.items() if name in known).rstrip(",:")
    if "ends" in known:
        yield "ends", known["ends"]
    for place, text in enumerate(known.get("contexts", ())):
        yield "" if place else "contexts", text
    for name in ("typical", "outlying"):
        if name in known:
            yield name, "rows " + ", ".join(map(str, known[name]))
    if "nearest" in known:
        far = f", {known['nearest_distance']:.3g} nats" if "nearest_distance" in known else ""
        yield "nearest", f"component {known['nearest']}{far}"


def _is_empty(value: Any) -> bool:
    """Whether there is nothing to show: no text, no rows, a number that is not known."""
    return value is None or value in ("", ()) or value != value
