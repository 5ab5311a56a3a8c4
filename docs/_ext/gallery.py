"""The gallery: how its examples run, and which of them each entry of the reference is used in."""

from __future__ import annotations

import os
import shutil
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
# Pages that examples write, below the folder of the documentation and of what is built.
PAGES = Path("gallery", "pages")
FRAME = """
.. raw:: html

    <iframe class="written-page" src="../pages/{name}" title="{name}, as the example wrote it" loading="lazy"></iframe>
    <p><a href="../pages/{name}">{name} on a page of its own</a></p>

"""
# Width over height of a picture that is cut for its thumbnail.
_WIDE = 1.75
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

    matplotlib.rcParams.update({"figure.figsize": (7.0, 4.0), "figure.dpi": 110})


def written_pages(block: Any, block_vars: dict[str, Any], settings: dict[str, Any]) -> str:
    """Show what an example has written: each HTML file whose path is one of its variables, taken from where it is."""
    shown = ""
    for value in block_vars["example_globals"].values():
        if isinstance(value, Path) and value.suffix == ".html" and value.is_file():
            (DOCS / PAGES).mkdir(parents=True, exist_ok=True)
            shutil.move(value, DOCS / PAGES / value.name)
            shown += FRAME.format(name=value.name)
    return shown


def copy_pages(app: Any, exception: Exception | None) -> None:
    """Put the pages that examples have written beside the built ones."""
    if exception is None and app.builder.format == "html" and (DOCS / PAGES).is_dir():
        shutil.copytree(DOCS / PAGES, Path(app.outdir) / PAGES, dirs_exist_ok=True)


def crop_thumbnails(app: Any) -> None:
    """Of a wide picture, such as two charts side by side, show the left half: letters of all of it would be specks."""
    from PIL import Image

    for thumbnail in (DOCS / "gallery").glob("*/images/thumb/*_thumb.png"):
        picture = thumbnail.parents[1] / thumbnail.name.replace("_thumb", "_001")
        if not picture.is_file():
            continue
        with Image.open(picture) as whole:
            if whole.width > _WIDE * whole.height:
                whole.crop((0, 0, whole.width // 2, whole.height)).save(thumbnail)


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
    app.connect("builder-inited", crop_thumbnails, priority=900)  # when the gallery has been made
    app.connect("build-finished", copy_pages)
    return {"parallel_read_safe": True}
