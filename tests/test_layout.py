"""Test files are named after the modules they test, so that a module leads to its tests and a failure to its module."""

from __future__ import annotations

import configparser
from collections import Counter
from pathlib import Path

from packaging.version import Version

import mfa_sklearn

PACKAGE = Path(mfa_sklearn.__file__).parent
TESTS = Path(__file__).parent
# What is no module: the repository, and what the modules of a folder do together.
SUBJECTS = {
    *("test_benchmarks.py", "test_docs.py", "test_examples.py", "test_imports.py", "test_layout.py"),
    *("test_cli_stores.py", "test_cli_damaged_rows.py"),
    *("activations/test_store_as_rows.py", "activations/test_store_runs.py"),
    *("activations/test_language_models_alike.py", "activations/test_extraction_threads.py"),
    *("steering/test_steering_threads.py", "steering/test_steering_plain_models.py"),
    *("mixture/test_anchors.py", "mixture/test_conformity.py", "mixture/test_recovery.py"),
    *("test_pretend_device.py", "mixture/test_accelerator.py", "interpret/test_accelerator_tables.py"),
    *("steering/test_accelerator_models.py", "steering/test_accelerator_moves.py"),
    "test_rows_of_any_form.py",
    *("mixture/test_robustness.py", "mixture/test_scales.py", "atlas/test_browser.py"),
    *("mixture/test_distributed.py", "mixture/test_distributed_kmeans.py", "mixture/test_distributed_refusals.py"),
    "mixture/test_distributed_checkpoint.py",
}


def file_for(module: Path) -> str:
    """The file for a module: ``mixture/test_em_sharp.py`` for ``mixture/_em/sharp.py``."""
    *folders, name = (part.lstrip("_") for part in module.with_suffix("").parts)
    inner = folders if folders == ["base"] else folders[1:]
    return "/".join([*folders[:1], f"test_{'_'.join([*inner, name])}.py"])


def test_every_file_is_named_after_a_module_or_a_subject() -> None:
    modules = {file_for(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    files = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    assert {"mixture/test_em_sharp.py", "base/test_base_files.py", "test_cli.py"} <= files & modules
    assert files - modules - SUBJECTS == set()
    assert files - modules >= SUBJECTS


def test_no_two_files_share_a_name() -> None:
    """Folders without `__init__.py` are imported by the names of their files alone."""
    names = Counter(path.name for path in TESTS.rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_the_lowest_versions_are_those_that_are_promised() -> None:
    config = configparser.ConfigParser()
    config.read(TESTS.parent / "setup.cfg")
    extras = config["options.extras_require"]
    parts = [
        config["options"]["install_requires"],
        *(extras[name] for name in ("lm", "plot", "export", "atlas", "parquet")),
    ]
    asked = " ".join(parts).split()
    promised = {name: Version(rest.split(",")[0]) for name, _, rest in (line.partition(">=") for line in asked)}
    lines = (TESTS.parent / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    pinned = {name: Version(version) for name, mark, version in (line.partition("==") for line in lines) if mark}
    assert pinned == promised
