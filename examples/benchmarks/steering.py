"""Steering to the regions of a mixture beside what everyone else does, compared where all cost the same.

    python examples/benchmarks/steering.py --out steering          # four layers: half an hour on two cores
    python examples/benchmarks/steering.py --layers 1 --new-tokens 0 --prompts 20 --out steering

On the embedded model and concept sentences. For each layer two mixtures are fitted: one whose regions are kept near
those of k-means (``annealing=1``) and one as it comes ("auto"). Each concept is steered to the component that
over-represents it most. Beside them stand difference of means (all tokens; content tokens), a probe's direction, the
first principal component, and the centroid of k-means; and, for the first arm, moves of the very same length in a
random direction and to another concept. `mfa_sklearn.steering.evaluate_steering` says what is measured, and
`steering_at_cost` how the arms are compared: the strength for a cost is chosen on one half of the prompts and judged on
the other.

Written to the folder: the tidy table and the comparison as CSV files, and a figure for each layer.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, MFASteerer, datasets
from mfa_sklearn.interpret import concept_components
from mfa_sklearn.steering import (
    NEUTRAL_PROMPTS,
    Arm,
    SteeringDisplay,
    baseline_arms,
    concept_regions,
    concept_scores,
    evaluate_steering,
    steering_at_cost,
)

FITS: dict[str, dict[str, Any]] = {"kept": {"annealing": 1}, "annealed": {}}
BASELINES = ["difference of means", "difference of means, content", "probe", "PCA", "k-means"]
SHARES = (0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0)
FACTORS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0)
PROBABILITIES = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999, 0.99999)
# What is asked of `MFASteerer.steer`: method, strengths, and whether the target is one component or a set of them, with
# which weights.
METHODS: dict[str, tuple[str, tuple[float, ...], str]] = {
    "centroid": ("centroid", SHARES, "component"),
    "transport": ("transport", SHARES, "component"),
    "difference": ("difference", FACTORS, "component"),
    "difference to set": ("difference", FACTORS, "share"),
    "direction": ("direction", FACTORS, "component"),
    "direction to set": ("direction", FACTORS, "ratio"),
    "direction into set": ("direction", FACTORS, "ratio and scores"),
    "direction to shares": ("direction", FACTORS, "share and scores"),
    "within": ("within", FACTORS, "scores"),
    "odds": ("odds", PROBABILITIES, "purity"),
}
DEFAULT_METHODS = ["centroid", "transport", "difference", "direction", "direction to set", "direction into set"]
SHOWN = [
    "arm",
    "value",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "paid",
    "strength",
    "reached",
]
N_COMPLETIONS = 8


def fit(layer: int, asked: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The rows of a layer, and for each fit a steerer and its mixture."""
    data, start = datasets.load_concepts(), time.perf_counter()
    extractor = ActivationExtractor(datasets.tiny_lm(), layer=layer)
    X = extractor.fit_transform(data.texts[:: asked.every], data.labels[:: asked.every])
    centered, model = KMeansInitializer(asked.components, random_state=0).fit_transform(X), extractor.load()
    fits = {}
    for name, options in FITS.items():
        if name not in asked.arms and name != "kept":  # whose steerer says where to steer
            continue
        mixture = MFA(n_factors=asked.factors, tol=1e-3, max_iter=60, random_state=0, **options).fit(centered)
        fits[name] = MFASteerer(model, mixture), mixture
    print(f"layer {layer}: {len(X):,} rows, fitted in {time.perf_counter() - start:.0f} s", flush=True)
    return X, fits


def region_arm(steerer: MFASteerer, mixture: MFA, X: Any, name: str) -> Arm:
    """One method of the steerer's, each concept to where the mixture has it."""
    method, strengths, kind = METHODS[name]
    if kind == "component":
        components: dict[str, Any] = concept_components(mixture, X)["component"].astype(int).to_dict()
        return Arm.regions(steerer, components, strengths, method)
    weights, _, scores = kind.partition(" and ")
    if weights == "scores":
        own = concept_scores(mixture, X)
        return Arm.regions(steerer, dict.fromkeys(own), strengths, method, z=own)
    regions, options = concept_regions(mixture, X, weights=weights), {}
    if scores:
        own = concept_scores(mixture, X)
        options["z"] = {concept: own[concept] for concept in regions}
    return Arm.regions(steerer, regions, strengths, method, **options)


def arms_of(X: Any, fits: dict[str, Any], asked: argparse.Namespace) -> dict[str, Arm]:
    """Baselines that need no mixture, and every method on every fit."""
    start, words = time.perf_counter(), datasets.load_concepts().words
    arms = baseline_arms(X, words=words, names=[name for name in BASELINES if name in asked.arms])
    for fit_name, (steerer, mixture) in fits.items():
        for method in asked.methods if fit_name in asked.arms else ():
            arms[f"{method}, {fit_name}"] = region_arm(steerer, mixture, X, method)
    print(f"{len(arms)} arms in {time.perf_counter() - start:.0f} s", flush=True)
    return arms


def completions(model: Any, words: dict[str, list[str]]) -> dict[str, list[str]]:
    """For every concept words that are one token, each preceded by a blank."""
    found = {}
    for concept, own in words.items():
        forms = [f" {word}" for word in own]
        ids = model.tokenizer(forms, add_special_tokens=False)["input_ids"]
        found[concept] = [form for form, row in zip(forms, ids, strict=True) if len(row) == 1][:N_COMPLETIONS]
    return found


def measure(layer: int, asked: argparse.Namespace) -> pd.DataFrame:
    """The tidy table of one layer."""
    words = datasets.load_concepts().words
    X, fits = fit(layer, asked)
    steerer, start = fits["kept"][0], time.perf_counter()
    table = evaluate_steering(
        steerer,
        arms_of(X, fits, asked),
        words,
        NEUTRAL_PROMPTS[: asked.prompts],
        max_new_tokens=asked.new_tokens,
        completions=completions(steerer.model, words),
        verbose=True,
    )
    print(f"layer {layer}: measured in {time.perf_counter() - start:.0f} s", flush=True)
    return table


def report(table: pd.DataFrame, out: Path) -> None:
    """What is printed, kept and drawn."""
    effects = [name for name in ("share_next", "share_generated", "log_odds", "log_prob") if table[name].notna().any()]
    against = BASELINES[0] if BASELINES[0] in set(table["arm"]) else None
    found = {effect: steering_at_cost(table, effect=effect, against=against) for effect in effects}
    pd.concat(found, names=["effect"]).reset_index(level=0).to_csv(out / "at_cost.csv", index=False)
    for (layer, cost), lines in found["share_next"].groupby(["layer", "cost"], sort=False):
        print(f"\nlayer {layer}, share at the next content slot at a collateral cost of {cost} nats")
        print(lines[[name for name in SHOWN if name in lines]].round(3).to_string(index=False))
    for layer, lines in table.groupby("layer"):
        for effect in effects:
            figure = SteeringDisplay.from_table(lines, y=effect).figure_
            figure.savefig(out / f"layer_{layer}_{effect}.png", dpi=130)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--arms", nargs="+", default=[*BASELINES, *FITS], choices=[*BASELINES, *FITS])
    parser.add_argument("--methods", nargs="*", default=DEFAULT_METHODS, choices=list(METHODS))
    parser.add_argument("--prompts", type=int, default=len(NEUTRAL_PROMPTS), help="how many of the neutral ones")
    parser.add_argument("--new-tokens", type=int, default=20, help="0 leaves out what is measured of text generated")
    parser.add_argument("--every", type=int, default=1, help="fit on every n-th sentence")
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--factors", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("steering"))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    asked = parse(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    tables = []
    for layer in asked.layers:
        tables.append(measure(layer, asked))
        pd.concat(tables).to_csv(asked.out / "table.csv", index=False)  # each layer is kept as soon as it is there
    report(pd.concat(tables, ignore_index=True), asked.out)


if __name__ == "__main__":
    main()
