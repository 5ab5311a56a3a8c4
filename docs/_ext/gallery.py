"""The gallery: how its examples run, and which of them each entry of the reference is used in."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

# Read when the libraries are imported: no example needs a network, a screen or more than its share of the cores.
os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

DOCS = Path(__file__).resolve().parents[1]
BACK_REFERENCES = "gallery/backreferences"
_BEFORE: list[Any] = []


def strict(settings: dict[str, Any], file: str, when: str) -> None:
    """Every warning of an example is an error, except for what language-model libraries say of themselves."""
    if when == "before":
        _BEFORE.append(warnings.catch_warnings())
        _BEFORE[-1].__enter__()
        warnings.simplefilter("error")
        for module in ("transformer_lens", "transformers"):
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=module)
    elif _BEFORE:
        _BEFORE.pop().__exit__(None, None, None)


def small_figures(settings: dict[str, Any], file: str) -> None:
    """Pictures as wide as the text of a page."""
    import matplotlib

    matplotlib.rcParams.update({"figure.figsize": (7.0, 4.0), "figure.dpi": 100})


def examples_using(name: str) -> str | None:
    """The name that examples know an entry of the reference by: that of the shortest module it can be had from."""
    parts = name.split(".")
    names = [f"{parts[0]}.{parts[-1]}", name]
    return next((known for known in names if _is_used(known)), None)


def _is_used(name: str) -> bool:
    file = DOCS / BACK_REFERENCES / f"{name}.examples"
    return file.is_file() and file.stat().st_size > 0


def add_examples(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Put "Examples using ..." under an entry of the reference that examples use."""
    if what not in ("class", "function") or (known := examples_using(name)) is None:
        return
    lines += ["", f".. minigallery:: {known}", f"   :add-heading: Gallery examples using ``{name.rpartition('.')[2]}``"]
    lines += ["   :heading-level: -", ""]


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", add_examples)
    return {"parallel_read_safe": True}
