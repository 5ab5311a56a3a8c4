"""Steering to the regions of a mixture beside what everyone else does, compared where all cost the same.

    python examples/benchmarks/steering.py --out steering                    # four layers: an hour on two cores
    python examples/benchmarks/steering.py --layers 1 --new-tokens 0 --prompts 20
    python examples/benchmarks/steering.py --layers 1 --select prompt all --skip 20    # chooses the demo's setting

On the embedded model and concept sentences. For each layer three mixtures are made: one whose regions are kept near
those of k-means (``annealing=1``), one as it comes ("annealed"), and k-means itself as a mixture of spheres, to see
what is owed to the regions alone. Each concept is steered to the component that over-represents it most, or to a
weighted set of those that over-represent it. Beside them stand difference of means (all tokens; content tokens), a
probe's direction, the first principal component, and the centroid of k-means; and, for the first arm, moves of the very
same length in a random direction and to another concept. `mfa_sklearn.steering.evaluate_steering` says what is
measured, and `steering_at_cost` how the arms are compared: the strength for a cost is chosen on one half of the prompts
and judged on the other.

A second table is about text: of all arms, strengths and choices of tokens the ten that bring the largest share of a
concept's words into what is written, among those whose text the unsteered model still finds likely (its mean log
probability at most `FLUENT` nats per token below that of its own), on the half that chooses, and then on the other.
Chosen is the likeliest text of those whose share is within a hundredth of the largest.

Written to the folder: the tidy table and the comparisons as CSV files, and figures.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, MFASteerer, datasets
from mfa_sklearn.interpret import concept_components
from mfa_sklearn.steering import (
    NEUTRAL_PROMPTS,
    Arm,
    Gate,
    SteeringDisplay,
    baseline_arms,
    concept_regions,
    concept_scores,
    evaluate_steering,
    steering_at_cost,
)

FITS: dict[str, dict[str, Any] | None] = {"kept": {"annealing": 1}, "annealed": {}, "spheres": None}
BASELINES = ["difference of means", "difference of means, content", "probe", "PCA", "k-means"]
SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0)
FACTORS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 16.0)
# What is asked of `MFASteerer.steer`: method, strengths, and whether the target is one component or a set of them, with
# which weights.
METHODS: dict[str, tuple[str, tuple[float, ...], str]] = {
    "centroid": ("centroid", SHARES, "component"),
    "transport": ("transport", SHARES, "component"),
    "direction": ("direction", FACTORS, "component"),
    "gated direction to set": ("direction", FACTORS, "ratio"),
    "direction to set, length kept": ("direction", FACTORS, "ratio"),
    "direction to set": ("direction", FACTORS, "ratio"),
    "direction into set": ("direction", FACTORS, "ratio and scores"),
    "direction to shares": ("direction", FACTORS, "share and scores"),
}
DEFAULT_METHODS = [name for name in METHODS if not name.startswith("gated")]
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
    "weaker",
]
N_COMPLETIONS = 8
GATE = 0.5  # tokens that are of a concept with this probability already are not moved
FLUENT, CLOSE = 1.0, 0.01
SETTING = ["layer", "select", "arm", "strength"]


def fit(layer: int, asked: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The rows of a layer, and for each fit a steerer and its mixture."""
    data, start = datasets.load_concepts(), time.perf_counter()
    extractor = ActivationExtractor(datasets.tiny_lm(), layer=layer)
    X = extractor.fit_transform(data.texts[:: asked.every], data.labels[:: asked.every])
    clustering = KMeansInitializer(asked.components, random_state=0)
    centered, model = clustering.fit_transform(X), extractor.load()
    fits = {}
    for name, options in FITS.items():
        if name not in asked.arms and name != "kept":  # whose steerer says where to steer
            continue
        if options is None:
            mixture = spheres(np.asarray(X), clustering)
        else:
            mixture = MFA(n_factors=asked.factors, tol=1e-3, max_iter=60, random_state=0, **options).fit(centered)
        fits[name] = MFASteerer(model, mixture, layer), mixture
    print(f"layer {layer}: {len(X):,} rows, fitted in {time.perf_counter() - start:.0f} s", flush=True)
    return X, fits


def spheres(rows: np.ndarray, clustering: KMeansInitializer) -> MFA:
    """The clusters of k-means as a mixture: all round and of one size, so that the nearest center is the likeliest."""
    labels, centers = clustering.labels_, clustering.cluster_centers_
    variance = np.square(rows - centers[labels]).mean()
    share = np.bincount(labels, minlength=len(centers)) / len(labels)
    return MFA.from_params(share, centers, np.zeros((*centers.shape, 1)), np.full(centers.shape[1], variance))


def region_arm(steerer: MFASteerer, mixture: MFA, X: Any, name: str) -> Arm:
    """One method of the steerer's, each concept to where the mixture has it."""
    method, strengths, kind = METHODS[name]
    if kind == "component":
        components: dict[str, Any] = concept_components(mixture, X)["component"].astype(int).to_dict()
        return Arm.regions(steerer, components, strengths, method)
    weights, _, scores = kind.partition(" and ")
    regions = concept_regions(mixture, X, weights=weights)
    options: dict[str, Any] = {}
    if name.endswith("length kept"):
        options["keep_norm"] = True
    if name.startswith("gated"):
        purity = concept_regions(mixture, X, weights="purity")
        options["gate"] = {concept: Gate(purity[concept], below=GATE) for concept in regions}
    if scores:
        own = concept_scores(mixture, X)
        options["z"] = {concept: own[concept] for concept in regions}
    return Arm.regions(steerer, regions, strengths, method, **options)


def arms_of(X: Any, fits: dict[str, Any], asked: argparse.Namespace) -> dict[str, Arm]:
    """Baselines that need no mixture, and every method on every fit."""
    start, words = time.perf_counter(), datasets.load_concepts().words
    arms = baseline_arms(X, words=words, strengths=FACTORS, names=[name for name in BASELINES if name in asked.arms])
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
    steerer, start, arms = fits["kept"][0], time.perf_counter(), arms_of(X, fits, asked)
    tables = [
        evaluate_steering(
            steerer,
            arms,
            words,
            NEUTRAL_PROMPTS[asked.skip :][: asked.prompts],
            select=select,
            max_new_tokens=asked.new_tokens,
            completions=completions(steerer.model, words),
            verbose=True,
        )
        for select in asked.select
    ]
    print(f"layer {layer}: measured in {time.perf_counter() - start:.0f} s", flush=True)
    return pd.concat(tables, ignore_index=True)


def fluent(table: pd.DataFrame) -> pd.DataFrame:
    """The settings that bring most of a concept's words into likely text: chosen on one half, told on both."""
    measures = ["share_generated", "log_prob", "repetition_2"]
    medians = table.groupby([*SETTING, "half"])[measures].median().unstack("half")
    chosen, own = medians.xs("choose", axis=1, level="half"), medians.xs("none", level="arm", drop_level=False)
    likely = chosen["log_prob"] >= own["log_prob", "choose"].iloc[0] - FLUENT
    best = chosen[likely].nlargest(10, "share_generated").index
    return pd.concat([own.iloc[:1], medians.loc[best]]).reset_index()


def chosen(found: pd.DataFrame) -> dict[str, Any]:
    """The likeliest text of those with nearly the largest share."""
    share, likely = found["share_generated", "choose"], found["log_prob", "choose"]
    best = found.loc[likely[share >= share.max() - CLOSE].idxmax()]
    return {name: best[name, ""] for name in SETTING}


def report(table: pd.DataFrame, out: Path) -> None:
    """What is printed, kept and drawn."""
    effects = [name for name in ("share_next", "share_generated", "log_odds", "log_prob") if table[name].notna().any()]
    against = BASELINES[0] if BASELINES[0] in set(table["arm"]) else None
    found = {effect: steering_at_cost(table, effect=effect, against=against) for effect in effects}
    pd.concat(found, names=["effect"]).reset_index(level=0).to_csv(out / "at_cost.csv", index=False)
    for (layer, select, cost), lines in found["share_next"].groupby(["layer", "select", "cost"], sort=False):
        print(f"\nlayer {layer}, select {select}: share at the next content slot at a collateral cost of {cost} nats")
        print(lines[[name for name in SHOWN if name in lines]].round(3).to_string(index=False))
    if "share_generated" in effects:
        found_fluent = fluent(table)
        found_fluent.to_csv(out / "fluent.csv", index=False)
        print("\nthe largest shares of a concept's words in likely text")
        print(found_fluent.round(3).to_string(index=False))
        print("\nchosen:", chosen(found_fluent))
    for (layer, select), lines in table.groupby(["layer", "select"]):
        for effect in effects:
            figure = SteeringDisplay.from_table(lines, y=effect).figure_
            figure.savefig(out / f"layer_{layer}_{select}_{effect}.png", dpi=130)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--arms", nargs="+", default=[*BASELINES, *FITS], choices=[*BASELINES, *FITS])
    parser.add_argument("--methods", nargs="*", default=DEFAULT_METHODS, choices=list(METHODS))
    parser.add_argument("--prompts", type=int, default=len(NEUTRAL_PROMPTS), help="how many of the neutral ones")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many neutral prompts from the front")
    parser.add_argument(
        "--select", nargs="+", default=["prompt"], help="tokens to be moved: prompt, all, last, generated"
    )
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
