"""The demo's end: activations moved to the regions found, and what the model then says."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ._demo_regions import LAYER, SEED, Fitted
from ._demo_report import Report
from .interpret import top_tokens
from .steering import (
    NEUTRAL_PROMPTS,
    Arm,
    Gate,
    MFASteerer,
    baseline_arms,
    concept_regions,
    evaluate_steering,
)

# How far to steer, and on which tokens, those excepted that are of the concept already: of the settings that move text
# furthest without making it unlikely. examples/benchmarks/steering.py chose it on the neutral prompts that are not used
# here, and likewise what difference of means is shown with.
ALPHA, SELECT, SURE = 1.5, "all", 0.5
MEANS_ALPHA, MEANS_SELECT = 6.0, "prompt"
# For the next token alone: to the centroid of one region, some of the way.
LOGIT_ALPHA, LOGIT_SELECT = 0.6, "prompt"
PROMPTS = NEUTRAL_PROMPTS[:20]
N_STEERED = 8


class Moves:
    """What steers to each concept: the way to its regions, for tokens that are not of them already."""

    def __init__(self, fitted: Fitted, shown: Any) -> None:
        regions, purity = (concept_regions(fitted.mfa, fitted.train, weights=kind) for kind in ("ratio", "purity"))
        self.regions = {concept: regions[concept] for concept in shown.index}
        self.gates = {concept: Gate(purity[concept], below=SURE) for concept in shown.index}

    def of(self, concept: str) -> dict[str, Any]:
        """What `MFASteerer.steer` takes."""
        move = {"component": self.regions[concept], "alpha": ALPHA, "method": "direction", "select": SELECT}
        return move | {"gate": self.gates[concept]}

    def arm(self, steerer: MFASteerer) -> Arm:
        """What `evaluate_steering` takes."""
        return Arm.regions(steerer, self.regions, [ALPHA], "direction", gate=self.gates)


def steer(report: Report, fitted: Fitted, shown: Any) -> None:
    """Move the model's activations to a concept's regions, and look at what it says."""
    steerer, moves = MFASteerer(fitted.pipeline[0].load(), fitted.mfa), Moves(fitted, shown)
    with report.stage(f"Steering: layer {LAYER}"):
        steer_logits(report, fitted, steerer, shown)
        steer_shares(report, fitted, steerer, moves)
        steer_texts(report, steerer, moves, fitted.words)


def steer_logits(report: Report, fitted: Fitted, steerer: MFASteerer, shown: Any) -> None:
    """Which tokens a move promotes: first to a region, then to a place inside it."""
    concept, component = shown.index[0], int(shown["component"].iloc[0])
    move: dict[str, Any] = {"component": component, "alpha": LOGIT_ALPHA, "select": LOGIT_SELECT}
    centroid = steerer.logit_diff(PROMPTS[0], top_k=8, **move)
    token, place = place_inside(fitted, component)
    two_stage = steerer.logit_diff(PROMPTS[0], top_k=8, z=place, **move)
    report.keep("logit_diff.csv", centroid)
    report.keep("logit_diff_two_stage.csv", two_stage)
    report.say(f"   After {PROMPTS[0]!r}, with alpha {LOGIT_ALPHA}, logits change most for")
    for name, table in ((f"to the centroid of {concept}", centroid), (f"and on to where {token!r} lies", two_stage)):
        report.say(f"   {name}")
        report.say(f"     up:    {_changes(table.nlargest(6, 'change'))}")
        report.say(f"     down:  {_changes(table.nsmallest(6, 'change'))}")


def place_inside(fitted: Fitted, component: int) -> tuple[str, np.ndarray]:
    """Of the tokens that say most about a region the one farthest out in it, and its factor scores (q,)."""
    best = top_tokens(fitted.mfa, fitted.test, components=component, context=0)
    scores = fitted.mfa.posterior_mean(fitted.test[best["row"].to_numpy()], component)
    farthest = int(np.square(scores).sum(1).argmax())
    return str(best["token"].iloc[farthest]).strip(), scores[farthest]


def _changes(table: Any) -> str:
    pairs = zip(table["token"], table["change"], strict=True)
    return "   ".join(f"{token.strip()} {change:+.1f}" for token, change in pairs)


def steer_shares(report: Report, fitted: Fitted, steerer: MFASteerer, moves: Moves) -> None:
    """The share of a concept's words among all concepts' words, before and after, and how likely the text is."""
    import pandas as pd

    ours, theirs = "to its regions", "difference of means"
    means = baseline_arms(fitted.train, names=[theirs], strengths=[MEANS_ALPHA], random_state=SEED)
    means[theirs] = Arm({concept: means[theirs].moves[concept] for concept in moves.regions}, [MEANS_ALPHA])
    runs: list[tuple[dict[str, Arm], dict[str, Any]]] = [
        ({ours: moves.arm(steerer)}, {"select": SELECT, "controlled": [ours]}),
        (means, {"select": MEANS_SELECT, "controls": ()}),
    ]
    found = pd.concat([evaluate_steering(steerer, arms, fitted.words, PROMPTS, **how) for arms, how in runs])
    report.keep("steering.csv", found)
    columns = ["share_next", "share_generated", "log_prob"]
    medians = found.groupby(["arm", "concept"])[columns].mean().groupby("arm").median()
    report.say("\n   Share of a concept's words among all concepts' words, and log probability of the text, in nats a")
    report.say(
        f"   token, to the model unsteered; medians of {len(moves.regions)} concepts, {len(PROMPTS)} prompts each:\n"
    )
    names = {"none": "not steered", f"{ours} (random)": "as far in a random direction"}
    names |= {f"{ours} (foreign)": "as far to another concept", theirs: f"{theirs}, prompt", ours: ours}
    lines = {}
    for arm, name in names.items():
        share_next, share_generated, log_prob = medians.loc[arm, columns]
        lines[name] = [f"{share_next:.1%}", f"{share_generated:.1%}", f"{log_prob:.2f}"]
    report.table(["next content word", "20 tokens of text", "log probability"], lines)


def steer_texts(report: Report, steerer: MFASteerer, moves: Moves, words: dict[str, list[str]]) -> None:
    """What the model writes, before and after, and whether it is about the concept."""
    import pandas as pd

    lines = []
    for number, concept in enumerate(list(moves.regions)[:N_STEERED]):
        prompt = PROMPTS[number]
        sampling: dict[str, Any] = {"max_new_tokens": 20, "random_state": SEED + number}
        before = steerer.generate(prompt, alpha=0.0, **sampling)
        after = steerer.generate(prompt, **moves.of(concept), **sampling)
        found = about(str(after)[len(prompt) :], words)
        lines.append({"concept": concept, "before": before, "after": after, "about": found})
        report.say(f"\n   to {concept}\n     before: {before}\n     after:  {after}")
    reached = sum(line["about"] == line["concept"] for line in lines)
    report.say(f"\n   {reached} of {len(lines)} have more words of their concept than of any other.")
    report.keep("generated.csv", pd.DataFrame(lines))


def about(text: str, words: dict[str, list[str]]) -> str | None:
    """The concept with the most words in a text, if there is one."""
    found = re.findall(r"[^\W\d_]+", text.lower())
    counts = {concept: sum(word in own for word in found) for concept, own in words.items()}
    most = max(counts.values())
    best = [concept for concept, count in counts.items() if count == most]
    return best[0] if most and len(best) == 1 else None
