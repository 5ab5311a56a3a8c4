"""The atlas as one HTML file: a frame, the data, the charts' library and the scripts that show them."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from functools import lru_cache
from importlib import resources
from typing import Any

from .._base.checks import import_optional
from .._base.words import repaired

_CALLER = "an atlas"
# In the order in which they need each other.
_SCRIPTS = (
    *("elements.js", "data.js", "charts.js", "map.js", "table.js"),
    *("contexts.js", "figures.js", "region.js", "compare.js", "main.js"),
)
# What would end a script, open a comment or be a line's end to a parser; all are JSON with these written as escapes.
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def render(data: dict[str, Any]) -> str:
    """The page that shows an atlas's data.

    Everything is inside the file. A Content-Security-Policy forbids every request and every script but those two that
    are written here, which it names by their hashes; strings of the data reach the page as text only.

    Parameters
    ----------
    data : dict
        What `atlas_data` returns.

    Returns
    -------
    str
        HTML, with no character that UTF-8 cannot write.

    Raises
    ------
    ValueError
        If the data is of another format or version, or holds a number that JSON cannot.
    ImportError
        If jinja2 or vl_convert is missing.
    """
    _check_version(data)
    jinja2 = import_optional("jinja2", _CALLER)
    markup = import_optional("markupsafe", _CALLER).Markup
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    charts, script, style = _charts(), _script(), _read("atlas.css")
    return environment.from_string(_read("atlas.html.j2")).render(
        title=repaired(str(data["title"])),
        made_with=repaired(str(data["made_with"])),
        policy=_policy([charts, script], style),
        data=markup(_json(data)),
        charts=markup(charts),
        script=markup(script),
        style=markup(style),
    )


def _check_version(data: dict[str, Any]) -> None:
    seen = data.get("format"), data.get("version")
    if seen != ("mfa-sklearn atlas", 1):
        raise ValueError(
            f"format={seen[0]!r}, version={seen[1]!r}: this page shows format='mfa-sklearn atlas', version=1; make the "
            "data again with atlas_data"
        )


def _json(data: dict[str, Any]) -> str:
    """JSON that can stand inside a script element: ASCII, so halves of surrogate pairs do no harm either."""
    try:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise ValueError(
            f"the atlas's data cannot be written as JSON ({error}): give unknown numbers as None"
        ) from error
    return text.translate(_ESCAPES)


@lru_cache
def _charts() -> str:
    """Vega and vega-embed as one script; it takes about two seconds to put together."""
    bundle = str(import_optional("vl_convert", _CALLER).javascript_bundle("window.vegaEmbed = vegaEmbed;"))
    return _inside_script(bundle)


@lru_cache
def _script() -> str:
    return _inside_script("(() => {\n'use strict';\n" + "\n".join(_read(name) for name in _SCRIPTS) + "})();\n")


def _inside_script(code: str) -> str:
    """Code without what would end the element that it stands in; inside strings, `<\\/` is the same to JavaScript."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@lru_cache
def _read(name: str) -> str:
    return (resources.files(__package__) / "page" / name).read_text(encoding="utf-8")


def _policy(scripts: list[str], style: str) -> str:
    """No request, no script but `scripts`, no evaluation of strings; styles cannot load anything either."""
    hashes = " ".join(f"'sha256-{b64encode(hashlib.sha256(code.encode()).digest()).decode()}'" for code in scripts)
    sheet = f"'sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
    rules = {
        "default-src": "'none'",
        "script-src": hashes,
        "style-src": sheet,
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())
