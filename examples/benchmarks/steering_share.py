"""Does steering to a region make the embedded model write about the region's concept?

    python examples/benchmarks/steering_share.py                   # about ten minutes on two cores
    python examples/benchmarks/steering_share.py --layers 0 1 --alphas 0.6 1

For each layer a mixture is fitted on all concept sentences, and for each concept the component is taken that
over-represents it most. Half of twenty neutral prompts choose the layer, alpha and select; the other half is
reported, beside the model as it is and a random component. What is measured: the share of the concept's words among all
concepts' words, at the next content slot and in 20 tokens of text, median over the concepts
(`mfa_sklearn.steering.evaluate_steering` says how).

Two settings are chosen: the one with the largest share whatever becomes of the text, and the one with the largest share
among those whose text the unsteered model still finds likely (its mean log probability at most `FLUENT` nats per token
below that of the model's own text).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, MFASteerer, datasets
from mfa_sklearn.interpret import concept_components
from mfa_sklearn.steering import NEUTRAL_PROMPTS, evaluate_steering, summarize_steering

CHOOSE_ON, REPORT_ON = NEUTRAL_PROMPTS[::2], NEUTRAL_PROMPTS[1::2]
FLUENT = 1.0
SETTING = ["layer", "method", "select", "alpha"]


def fit(layer: int, n_components: int, n_factors: int) -> tuple[MFASteerer, dict[str, int]]:
    """A steerer for one layer, and the component of each concept."""
    data, start = datasets.load_concepts(), time.perf_counter()
    extractor = ActivationExtractor(datasets.tiny_lm(), layer=layer)
    X = extractor.fit_transform(data.texts, data.labels)
    centered = KMeansInitializer(n_components, random_state=0).fit_transform(X)
    mfa = MFA(n_factors=n_factors, tol=1e-3, max_iter=60, random_state=0).fit(centered)
    found = concept_components(mfa, X)
    said = f"layer {layer}: {len(X):,} rows, {len(found)} of {len(data.target_names)} concepts have a component"
    print(f"{said} ({time.perf_counter() - start:.0f} s)", flush=True)
    return MFASteerer(extractor.load(), mfa), found["component"].astype(int).to_dict()


def choose(summary: pd.DataFrame, at_least: float = float("-inf")) -> dict[str, Any]:
    """The best setting of a summary whose text is at least so likely."""
    usable = summary[(summary.target == "concept") & (summary.log_prob_generated >= at_least)]
    return usable.iloc[0][SETTING].to_dict()


def report(fitted: dict[int, Any], words: dict[str, list[str]], setting: dict[str, Any]) -> pd.DataFrame:
    """Medians on the prompts that chose nothing."""
    steerer, components = fitted[setting["layer"]]
    move = {"alphas": [setting["alpha"]], "select": [setting["select"]], "method": setting["method"]}
    summary = summarize_steering(evaluate_steering(steerer, components, words, REPORT_ON, **move))
    return summary.set_index("target").loc[["none", "random", "concept"]].drop(columns=SETTING)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.3, 0.6, 1.0])
    parser.add_argument("--select", nargs="+", default=["prompt", "all"])
    parser.add_argument("--methods", nargs="+", default=["centroid"], help="centroid, transport")
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--factors", type=int, default=6)
    parser.add_argument("--csv", type=Path, help="keep the whole sweep, concept by concept")
    asked = parser.parse_args()

    words = datasets.load_concepts().words
    fitted = {layer: fit(layer, asked.components, asked.factors) for layer in asked.layers}
    tables = []
    for layer, (steerer, components) in fitted.items():
        start = time.perf_counter()
        for method in asked.methods:
            sweep = {"alphas": asked.alphas, "select": asked.select, "method": method}
            tables.append(evaluate_steering(steerer, components, words, CHOOSE_ON, **sweep))
        print(f"layer {layer}: swept ({time.perf_counter() - start:.0f} s)", flush=True)
    table = pd.concat(tables, ignore_index=True)
    if asked.csv:
        table.to_csv(asked.csv, index=False)

    summary = summarize_steering(table)
    own = summary.loc[summary.target == "none", "log_prob_generated"].iloc[0]
    print(f"\nOn the {len(CHOOSE_ON)} prompts that choose (medians over {table.concept.nunique()} concepts):")
    print(summary[summary.target == "concept"].round(3).to_string(index=False))
    for name, least in (("largest share", float("-inf")), ("largest share of fluent text", own - FLUENT)):
        setting = choose(summary, least)
        print(f"\n{name}: {setting}\non the {len(REPORT_ON)} other prompts:")
        print(report(fitted, words, setting).round(3).to_string())


if __name__ == "__main__":
    main()
