"""Are concepts enriched in regions beyond chance, on texts that the regions were not fitted on?

    python examples/benchmarks/enrichment.py --out enrichment      # both models, three seeds: two minutes of one core

Sentences with known concepts are read by a model and halved by text, another way for each seed. Regions are fitted on
the tokens of one half, without labels. Every pair of a region and a concept is then tested on the other half: do
sentences of the concept reach the region more often than others do (`concept_enrichment`: exact where labels are
exchangeable over sentences, adjusted for all pairs)? Counted are the pairs with q <= 0.05, the regions and the concepts
that have one, and the pairs that are enriched at least twofold as well. The same is asked after the concepts of the
held-out sentences were dealt out anew, twenty times for each seed and kind of regions: what is found then is found by
chance. "any" is the share of labelings with at least one pair, which under chance is the false discovery rate.

Written to the folder: a line for each model, seed, kind of regions and labeling as CSV.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, concept_enrichment, datasets

sys.path.append(str(Path(__file__).resolve().parents[1]))
import real_encoder as example

DATA = ("encoder", "embedded")
# Layer to read, and factors of a region.
SETTINGS = {"encoder": (3, 10), "embedded": (1, 6)}
LEVEL, TWOFOLD = 0.05, 2.0


def read(name: str, n_texts: int) -> Any:
    """Activations of concept sentences, labeled by their concepts."""
    data = datasets.load_concepts()
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.texts))[:n_texts])
    texts, labels = [data.texts[i] for i in chosen], [data.labels[i] for i in chosen]
    model = example.MODEL if name == "encoder" else datasets.tiny_lm()
    return ActivationExtractor(model, layer=SETTINGS[name][0], batch_size=64).fit_transform(texts, labels)


def candidates(n_components: int, n_factors: int, seed: int) -> dict[str, Any]:
    """Kinds of regions, all of the same number."""
    start = KMeansInitializer(n_components, random_state=seed)
    common = {"n_components": n_components, "n_factors": n_factors, "random_state": seed, "max_iter": 500}
    return {"MFA": MFA(**common), "MFA, k-means kept": MFA(init=start, annealing=1, **common), "k-means": start}


def dealt_anew(labels: np.ndarray, texts: np.ndarray, seed: int) -> np.ndarray:
    """Labels of rows after those of whole texts were permuted."""
    _, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
    return np.random.default_rng(seed).permutation(labels[first])[inverse]


def counted(regions: np.ndarray, labels: np.ndarray, texts: np.ndarray) -> dict[str, float]:
    """How many pairs, regions and concepts are enriched."""
    table = concept_enrichment(regions, labels, texts)
    found = table[table["q_value"] <= LEVEL]
    return {
        "tested": len(table),
        "regions": table["region"].nunique(),
        "pairs": len(found),
        "twofold pairs": int((found["lift"] >= TWOFOLD).sum()),
        "regions enriched": found["region"].nunique(),
        "concepts enriched": found["label"].nunique(),
        "any": float(len(found) > 0),
        "p <= .05": float((table["p_value"] <= LEVEL).mean()),
    }


def measure(X: Any, n_components: int, n_factors: int, seed: int, shuffles: int) -> Iterator[dict[str, Any]]:
    """A line for each kind of regions and labeling; of shuffled labels the mean."""
    texts = np.asarray(X.text_index)
    found = np.unique(texts)
    own = np.isin(texts, np.random.default_rng(seed).permutation(found)[: len(found) // 2])
    train, test = X[own], X[~own]
    labels, texts = np.asarray(test.labels), np.asarray(test.text_index)
    for name, regions in candidates(n_components, n_factors, seed).items():
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assigned = regions.fit(train).predict(test)
        line = {"seed": seed, "regions of": name, "seconds": time.perf_counter() - begun}
        yield line | {"labels": "concepts", **counted(assigned, labels, texts)}
        chance = [counted(assigned, dealt_anew(labels, texts, draw), texts) for draw in range(shuffles)]
        yield line | {"labels": "shuffled", **pd.DataFrame(chance).mean()}


def main(arguments: list[str] | None = None) -> pd.DataFrame:
    """Measure, keep every line, and print means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the table")
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shuffles", type=int, default=20)
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in asked.data:
        X = read(name, asked.texts)
        for seed in range(asked.seeds):
            lines += [
                {"data": name, **line} for line in measure(X, asked.components, SETTINGS[name][1], seed, asked.shuffles)
            ]
            print(f"{name}, seed {seed}: {len(X):,} rows", flush=True)
    table = pd.DataFrame(lines)
    table.to_csv(asked.out / "enrichment.csv", index=False)
    shown = table.drop(columns=["seed", "seconds"]).groupby(["data", "regions of", "labels"], sort=False)
    print(shown.mean().round(3).to_string())
    return table


if __name__ == "__main__":
    main()
