"""The tutorial in one go, on the embedded sentences and language model, from texts to steering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ._base.checks import import_optional
from ._base.files import check_folder, probe
from ._base.leftovers import clear_leftovers
from ._base.locks import locked
from ._demo_atlas import browse
from ._demo_meaning import describe, picture, showcase
from ._demo_regions import compare, fit
from ._demo_report import SUMMARY, Report
from ._demo_steering import steer

_RESULTS = (".csv", ".png", ".joblib", ".html")


def run_demo(output: Path, *, quick: bool = False, overwrite: bool = True) -> Path:
    """Run the tutorial and keep what it finds.

    Parameters
    ----------
    output : path
        Folder for the results; made if missing.
    quick : bool, default=False
        Use an eighth of the sentences and a quarter of the components.
    overwrite : bool, default=True
        Whether the files of an earlier demo are replaced.

    Returns
    -------
    path
        The folder.

    Raises
    ------
    FileExistsError
        If `output` is a file, a folder of something else, or of an earlier demo that is not to be overwritten.
    OSError
        If another run is writing there, or there is no room or right to write.
    ImportError
        If the language-model or plotting packages are missing.
    """
    _check_packages()
    output = check_folder(output, SUMMARY, overwrite=overwrite)
    with locked(output):
        clear_leftovers(output, lambda name: name == SUMMARY or Path(name).suffix in _RESULTS, locked=True)
        probe(output, 2**24)
        report = Report(output)
        report.save()  # now, so that what is left of an interrupted demo is known for one
        fitted: Any = fit(report, quick)
        compare(report, fitted)
        shown = showcase(report, fitted)
        describe(report, fitted, shown)
        picture(report, fitted, shown)
        steer(report, fitted, shown)
        browse(report, fitted)
        report.close()
    return output


def _check_packages() -> None:
    """Heavy packages are needed at the end too; a missing one should not cost the minutes before."""
    for package in ("pandas", "matplotlib", "transformer_lens"):
        import_optional(package, "the demo")
