"""Do EM and the gradient reach the same neighborhood? Held-out log-likelihood on the demo's activations.

    python examples/benchmarks/solvers.py [--components 100] [--factors 6] [--epochs 40]

Every fifth sentence is held out. Both solvers start from the same k-means centers.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, datasets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--factors", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()

    texts, _ = datasets.load_concepts(return_X_y=True)
    X = ActivationExtractor(model=datasets.tiny_lm(), layer=2).fit_transform(texts)
    held_out = X.text_index % 5 == 0
    train, test = X[~held_out], X[held_out]
    centered = KMeansInitializer(n_clusters=arguments.components, random_state=0).fit_transform(train)
    print(f"{len(train):,} rows to fit, {len(test):,} held out, {X.shape[1]} features")
    runs = {
        "EM, annealed": {"tol": 1e-3},
        "EM, plain": {"annealing": 1, "acceleration": False, "tol": 1e-3},
        "gradient": {"solver": "gradient", "max_iter": arguments.epochs},
    }
    for name, settings in runs.items():
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mfa = MFA(n_factors=arguments.factors, random_state=0, **settings).fit(centered)
        seconds = time.perf_counter() - begun
        line = f"train {mfa.lower_bound_:9.3f}   held out {mfa.score(np.asarray(test)):9.3f} nats per row"
        print(f"{name:14} {line}   {mfa.n_iter_:4d} iterations {seconds:7.1f} s", flush=True)


if __name__ == "__main__":
    main()
