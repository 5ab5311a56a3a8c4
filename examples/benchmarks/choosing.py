"""Which criterion chooses the numbers of components and factors well? The table of docs/guide/choosing.md.

    python examples/benchmarks/choosing.py                    # about an hour on two cores
    python examples/benchmarks/choosing.py --rows wine digits

Every criterion chooses among the same candidates. `make_mfa` draws rows from known numbers, and 5,000 more to judge the
choice by: "lost" is how much less likely they are under the chosen mixture than under the best choice of any criterion.
The kinds of wine, digits and topics are known too, and the choice is judged by its agreement with them (adjusted Rand
index). "held out, 1 s.e." is the candidate with the fewest parameters of those whose mean held-out log-likelihood lies
within one standard error of the best; "elbow" the number of components farthest from the chord of the curve of held-out
likelihood, at the best number of factors. Folds of activations keep texts whole.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GroupKFold

from mfa_sklearn import MFA, ActivationExtractor, MFASearch, datasets

# Rows, columns, components, factors, separation of the means.
DRAWS = [
    *((300, 10, 3, 2, 6.0), (1000, 10, 4, 2, 6.0), (1000, 10, 4, 2, 1.5)),
    *((3000, 10, 4, 2, 1.0), (150, 10, 3, 2, 3.0), (2000, 20, 6, 3, 3.0)),
]
SEEDS = range(4)


def choices(X: Any, sizes: Sequence[int], factors: Sequence[int], cv: Any = 5, **params: Any) -> dict[str, Any]:
    """The settings that each criterion chooses, by its name."""
    mfa = MFA(random_state=0, **params)
    fits = MFASearch(mfa, sizes, factors).fit(X)
    held_out = MFASearch(mfa, sizes, factors, criterion="likelihood", cv=cv).fit(X)
    table, found = fits.results_, held_out.results_
    print(found.assign(bic=table["bic"], icl=table["icl"], aic=table["aic"]).to_string(), flush=True)
    error = found["likelihood_std"] / np.sqrt(held_out.n_splits_ - 1)
    best = held_out.best_index_
    near = found[found["likelihood"] >= found["likelihood"][best] - error[best]]
    chosen = {name: table[name].idxmin() for name in ("bic", "icl", "aic")}
    chosen |= {"held out": best, "held out, 1 s.e.": near["n_parameters"].idxmin(), "elbow": elbow(found, best)}
    return {name: held_out.cv_results_["params"][place] for name, place in chosen.items()}


def elbow(found: pd.DataFrame, best: int) -> int:
    """The candidate farthest above the chord of its curve, among those with the best one's factors."""
    curve = found[found["n_factors"] == found["n_factors"][best]]
    across = (curve["n_components"] - curve["n_components"].iloc[0]) / np.ptp(curve["n_components"])
    up = (curve["likelihood"] - curve["likelihood"].iloc[0]) / (
        curve["likelihood"].iloc[-1] - curve["likelihood"].iloc[0]
    )
    return int((up - across).idxmax())


def on_draws() -> pd.DataFrame:
    """How often each criterion finds the numbers that rows were drawn with, and what it loses where it does not."""
    lines = []
    for n, n_features, K, q, separation in DRAWS:
        for seed in SEEDS:
            X, _ = datasets.make_mfa(n + 5000, n_features, K, q, separation=separation, random_state=seed)
            found = choices(X[:n], range(1, K + 4), range(1, q + 3))
            scores = {name: MFA(**params, random_state=0).fit(X[:n]).score(X[n:]) for name, params in found.items()}
            for name, params in found.items():
                right = params == {"n_components": K, "n_factors": q}
                lines.append({"criterion": name, "right": right, "lost": max(scores.values()) - scores[name]})
    grouped = pd.DataFrame(lines).groupby("criterion", sort=False)
    return grouped.agg(right=("right", "sum"), draws=("right", "size"), lost=("lost", "mean"), worst=("lost", "max"))


def on_rows(X: Any, labels: Any, *grid: Sequence[int], **params: Any) -> pd.DataFrame:
    """What each criterion chooses, and how well the components agree with the kinds."""
    found = choices(X, *grid, **params)
    params.pop("cv", None)
    fitted = {name: MFA(**chosen, random_state=0, **params).fit_predict(X) for name, chosen in found.items()}
    agreement = {name: adjusted_rand_score(labels, predicted) for name, predicted in fitted.items()}
    return pd.DataFrame.from_dict(found, orient="index").assign(ari=agreement)


def on_wine() -> pd.DataFrame:
    """Three kinds of wine."""
    return on_rows(*load_wine(return_X_y=True), range(1, 7), (1, 2, 3))


def on_digits() -> pd.DataFrame:
    """Ten digits, by the pixels that vary."""
    X, y = load_digits(return_X_y=True)
    return on_rows(X[:, X.std(0) > 1], y, (2, 5, 10, 15, 20, 30), (2, 5, 10), cv=3, noise_floor=1e-2)


def on_activations() -> pd.DataFrame:
    """Rows of the embedded model, forty topics."""
    data = datasets.load_concepts()
    X = ActivationExtractor(datasets.tiny_lm(), layer=1).fit_transform(data.texts[::8], data.labels[::8])
    folds = list(GroupKFold(3, shuffle=True, random_state=0).split(X, groups=X.text_index))
    return on_rows(X, X.labels, (20, 40, 80, 120, 160), (10, 20), cv=folds)


ROWS = {"make_mfa": on_draws, "wine": on_wine, "digits": on_digits, "activations": on_activations}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    warnings.simplefilter("ignore", ConvergenceWarning)
    for name in parser.parse_args().rows:
        print(f"\n{name}\n{ROWS[name]().to_string(float_format='%.3f')}", flush=True)


if __name__ == "__main__":
    main()
