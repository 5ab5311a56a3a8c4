"""What importing the package costs, and which folder may import which."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

import mfa_sklearn

PACKAGE = Path(mfa_sklearn.__file__).parent
HEAVY = ("transformers", "transformer_lens", "matplotlib", "gguf", "vl_convert")
# scikit-learn itself loads pandas where it is installed, so pandas is looked for in the source only.
OPTIONAL = (*HEAVY, "pandas", "tqdm")
# What the modules of each folder may import from this package; "" stands for the modules at the top.
# Below all folders: what a version is called, and what every folder uses.
BASE = {"__version__", "_base"}
ALLOWED = {
    "_texts": BASE | {"_texts"},
    "mixture": BASE | {"mixture"},
    "activations": BASE | {"_texts", "activations"},
    "interpret": BASE | {"activations", "interpret", "mixture"},
    "steering": BASE | {"activations", "interpret", "mixture", "steering"},
    "evaluation": BASE | {"activations", "evaluation", "interpret", "mixture", "steering"},
    "atlas": BASE | {"activations", "atlas", "evaluation", "interpret", "mixture", "steering"},
}


# In the order of what they load.
STATEMENTS = [
    "import mfa_sklearn",
    "from mfa_sklearn import MFA",
    "from mfa_sklearn import KMeansInitializer",
    "from mfa_sklearn import ActivationExtractor, ActivationArray",
    "from mfa_sklearn import SubspaceDisplay, top_tokens, top_concepts, project",
    "from mfa_sklearn import MFASteerer",
    "from mfa_sklearn.evaluation import evaluate",
    "from mfa_sklearn import datasets",
    "import mfa_sklearn.cli",
    "from mfa_sklearn import *",
]


def test_imports_load_no_heavy_package() -> None:
    """Asked in a fresh interpreter, because this one has loaded everything already; one after the other in the same."""
    code = f"""
import sys
for statement in {STATEMENTS!r}:
    exec(statement)
    print(statement, sorted(set({HEAVY!r}) & set(sys.modules)), sep=": ")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"{statement}: []" for statement in STATEMENTS]


def imported_at_load(body: list[ast.stmt]) -> set[str]:
    """Top-level packages that a module body imports when it is loaded: not those inside functions."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names |= imported_at_load([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])
    return names


def test_optional_packages_are_imported_inside_functions() -> None:
    modules = {path: ast.parse(path.read_text(encoding="utf-8")).body for path in PACKAGE.rglob("*.py")}
    strays = {path.name: imported_at_load(body) & set(OPTIONAL) for path, body in modules.items()}
    assert {name: found for name, found in strays.items() if found} == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pandas as pd", {"pandas"}),
        ("try:\n    from matplotlib import pyplot\nexcept ImportError:\n    pass", {"matplotlib"}),
        ("class A:\n    import tqdm.auto", {"tqdm"}),
        ("def f():\n    import pandas", set()),
        ("from . import pandas", set()),
        ("if TYPE_CHECKING:\n    import pandas", set()),
    ],
)
def test_load_time_imports_are_told_from_lazy_ones(source: str, expected: set[str]) -> None:
    assert imported_at_load(ast.parse(source).body) == expected


def test_private_names_of_scikit_learn_stand_in_one_module() -> None:
    """They may change with any minor version, so there is one place to look at."""
    strays = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn"):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                if any(name.startswith("_") for name in names):
                    strays.setdefault(path.name, set()).add(ast.unparse(node))
    assert set(strays) == {"sklearn_private.py"}, strays


def test_every_public_name_exists() -> None:
    assert [name for name in mfa_sklearn.__all__ if not hasattr(mfa_sklearn, name)] == []
    with pytest.raises(AttributeError, match="no_such_name"):
        mfa_sklearn.no_such_name  # noqa: B018


def imported_from_package(path: Path) -> set[str]:
    """First names below ``mfa_sklearn`` that the file at `path` imports, anywhere in it."""
    here = ("mfa_sklearn", *path.relative_to(PACKAGE).parts[:-1])
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("mfa_sklearn.")}


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_dependencies_point_down(folder: str) -> None:
    files = sorted((PACKAGE / folder).rglob("*.py"))
    assert files
    strays = {path.name: imported_from_package(path) - ALLOWED[folder] for path in files}
    assert {name: found for name, found in strays.items() if found} == {}


def test_import_parser_sees_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "interpret").mkdir()
    source = tmp_path / "interpret" / "_x.py"
    source.write_text(
        "import mfa_sklearn.steering._hooks\nfrom .._base.annotated import annotate\nfrom . import _y\n"
        "def f():\n    from mfa_sklearn import datasets\n    from ..mixture import MFA\n"
    )
    assert imported_from_package(source) == {"steering", "_base", "interpret", "datasets", "mixture"}


def test_every_folder_is_packaged() -> None:
    """`setup.cfg` lists the packages by hand; a forgotten one would be missing from the wheel only."""
    setup = PACKAGE.parent / "setup.cfg"
    if not setup.exists():
        pytest.skip("not a checkout")
    config = configparser.ConfigParser()
    config.read(setup)
    listed = set(config["options"]["packages"].split())
    folders = {path.parent.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("__init__.py")}
    assert listed == {".".join(folder.parts) for folder in folders} | {"mfa_sklearn.data"}
