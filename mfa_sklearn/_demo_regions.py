"""The demo's first half: regions of the embedded model's activations, and what they are worth beside simpler ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import datasets
from ._base.files import replacing
from ._demo_report import Report
from .activations import ActivationArray, ActivationExtractor
from .evaluation import EvaluationDisplay, baselines, evaluate
from .evaluation._held_out import Split, split_texts
from .mixture import MFA, KMeansInitializer

SEED = 0
LAYER = 1
LATER = 3
N_COMPONENTS = 100
N_FACTORS = 6
HELD_OUT = 0.2
MAX_ITER = 500
# Every eighth sentence and a quarter of the components, for a look in seconds.
QUICK = {"stride": 8, "components": 4}
KEPT, ANNEALED = "MFA, regions kept", "MFA, regions annealed"
# What the table shows of an evaluation: words above the column, and decimals.
COLUMNS = {
    "NMI": ("NMI", 3),
    "detection AUROC": ("AUROC,\nall texts", 3),
    "detection AUROC, hard negatives": ("AUROC,\nnear ones", 3),
    "reconstruction R2": ("R2", 3),
    "target R2 by region": (f"layer {LATER} by\nregion", 3),
    "target R2 by region and coordinates": ("and coor-\ndinates", 3),
    "bits per row": ("bits a\ntoken", 0),
}
EXPLAINED = f"""\
   A star stands at the best of each column. NMI: of the region of a content word with the concept of its sentence.
   AUROC: how well a concept's best region finds its sentences, among all and among those of the three nearest
   concepts. R2: share of the variance that is reconstructed. Layer {LATER}: share of its variance foretold by region
   alone, and by region and coordinates in it. Bits: to write a token's activation down to a hundredth of its
   spread. evaluation.csv has intervals and more measures.

   "Regions kept" is MFA(annealing=1): it starts from k-means and stays there, and is the one shown below. "Regions
   annealed" is MFA() as it comes: tokens may leave for other regions while it is hot. That gives the better charts
   (R2, layer {LATER} by region and coordinates, bits), and regions that follow topics less. Topics alone are told
   best by k-means itself; what a mixture adds is what lies inside a region.

   Topics are regions in this model because the last stage of its training asks for it. A plain next-token model of
   its size (2,700 steps, without that second aim) has directions for topics, but its regions follow syntax: NMI 0.06
   to 0.1, for k-means and the mixture alike. So the table tells what a mixture does with regions that are there, not
   that language models have them; examples/real_encoder.py makes the same table on a real model."""


class Fitted(NamedTuple):
    """What the stages hand on."""

    pipeline: Any
    activations: ActivationArray  # of all sentences
    later: np.ndarray  # the same tokens in a later layer
    split: Split
    words: dict[str, list[str]]

    @property
    def mfa(self) -> MFA:
        return self.pipeline[-1]

    @property
    def train(self) -> ActivationArray:
        return self.activations[self.split.train]

    @property
    def test(self) -> ActivationArray:
        return self.activations[self.split.test]


def fit(report: Report, quick: bool) -> Fitted:
    """Texts to activations, to k-means, to the mixture, as one pipeline; a fifth of the texts is held out."""
    from sklearn.pipeline import Pipeline

    concepts: Any = datasets.load_concepts()
    stride, n_components = (QUICK["stride"], N_COMPONENTS // QUICK["components"]) if quick else (1, N_COMPONENTS)
    texts, labels = concepts.texts[::stride], concepts.labels[::stride]
    # annealing=1: the regions stay those of k-means, see `compare`.
    steps = [
        ("activations", ActivationExtractor(model="tiny_lm", layer=LAYER)),
        ("init", KMeansInitializer(n_clusters=n_components, random_state=SEED)),
        ("mfa", MFA(n_factors=N_FACTORS, annealing=1, max_iter=MAX_ITER, random_state=SEED)),
    ]
    pipeline = Pipeline(steps)
    # Stage by stage, to say how long each takes; `pipeline.fit(texts)` does the same in one go.
    extractor, kmeans, mfa = pipeline.named_steps.values()
    with report.stage(f"Activations: {len(texts):,} sentences on {len(concepts.target_names)} concepts, layer {LAYER}"):
        X = extractor.fit_transform(texts, labels)
        later = ActivationExtractor(model="tiny_lm", layer=LATER).fit_transform(texts)
        split = split_texts(np.asarray(X.text_index), HELD_OUT, SEED)
        report.say(f"   {len(X):,} tokens, {X.shape[1]} numbers each; {len(split.test):,} of held-out sentences")
    with report.stage(f"k-means: {n_components} clusters"):
        centered = kmeans.fit_transform(X[split.train])
    with report.stage(f"Mixture of factor analyzers: {n_components} components of {N_FACTORS} factors"):
        mfa.fit(centered)
        report.say(f"   {said_of(mfa, X[split.test])}")
    _save(report, pipeline)
    return Fitted(pipeline, X, np.asarray(later), split, concepts.words)


def said_of(mfa: MFA, X: ActivationArray) -> str:
    """How a fit ended, and how likely held-out tokens are."""
    ended = "converged" if mfa.converged_ else "not converged"
    return f"{mfa.score(X):.1f} nats a held-out token; {ended} after {mfa.n_iter_} iterations"


def _save(report: Report, pipeline: Any) -> None:
    import joblib

    pipeline[-1].save_pretrained(report.folder / "mixture")
    with replacing(report.folder / "pipeline.joblib") as temporary:
        joblib.dump(pipeline, temporary)


def concept_labels(activations: ActivationArray, words: dict[str, list[str]]) -> np.ndarray:
    """The concept of each token that is a content word of its own sentence's concept, None of others, (n,)."""
    assert activations.tokens is not None and activations.labels is not None
    own = {concept: set(forms) for concept, forms in words.items()}
    pairs = zip(activations.tokens, activations.labels, strict=True)
    return np.array([label if token.strip().lower() in own[label] else None for token, label in pairs], dtype=object)


def compare(report: Report, fitted: Fitted) -> None:
    """Do regions follow what sentences are about, and what do they tell, beside everything simpler?"""
    n_test = len(np.unique(np.asarray(fitted.test.text_index)))
    with report.stage(f"What it is worth, on {n_test:,} held-out sentences"):
        candidates = candidates_beside(report, fitted)
        labels = concept_labels(fitted.activations, fitted.words)
        # Seeded alike, `evaluate` holds the same sentences out.
        found = evaluate(
            candidates, fitted.activations, labels, target=fitted.later, test_size=HELD_OUT, random_state=SEED
        )
        say_table(report, found)
        report.keep("evaluation.csv", found)
        display = EvaluationDisplay.from_table(found, measures=list(COLUMNS))
        report.draw("evaluation.png", display.figure_)
        report.say(f"\n{EXPLAINED}")


def candidates_beside(report: Report, fitted: Fitted) -> dict[str, Any]:
    """The mixture, the same one annealed, and simpler estimators of its size, which `evaluate` fits."""
    kmeans = fitted.pipeline["init"]
    annealed = MFA(n_factors=N_FACTORS, max_iter=MAX_ITER, random_state=SEED).fit(kmeans.transform(fitted.train))
    report.say(f"   annealed: {said_of(annealed, fitted.test)}\n")
    simpler = baselines(fitted.mfa.n_components_, N_FACTORS, random_state=SEED)
    first = {name: simpler.pop(name) for name in ("PCA", "k-means", "k-means + local PCA")}
    first["k-means"] = kmeans
    simpler["diagonal mixture"].set_params(max_iter=MAX_ITER)
    return {**first, **simpler, KEPT: fitted.mfa, ANNEALED: annealed}


def say_table(report: Report, found: Any) -> None:
    """A line for each candidate, a column for each measure; a star at the best of each."""
    wide = found.pivot(index="candidate", columns="measure", values="value")
    best = {measure: wide[measure].min() if measure == "bits per row" else wide[measure].max() for measure in COLUMNS}
    lines = {}
    for name in found["candidate"].unique():
        entries = []
        for measure, (_, decimals) in COLUMNS.items():
            value = wide.loc[name, measure]
            star = "*" if f"{value:.{decimals}f}" == f"{best[measure]:.{decimals}f}" else " "
            entries.append(f"{value:.{decimals}f}{star}" if value == value else "- ")
        lines[name] = entries
    report.table([head.replace("\n", " \n") + " " for head, _ in COLUMNS.values()], lines)
