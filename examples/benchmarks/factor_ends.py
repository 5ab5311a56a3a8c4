"""Does moving along a factor of a region promote what lies at that end of it?

    python examples/benchmarks/factor_ends.py --out factor-ends              # four layers: ten minutes of one core
    python examples/benchmarks/factor_ends.py --layers 1 --out factor-ends

On the embedded model and concept sentences, every second of which mixtures are fitted on. For every region that at
least 300 rows of the other sentences fall into, and each of its factors, these rows are sorted by their score z, and
the tokens of the tenth at either end are counted in two ways: the rows' own, and those that follow them in the
sentence. Then the model reads neutral prompts while all their tokens are moved to the place z = 2, and to z = -2, of
that factor: x + alpha (mu - x) + W z.

What is measured is how much this raises the tokens of the upper end over those of the lower one: ::

    sum_t (u_t - l_t) (log p(t | z = 2) - log p(t | z = -2))

with u and l the shares of token t at the ends and log p the mean over the prompts. Above 0 the factor does what it
says. As a control it is also measured with the following tokens at the ends of the region's next factor, which should
come out either way. A sign test over regions says whether more of them are above 0 than below, for each factor and for
the mean over a region's factors: factors of a region are not independent trials.

Written to the folder: the tidy table and the tests as CSV files.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, MFASteerer, datasets
from mfa_sklearn.steering import NEUTRAL_PROMPTS

FITS: dict[str, dict[str, Any]] = {"kept": {"annealing": 1}, "annealed": {}}
ALPHAS = (0.0, 0.6, 1.0)
Z = 2.0
READINGS = ("own", "following", "following, next factor")
GROUP = ["layer", "fit", "alpha", "reading"]
SHOWN = ["layer", "fit", "alpha", "reading", "regions", "above", "p", "least_above", "largest_p", "nats", "low", "high"]


def shares(tokens: np.ndarray, n_tokens: int) -> np.ndarray:
    """How often each token of the vocabulary occurs, as shares (V,); none is left out by a token of -1."""
    known = tokens[tokens >= 0]
    return np.bincount(known, minlength=n_tokens) / max(len(known), 1)


def following(X: Any) -> np.ndarray:
    """The token after each row's, in the same sentence; -1 for the last."""
    text = np.array(X.text_index)
    after = np.append(np.array(X.token_ids)[1:], -1)
    after[:-1][text[1:] != text[:-1]] = -1
    return after


def ends_of(scores: np.ndarray, tokens: dict[str, np.ndarray], n_tokens: int) -> dict[str, np.ndarray]:
    """For each reading u - l (q, V): shares of tokens at the upper end of each factor less those at the lower.

    Parameters
    ----------
    scores : ndarray (n, q)
        Of the rows of a region.
    tokens : dict of reading to ndarray (n,)
    """
    order, size = scores.argsort(0), max(len(scores) // 10, 30)
    return {
        name: np.stack([shares(own[o[-size:]], n_tokens) - shares(own[o[:size]], n_tokens) for o in order.T])
        for name, own in tokens.items()
    }


def pushes(steerer: MFASteerer, component: int, alpha: float, n_factors: int, prompts: list[str]) -> np.ndarray:
    """log p(t | z = 2) - log p(t | z = -2) of the next token, (q, V), mean over the prompts."""
    found = []
    for factor in range(n_factors):
        up, down = (
            steerer.steer(component, alpha, {factor: z}).logits(prompts).double().log_softmax(-1).mean(0)
            for z in (Z, -Z)
        )
        found.append((up - down).numpy())
    return np.stack(found)


def lines(steerer: MFASteerer, mixture: MFA, X: Any, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A line for each well-populated region, strength, factor and reading."""
    region, own, after = mixture.predict(X), np.array(X.token_ids), following(X)
    rows, n_tokens = np.asarray(X), int(steerer.model.cfg.d_vocab)
    prompts = list(NEUTRAL_PROMPTS[: asked.prompts])
    for k in np.flatnonzero(np.bincount(region) >= asked.rows).tolist():
        inside = region == k
        scores = mixture.posterior_mean(rows[inside], k)
        ends = ends_of(scores, {"own": own[inside], "following": after[inside]}, n_tokens)
        ends["following, next factor"] = np.roll(ends["following"], -1, axis=0)
        for alpha in ALPHAS:
            push = pushes(steerer, k, alpha, scores.shape[1], prompts)
            for reading in READINGS:
                for factor, nats in enumerate((ends[reading] * push).sum(1).tolist()):
                    yield {"component": k, "alpha": alpha, "factor": factor, "reading": reading, "nats": nats}


def measure(layer: int, asked: argparse.Namespace) -> pd.DataFrame:
    """The tidy table of one layer."""
    data, tables = datasets.load_concepts(), []
    extractor = ActivationExtractor(datasets.tiny_lm(), layer=layer)
    fitted, held_out = (extractor.fit_transform(data.texts[first :: 2 * asked.every]) for first in (0, 1))
    centered = KMeansInitializer(asked.components, random_state=0).fit_transform(fitted)
    for name, options in FITS.items():
        start = time.perf_counter()
        mixture = MFA(n_factors=asked.factors, tol=1e-3, max_iter=60, random_state=0, **options).fit(centered)
        steerer = MFASteerer(extractor.load(), mixture)
        table = pd.DataFrame(lines(steerer, mixture, held_out, asked))
        tables.append(table.assign(layer=layer, fit=name))
        seconds = time.perf_counter() - start
        regions = table["component"].nunique()
        print(f"layer {layer}, {name}: {regions} of {asked.components} regions, {seconds:.0f} s", flush=True)
    return pd.concat(tables, ignore_index=True)


def tested(table: pd.DataFrame) -> pd.DataFrame:
    """The sign tests: a line for each layer, fit, strength and reading.

    Columns: above, how many regions are above 0 in the mean over their factors, with its two-sided p; least_above and
    largest_p, the same for each factor by itself, the worst of them; nats, the mean over regions and factors, with the
    middle 95 % of means of regions drawn with replacement.
    """
    found = []
    for keys, own in table.groupby(GROUP, sort=False):
        wide = own.pivot(index="component", columns="factor", values="nats").to_numpy()
        above, means = (wide > 0).sum(0), wide.mean(1)
        drawn = np.random.default_rng(0).integers(len(means), size=(2000, len(means)))
        low, high = np.quantile(means[drawn].mean(1), [0.025, 0.975])
        line = dict(zip(GROUP, keys, strict=True)) | {"regions": len(means), "above": int((means > 0).sum())}
        line |= {"p": binomtest(line["above"], len(means)).pvalue, "least_above": int(above.min())}
        line["largest_p"] = max(binomtest(int(count), len(means)).pvalue for count in above)
        found.append(line | {"nats": means.mean(), "low": low, "high": high})
    return pd.DataFrame(found)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--factors", type=int, default=6)
    parser.add_argument("--rows", type=int, default=300, help="how many a region must have, of those held out")
    parser.add_argument("--prompts", type=int, default=len(NEUTRAL_PROMPTS), help="how many of the neutral ones")
    parser.add_argument("--every", type=int, default=1, help="use every n-th sentence")
    parser.add_argument("--out", type=Path, default=Path("factor-ends"))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    asked = parse(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    tables = []
    for layer in asked.layers:
        tables.append(measure(layer, asked))
        pd.concat(tables).to_csv(asked.out / "table.csv", index=False)  # each layer is kept as soon as it is there
    found = tested(pd.concat(tables, ignore_index=True))
    found.to_csv(asked.out / "tests.csv", index=False)
    print(found[SHOWN].to_string(index=False, float_format=lambda x: f"{x:.2g}"))


if __name__ == "__main__":
    main()
