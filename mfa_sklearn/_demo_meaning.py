"""The demo's middle: which regions are about what, by measured quality, and what they look like."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._base.words import visible
from ._demo_regions import Fitted, concept_labels
from ._demo_report import Report
from .evaluation import LabeledRows, as_candidate, concept_detection
from .interpret import SubspaceDisplay, concept_components, describe_components, format_tokens, top_concepts, top_tokens

N_SHOWN = 10
N_TOKENS = 8
# Of how many tokens on either side of the picture the demo speaks.
N_ENDS = 6


def showcase(report: Report, fitted: Fitted) -> Any:
    """The region of each concept, the best first: a table indexed by concept.

    The region is the one whose share of the concept is most surprising on training texts. The order is that of figures
    on held-out texts: the AUROC among texts of near concepts, to three decimals, and where that is equal how surprising
    the share is.
    """
    regions = concept_components(fitted.mfa, fitted.train)[["component"]].rename_axis("concept").reset_index()
    found = top_concepts(fitted.mfa, fitted.test, n_concepts=None).rename(columns={"label": "concept"})
    facts = found[["concept", "component", "count", "size", "share", "llr"]]
    table = regions.merge(facts, on=["concept", "component"])  # without those that held-out texts do not confirm
    table = detected(fitted, table)
    order = table.assign(auroc_near=table["auroc_near"].round(3)).sort_values(["auroc_near", "llr"], ascending=False)
    table = table.loc[order.index].set_index("concept")
    report.keep("regions.csv", table, index=True)
    return table


def detected(fitted: Fitted, table: Any) -> Any:
    """The table with the AUROC by which each region finds its concept's held-out texts: `concept_detection`."""
    train, test = (
        LabeledRows(rows, concept_labels(rows, fitted.words), rows.text_index) for rows in (fitted.train, fitted.test)
    )
    columns = dict(zip(table["concept"], table["component"].astype(int), strict=True))
    found = concept_detection(as_candidate(fitted.mfa), train, test, columns=columns)
    assert found is not None  # a mixture has detectors
    figures = dict(zip(found.concepts, zip(found.auroc, found.hard_auroc, strict=True), strict=True))
    auroc, auroc_near = zip(*table["concept"].map(figures), strict=True)
    return table.assign(auroc=auroc, auroc_near=auroc_near)


def describe(report: Report, fitted: Fitted, shown: Any) -> None:
    """What regions are about, by tokens of sentences that the mixture has not seen."""
    mfa, X = fitted.mfa, fitted.test
    with report.stage(f"Meaning: the {N_SHOWN} best regions of {len(shown)} concepts, on held-out sentences"):
        components = describe_components(mfa, X, n_tokens=N_TOKENS)
        tokens = top_tokens(mfa, X, n_tokens=N_TOKENS)
        say_regions(report, shown, components)
        best = shown.iloc[0]
        report.say(
            f"\n   Tokens of region {best.component:.0f} ({shown.index[0]}) in their sentences (top_tokens.csv):"
        )
        report.say(format_tokens(tokens[(tokens["component"] == best.component) & (tokens["rank"] <= 5)]))
        others = components.drop(index=shown["component"]).nlargest(5, "size")
        report.say("\n   The largest that are no concept's (components.csv has all):")
        report.say(others[["tokens", "size", "concepts"]].to_string(max_colwidth=90))
    report.keep("components.csv", components, index=True)
    report.keep("top_tokens.csv", tokens)
    report.keep("top_concepts.csv", top_concepts(mfa, X))


def say_regions(report: Report, shown: Any, components: Any) -> None:
    """A line for each of the best regions, and the median of all."""
    head = ["region", "AUROC,\nall texts", "AUROC,\nnear ones", "tokens", "of the\nconcept", "most over-represented"]
    few = shown.head(N_SHOWN)
    lines = {
        concept: [
            *(f"{line.component:.0f}", f"{line.auroc:.3f}", f"{line.auroc_near:.3f}", f"{line['size']:.0f}"),
            *(f"{line.share:.0%}", components.loc[line.component, "tokens"]),
        ]
        for concept, line in few.iterrows()
    }
    middle = shown[["auroc", "auroc_near", "size", "share"]].median()
    lines[f"(median of {len(shown)})"] = [
        *("", f"{middle.auroc:.3f}", f"{middle.auroc_near:.3f}", f"{middle['size']:.0f}", f"{middle.share:.0%}", ""),
    ]
    report.table(head, lines, n_texts=1)


def picture(report: Report, fitted: Fitted, shown: Any) -> None:
    """The tokens of the best region in its own subspace."""
    concept, best = shown.index[0], shown.iloc[0]
    component = int(best["component"])
    with report.stage(f"Picture: region {component} ({concept}) in its own subspace"):
        display = SubspaceDisplay.from_estimator(fitted.mfa, fitted.test, component)
        report.draw("subspace.png", display.figure_)
        found: Any = display.projection
        report.say(f"   subspace.png: {found}")
        report.say(f"   {best['count']:.0f} of its {best['size']:.0f} held-out tokens are of sentences on {concept}")
        for number, place in enumerate(("left", "right", "bottom", "top")):
            along = found.coordinates[:, number // 2] * (1 if number % 2 else -1)
            ordered = [visible(token).strip() for token in found.tokens[np.argsort(-along, kind="stable")]]
            report.say(f"   {place + ':':<8} {' · '.join(list(dict.fromkeys(ordered))[:N_ENDS])}")
