"""The demo's end: activations moved to the regions found, and what the model then says."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._demo_regions import LAYER, SEED, Fitted
from ._demo_report import Report
from .interpret import top_tokens
from .steering import NEUTRAL_PROMPTS, Arm, MFASteerer, evaluate_steering

# Where, how hard and on which tokens to steer: of the settings that leave text fluent, the one that moves it furthest;
# the other half of the neutral prompts chose it.
ALPHA = 1.0
# For the next token alone less is better: the model should still know which word it has to follow.
LOGIT_ALPHA = 0.6
SELECT = "prompt"
PROMPTS = NEUTRAL_PROMPTS[1:20:2]
N_STEERED = 8


def steer(report: Report, fitted: Fitted, shown: Any) -> None:
    """Move the model's activations to a concept's region, and look at what it says."""
    steerer = MFASteerer(fitted.pipeline[0].load(), fitted.mfa)
    with report.stage(f"Steering: layer {LAYER}, alpha {ALPHA}, select {SELECT!r}"):
        steer_logits(report, fitted, steerer, shown)
        steer_shares(report, steerer, shown, fitted.words)
        steer_texts(report, steerer, shown)


def steer_logits(report: Report, fitted: Fitted, steerer: MFASteerer, shown: Any) -> None:
    """Which tokens a move promotes: first to a region, then to a place inside it."""
    concept, component = shown.index[0], int(shown["component"].iloc[0])
    move: dict[str, Any] = {"component": component, "alpha": LOGIT_ALPHA, "select": SELECT}
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


def steer_shares(report: Report, steerer: MFASteerer, shown: Any, words: dict[str, list[str]]) -> None:
    """The share of a concept's words among all concepts' words, before and after."""
    components = shown["component"].astype(int).to_dict()
    shifts = np.random.default_rng(SEED).integers(1, steerer.n_components, size=len(components))
    pairs = zip(components.items(), shifts, strict=True)
    others = {concept: int((own + shift) % steerer.n_components) for (concept, own), shift in pairs}
    names = {"none": "not steered", "random": "steered to a random region", "concept": "steered to its region"}
    arms = {"random": Arm.regions(steerer, others, [ALPHA]), "concept": Arm.regions(steerer, components, [ALPHA])}
    found = evaluate_steering(steerer, arms, words, PROMPTS, select=SELECT, controls=())
    report.keep("steering.csv", found)
    columns = ["share_next", "share_generated"]
    medians = found.groupby(["arm", "concept"])[columns].mean().groupby("arm").median()
    report.say(f"\n   Share of a concept's words among all concepts' words, median of {len(components)} concepts:\n")
    lines = {name: [f"{medians.loc[arm, column]:.1%}" for column in columns] for arm, name in names.items()}
    report.table(["next content word", "20 tokens of text"], lines)


def steer_texts(report: Report, steerer: MFASteerer, shown: Any) -> None:
    """What the model writes, before and after."""
    import pandas as pd

    lines = []
    for number, (concept, component) in enumerate(shown["component"].head(N_STEERED).items()):
        prompt = PROMPTS[number % len(PROMPTS)]
        sampling: dict[str, Any] = {"max_new_tokens": 20, "random_state": SEED + number}
        move: dict[str, Any] = {"component": int(component), "alpha": ALPHA, "select": SELECT}
        before = steerer.generate(prompt, alpha=0.0, **sampling)
        after = steerer.generate(prompt, **move, **sampling)
        lines.append({"concept": concept, "component": component, "before": before, "after": after})
        report.say(f"\n   to {concept} (region {component})\n     before: {before}\n     after:  {after}")
    report.keep("generated.csv", pd.DataFrame(lines))
