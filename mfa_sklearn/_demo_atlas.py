"""The demo's last stage: a page to browse all regions in."""

from __future__ import annotations

from ._base.checks import import_optional
from ._base.words import plural
from ._demo_regions import Fitted
from ._demo_report import Report

PAGE = "atlas.html"


def browse(report: Report, fitted: Fitted) -> None:
    """Write the atlas of all regions on held-out sentences, or say which package that takes is missing."""
    with report.stage("Atlas: every region on a page of its own"):
        try:
            for package in ("jinja2", "vl_convert"):
                import_optional(package, PAGE)
        except ImportError as error:
            report.say(f"   Left out. {error}")
            return
        from .atlas import write_atlas

        mfa, X = fitted.mfa, fitted.test
        write_atlas(mfa, X, report.folder / PAGE, model=fitted.pipeline[0].load())
        report.say(
            f"   {PAGE}: {plural(mfa.n_components_, 'region')} on {plural(len(X), 'held-out token')}: a map, a table"
        )
        report.say(
            "   to search, and for each region its tokens in their sentences, its concepts, its neighbors, and what"
        )
        report.say("   steering to it promotes. Open the file in a browser; it needs no network.")
