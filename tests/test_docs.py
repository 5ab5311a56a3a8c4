"""The documentation says what is so: its examples run, and what it names exists."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import mfa_sklearn
from mfa_sklearn import activations, atlas, datasets, evaluation, interpret, mixture, steering

PACKAGE = Path(mfa_sklearn.__file__).parent
REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
HOME = "https://github.com/mfa-sklearn/mfa-sklearn/blob/main/"
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


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_blocks_are_told_from_those_not_to_run() -> None:
    page = "a\n```python\nx = 1\n```\n<!-- not run: why -->\n```python\nx = 2\n```\n```text\nx = 3\n```\n"
    assert python_blocks(page) == [(2, "x = 1\n")]
    assert run("docs/guide.md", page)["x"] == 1
    with pytest.raises(ZeroDivisionError) as raised:
        run("docs/guide.md", page.replace("1", "1 / 0"))
    assert (raised.traceback[-1].path, raised.traceback[-1].lineno + 1) == (DOCS / "guide.md", 3)


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
    assert list(empty_folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_the_guide_runs(empty_folder: Path) -> None:
    pytest.importorskip("gguf")
    names = run("docs/guide.md", read("docs/guide.md"))
    moves = {"move.safetensors", "river.gguf", "inside.gguf"}
    written = {"activations", "mixture", "pipeline.joblib", "search.png"} | moves
    assert {path.name for path in empty_folder.iterdir()} == written
    assert not np.isnan(names["filled"]).any() and not np.isnan(names["drawn"]).any()
    assert {"none", "difference of means", "direction", "centroid"} < set(names["table"]["arm"])


@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_links_within_the_documentation_lead_somewhere(page: str) -> None:
    text = read(page)
    inside = [("docs/guide.md", anchor) for anchor in re.findall(r"\]\(#([\w-]+)\)", text)]
    abroad = re.findall(re.escape(HOME) + r"(docs/\w+\.md)#([\w-]+)", text)
    assert inside or abroad
    assert [link for link in [*inside, *abroad] if link[1] not in anchors(read(link[0]))] == []


def test_links_of_the_readme_are_absolute() -> None:
    """A package index shows the page, and none of the files beside it."""
    text = read("README.md")
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[[^\]]+\]: (\S+)$", text, re.MULTILINE)
    assert len(targets) > 10
    assert [target for target in targets if not target.startswith("https://")] == []
    pages = re.findall(re.escape(HOME) + r"(docs/[\w./]+)", text)
    assert {"docs/guide.md", "docs/api.md"} <= set(pages)
    assert [page for page in pages if not (REPOSITORY / page).is_file()] == []


def documented() -> list[str]:
    """Dotted names that the reference has an entry for."""
    return re.findall(r"^\.\. (?:auto(?:class|function|module)|py:data):: ([\w.]+)", read("docs/api.md"), re.MULTILINE)


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


def test_the_design_has_a_line_for_every_module_of_the_mixture() -> None:
    lines = re.findall(r"^\| (?:\*\*)?`([\w/.]+)`", read("docs/design.md"), re.MULTILINE)
    folder = PACKAGE / "mixture"
    modules = [path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if path.name != "__init__.py"]
    folders = [f"{path.name}/" for path in folder.iterdir() if (path / "__init__.py").exists()]
    assert sorted({*modules, *folders} - set(lines)) == []
    assert {f"{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} <= set(lines)
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_files_that_a_page_names_exist(page: str) -> None:
    """Named from the repository, the package, the folder of the mixture, or that of what was named before."""
    roots = (REPOSITORY, PACKAGE, PACKAGE / "mixture", REPOSITORY / "examples", REPOSITORY / "tests" / "mixture")
    text = (DOCS / page).read_text(encoding="utf-8")
    names = re.findall(r"`(?:python )?([\w./-]+\.(?:py|md|cfg|toml))\b[^`\n]*`", text)
    assert [name for name in names if not any((root / name).is_file() for root in roots)] == []
