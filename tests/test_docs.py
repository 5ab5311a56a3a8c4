"""The documentation says what is so: its examples run, and what it names exists."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mfa_sklearn
from mfa_sklearn import activations, atlas, datasets, evaluation, interpret, mixture, steering
from mfa_sklearn._cli_parser import EXAMPLES, make_parser
from mfa_sklearn._cli_plot import KINDS

PACKAGE = Path(mfa_sklearn.__file__).parent
REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
HOME_OF_PICTURES = "https://raw.githubusercontent.com/mfa-sklearn/mfa-sklearn/main/"
HOME = "https://github.com/mfa-sklearn/mfa-sklearn/blob/main/"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if "gallery" not in path.parts)
RUN = [page for page in PAGES if page.startswith(("index.md", "guide/", "tutorials/", "coming_from/", "replication"))]
PUBLIC = (mfa_sklearn, mixture, activations, interpret, steering, evaluation, atlas, datasets)


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def python_blocks(text: str) -> list[tuple[int, str]]:
    """Line and source of every block of Python that no comment ``<!-- not run: ... -->`` stands before."""
    found = re.finditer(r"(<!-- not run: [^\n]*-->\n)?^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, block.start(2)), block[2]) for block in found if block[1] is None]


def run(name: str, text: str) -> dict[str, Any]:
    """Run all blocks of a page in one namespace; tracebacks name the page's own lines."""
    names: dict[str, Any] = {}
    for line, source in python_blocks(text):
        exec(compile("\n" * line + source, str(REPOSITORY / name), "exec"), names)
    return names


def prose(text: str) -> str:
    """The page without its blocks of code, where a # is a comment and brackets are no links."""
    return re.sub(r"^(```+)(?!\{).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[str]:
    """Where the links and pictures of a page lead, within the documentation."""
    targets = re.findall(r"\]\(<?([^)\s>]+)>?[^)]*\)", prose(text))
    targets += re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    return [target for target in targets if target.startswith(HOME) or not re.match(r"\w+:", target)]


def leads_nowhere(link: str, page: Path) -> bool:
    """Whether the file that a link of a page names is missing, or the heading in it."""
    path, _, anchor = link.partition("#")
    roof = REPOSITORY if path.startswith(HOME) else page.parent
    target = (roof / path.removeprefix(HOME)).resolve() if path else page
    if target.is_relative_to(DOCS / "gallery"):
        return False  # written when the documentation is built
    return not target.exists() or (anchor != "" and anchor not in anchors(target.read_text(encoding="utf-8")))


def test_blocks_are_told_from_those_not_to_run() -> None:
    page = "a\n```python\nx = 1\n```\n<!-- not run: why -->\n```python\nx = 2\n```\n```text\nx = 3\n```\n"
    assert python_blocks(page) == [(2, "x = 1\n")]
    assert run("docs/guide/texts.md", page)["x"] == 1
    with pytest.raises(ZeroDivisionError) as raised:
        run("docs/guide/texts.md", page.replace("1", "1 / 0"))
    assert (raised.traceback[-1].path, raised.traceback[-1].lineno + 1) == (DOCS / "guide" / "texts.md", 3)


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that examples run in; what they draw is thrown away."""
    pytest.importorskip("transformer_lens")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    pyplot.close("all")


@pytest.mark.slow
@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_the_readme_runs(empty_folder: Path) -> None:
    names = run("README.md", read("README.md"))
    assert names["mfa"].means_.shape == (100, names["X"].shape[1])
    assert [path.name for path in empty_folder.iterdir()] == ["atlas.html"]


WRITTEN = {
    "index.md": {"atlas.html"},
    "guide/atlas.md": {"atlas.html", "seeds.html", "atlas-data"},
    "guide/choosing.md": {"search.png"},
    "guide/pictures.md": {"region.png", "ends.png", "map.png", "convergence.png", "density.png", "region.pdf"},
    "guide/saving.md": {"mixture", "pipeline.joblib"},
    "guide/steering.md": {"move.safetensors", "river.gguf", "inside.gguf"},
    "guide/stores.md": {"activations", "streamed", "shared", "table.npy", "copy", "written"},
    "guide/texts.md": {"pipeline.joblib"},
    "tutorials/interpretability.md": {"mixture", "regions.csv", "atlas.html"},
    "tutorials/scale.md": {"rows.npy", "more.npy", "activations", "run", "mixture"},
    "tutorials/tables.md": {"wine-mixture"},
}


def no_nan(names: dict[str, Any]) -> bool:
    return not np.isnan(names["filled"]).any() and not np.isnan(names["drawn"]).any()


HOLDS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "guide/missing_values.md": no_nan,
    "guide/steering.md": lambda names: (
        {"none", "difference of means", "direction", "centroid"} < set(names["table"]["arm"])
    ),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("page", [page for page in RUN if python_blocks(read(f"docs/{page}"))])
def test_a_page_runs_by_itself(page: str, empty_folder: Path) -> None:
    """Its examples need nothing from other pages, and write what they say they write."""
    for module in ("gguf", "jinja2", "vl_convert"):
        pytest.importorskip(module)
    names = run(f"docs/{page}", read(f"docs/{page}"))
    assert {path.name for path in empty_folder.iterdir()} == WRITTEN.get(page, set())
    assert HOLDS.get(page, bool)(names)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{page}" for page in PAGES)])
def test_links_within_the_documentation_lead_somewhere(page: str) -> None:
    assert [link for link in links(read(page)) if leads_nowhere(link, REPOSITORY / page)] == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    text = f"[a](mixtures.md#eight-structures) [b](#x) ![c](no.png) [d]({HOME}docs/no.md) [e](https://x.org/no)\n"
    text += f"[f]: {HOME}docs/benchmarks.md#no\n```text\n[g](code.md)\n```\n"
    found = [link for link in links(text) if leads_nowhere(link, DOCS / "guide" / "choosing.md")]
    assert found == ["#x", "no.png", f"{HOME}docs/no.md", f"{HOME}docs/benchmarks.md#no"]


def test_links_of_the_readme_are_absolute() -> None:
    """A package index shows the page, and none of the files beside it."""
    text = read("README.md")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    assert len(targets) > 10
    assert [target for target in targets if not target.startswith("https://")] == []
    pages = re.findall(re.escape(HOME) + r"(docs/[\w./]+)", text)
    assert {"docs/tutorials/index.md", "docs/guide/index.md", "docs/api/index.md"} <= set(pages)
    pictures = re.findall(r"!\[[^\]]+\]\(" + re.escape(HOME_OF_PICTURES) + r"([\w./]+)\)", text)
    assert len(pictures) == text.count("![") >= 1
    assert [name for name in pictures if not (REPOSITORY / name).is_file()] == []


def extension(name: str) -> ModuleType:
    """An extension of Sphinx that the documentation has of its own."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "_ext" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built_site() -> ModuleType:
    return extension("built_site")


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.setattr(os, "environ", dict(os.environ))  # which the module sets for the examples
    module = extension("gallery")
    monkeypatch.setattr(module, "DOCS", tmp_path / "docs")
    return module


def test_a_page_that_an_example_writes_is_shown_and_copied(gallery: ModuleType, tmp_path: Path) -> None:
    page, text = tmp_path / "atlas.html", tmp_path / "notes.txt"
    page.write_text("an atlas", encoding="utf-8")
    text.touch()
    variables = {"example_globals": {"page": page, "text": text, "missing": tmp_path / "no.html", "n": 1}}
    shown = gallery.written_pages(None, variables, {})
    assert shown.count("<iframe") == 1 and 'src="../pages/atlas.html"' in shown
    assert gallery.written_pages(None, variables, {}) == ""  # it is shown where it was written
    assert not page.exists() and text.exists()
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=tmp_path / "built")
    gallery.copy_pages(app, None)
    assert (tmp_path / "built" / "gallery" / "pages" / "atlas.html").read_text(encoding="utf-8") == "an atlas"


def test_a_thumbnail_shows_the_left_of_two_charts(gallery: ModuleType) -> None:
    thumbs = gallery.DOCS / "gallery" / "subject" / "images" / "thumb"
    thumbs.mkdir(parents=True)
    for name, size in {"wide": (80, 30), "square": (40, 40)}.items():
        Image.new("RGB", size, "white").save(thumbs.parent / f"sphx_glr_plot_{name}_001.png")
        Image.new("RGB", (9, 7)).save(thumbs / f"sphx_glr_plot_{name}_thumb.png")
    Image.new("RGB", (9, 7)).save(thumbs / "sphx_glr_plot_no_picture_thumb.png")
    gallery.crop_thumbnails(None)
    sizes = {}
    for path in thumbs.glob("*.png"):
        with Image.open(path) as thumbnail:
            sizes[path.name.split("_")[3]] = thumbnail.size
    assert sizes == {"wide": (40, 30), "square": (9, 7), "no": (9, 7)}


def test_the_built_pages_are_checked_for_links_and_clicks(built_site: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "guide").mkdir()
    start = (
        '<a href="guide/a.html">in the navigation</a><article><a href="no.html">x</a><a href="#here">y</a></article>'
    )
    (tmp_path / "index.html").write_text(start, encoding="utf-8")
    page = '<section id="a"><h1>A<a href="#a">#</a></h1><section id="b"><h2>B</h2></section></section>'
    page += '<a href="#b">on this page</a><a href="https://x.org">far</a><img src="../no.png">'
    (tmp_path / "guide" / "a.html").write_text(page, encoding="utf-8")
    pages = built_site.read_site(tmp_path)
    assert built_site.broken(tmp_path, pages) == [
        "guide/a.html: no.png",
        "index.html: index.html#here",
        "index.html: no.html",
    ]
    questions = [{"question": "?", "page": "guide/a", "heading": heading} for heading in ("A", "B", "C")]
    answers = built_site.answers(pages, questions)
    assert [(line["heading clicks"], line["page clicks"]) for line in answers] == [(1, None), (2, None), (None, None)]


def test_fifteen_questions_have_pages_that_answer_them(built_site: ModuleType) -> None:
    questions = json.loads(built_site.QUESTIONS.read_text(encoding="utf-8"))
    assert len({line["question"] for line in questions}) >= 15
    pages = {line["page"] for line in questions if not line["page"].startswith("gallery/")}
    assert {f"{page}.md" for page in pages} <= set(PAGES)


def test_examples_of_the_gallery_end_in_a_picture() -> None:
    examples = sorted((REPOSITORY / "examples" / "gallery").glob("*/*.py"))
    assert len(examples) >= 12 and all(path.name.startswith("plot_") for path in examples)
    assert [path.name for path in examples if "plt.show()" not in path.read_text(encoding="utf-8")] == []


def documented() -> list[str]:
    """Dotted names that the reference has an entry for."""
    text = "".join(read(f"docs/{page}") for page in PAGES if page.startswith("api/"))
    return re.findall(r"^\.\. (?:auto(?:class|function|module)|py:data):: ([\w.]+)", text, re.MULTILINE)


def test_the_reference_has_each_entry_once() -> None:
    last = [name.rpartition(".")[2] for name in documented()]
    assert sorted(last) == sorted(set(last))
    for name in documented():
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_the_reference_names_all_that_is_public(module: ModuleType) -> None:
    names = documented()
    # A module that has an entry itself is written out by Sphinx.
    known = {name.rpartition(".")[2] for name in names}
    if module.__name__ in names:
        known |= set(module.__all__)
    assert set(module.__all__) - known == set()


# What scikit-learn gives every estimator, and documents itself.
OF_ALL_ESTIMATORS = {"get_metadata_routing", "get_params", "set_callbacks", "set_output", "set_params"}


@pytest.fixture(scope="module")
def shown_in_the_guide() -> set[str]:
    """Words in the code of the guide's pages, in blocks and in lines."""
    text = "".join(read(f"docs/{page}") for page in PAGES if page.startswith("guide/"))
    code = re.findall(r"^```python\n.*?^```$|`[^`\n]+`", text, re.DOTALL | re.MULTILINE)
    return set(re.findall(r"\w+", "\n".join(code)))


@pytest.mark.parametrize("module", PUBLIC, ids=lambda module: module.__name__)
def test_the_guide_names_all_that_is_public(module: ModuleType, shown_in_the_guide: set[str]) -> None:
    assert set(module.__all__) - shown_in_the_guide == set()


def test_the_guide_names_all_that_a_mixture_has_and_takes(shown_in_the_guide: set[str]) -> None:
    public = {name for name in dir(mfa_sklearn.MFA) if not name.startswith("_")}
    requests = {name for name in public if re.fullmatch(r"set_\w+_request", name)}
    taken = set(inspect.signature(mfa_sklearn.MFA).parameters)
    assert (public - requests - OF_ALL_ESTIMATORS | taken) - shown_in_the_guide == set()


def commands(text: str) -> list[list[str]]:
    """The arguments of every command of this library in a page's blocks for a shell, also under torchrun."""
    starts = r"mfa-sklearn|python -m mfa_sklearn|(?:srun )?torchrun [^`\n]*-m mfa_sklearn"
    whole = re.sub(r" *\\\n *", " ", text)
    found = re.findall(rf"^(?:    )?(?:{starts}) ([a-z][^#\n]*)", whole, re.MULTILINE)
    return [shlex.split(line) for line in found]


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{page}" for page in PAGES)])
def test_commands_of_a_page_are_understood(page: str) -> None:
    for arguments in commands(read(page)):
        make_parser().parse_args(arguments)


def test_the_guide_shows_every_command_and_every_kind_of_picture() -> None:
    shown = commands(read("docs/guide/command_line.md"))
    assert set(EXAMPLES) - {arguments[0] for arguments in shown} <= {"demo"}
    assert {arguments[1] for arguments in shown if arguments[0] == "plot"} == set(KINDS)


def test_the_design_has_a_line_for_every_module_of_the_mixture() -> None:
    lines = re.findall(r"^\| (?:\*\*)?`([\w/.]+)`", read("docs/design.md"), re.MULTILINE)
    folder = PACKAGE / "mixture"
    modules = [path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if path.name != "__init__.py"]
    folders = [f"{path.name}/" for path in folder.iterdir() if (path / "__init__.py").exists()]
    assert sorted({*modules, *folders} - set(lines)) == []
    assert {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} <= set(lines)
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    """Named from the repository, the package, the folder of the mixture, or that of what was named before."""
    roots = (REPOSITORY, PACKAGE, PACKAGE / "mixture", REPOSITORY / "examples", REPOSITORY / "tests" / "mixture")
    text = (DOCS / page).read_text(encoding="utf-8")
    names = re.findall(r"`(?:python )?([\w./-]+\.(?:py|md|cfg|toml))\b(?!\.)[^`\n]*`", text)
    assert [name for name in names if not any((root / name).is_file() for root in roots)] == []
