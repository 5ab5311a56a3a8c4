"""The tutorial in one go, on the embedded sentences and language model, from texts to steering."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import datasets
from ._base.checks import import_optional
from ._base.files import check_folder, probe, replacing
from ._base.leftovers import clear_leftovers
from ._base.locks import locked
from .activations import ActivationArray, ActivationExtractor
from .interpret import SubspaceDisplay, concept_components, describe_components, format_tokens, top_concepts, top_tokens
from .mixture import MFA, KMeansInitializer
from .steering import NEUTRAL_PROMPTS, MFASteerer, evaluate_steering

SUMMARY = "summary.txt"
_RESULTS = (".csv", ".png", ".joblib")
SEED = 0
LAYER = 1
N_COMPONENTS = 100
N_FACTORS = 6
# Where, how hard and on which tokens to steer: of the settings that leave text fluent, the one that moves it furthest;
# examples/benchmarks/steering_share.py chose it on the other half of the neutral prompts.
ALPHA = 1.0
# For the next token alone less is better: the model should still know which word it has to follow.
LOGIT_ALPHA = 0.6
POSITIONS = "prompt"
PROMPTS = NEUTRAL_PROMPTS[1::2]
# Every eighth sentence and a quarter of the components, for a look in seconds.
QUICK = {"stride": 8, "components": 4}


class Fitted(NamedTuple):
    """What the stages hand on."""

    pipeline: Any
    activations: ActivationArray
    clusters: np.ndarray
    words: dict[str, list[str]]

    @property
    def mfa(self) -> MFA:
        return self.pipeline[-1]


@dataclass
class Report:
    """Says what happens, and keeps it for the folder."""

    folder: Path
    lines: list[str] = field(default_factory=list)
    start: float = field(default_factory=time.perf_counter)

    def say(self, text: str = "") -> None:
        """Print a line and keep it."""
        print(text, flush=True)
        self.lines.append(text)

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Head a part and say at its end how long it took."""
        begun = time.perf_counter()
        self.say(f"\n== {title}")
        yield
        self.say(f"   ({time.perf_counter() - begun:.1f} s)")

    def keep(self, name: str, table: Any, index: bool = False) -> None:
        """Write a table to the folder."""
        with replacing(self.folder / name) as temporary:
            table.to_csv(temporary, index=index)

    def close(self) -> None:
        """Say where everything is, and write the summary."""
        self.say(f"\nAll of this is in {self.folder.resolve()}  ({time.perf_counter() - self.start:.0f} s)")
        for path in sorted(path for path in self.folder.iterdir() if not path.name.startswith(".")):
            self.say(f"  {path.name}")
        self.save()

    def save(self) -> None:
        """Write what was said so far to the file by which the folder of a demo is known."""
        with replacing(self.folder / SUMMARY) as temporary:
            temporary.write_text("\n".join(self.lines).strip() + "\n", encoding="utf-8")


def run_demo(output: Path, *, quick: bool = False, overwrite: bool = True) -> Path:
    """Run the tutorial and keep what it finds.

    Parameters
    ----------
    output : path
        Folder for the results; made if missing.
    quick : bool, default=False
        Use an eighth of the sentences and a quarter of the components.
    overwrite : bool, default=True
        Whether the files of an earlier demo are replaced.

    Returns
    -------
    path
        The folder.

    Raises
    ------
    FileExistsError
        If `output` is a file, a folder of something else, or of an earlier demo that is not to be overwritten.
    OSError
        If another run is writing there, or there is no room or right to write.
    ImportError
        If the language-model or plotting packages are missing.
    """
    _check_packages()
    output = check_folder(output, SUMMARY, overwrite=overwrite)
    with locked(output):
        clear_leftovers(output, lambda name: name == SUMMARY or Path(name).suffix in _RESULTS, locked=True)
        probe(output, 2**24)
        report = Report(output)
        report.save()  # now, so that what is left of an interrupted demo is known for one
        fitted = fit(report, quick)
        recover(report, fitted)
        components = describe(report, fitted)
        picture(report, fitted, components)
        steer(report, fitted, components)
        report.close()
    return output


def _check_packages() -> None:
    """Heavy packages are needed at the end too; a missing one should not cost the minutes before."""
    for package in ("pandas", "matplotlib", "transformer_lens"):
        import_optional(package, "the demo")


def fit(report: Report, quick: bool) -> Fitted:
    """Texts to activations, to k-means, to the mixture, as one pipeline."""
    import joblib
    from sklearn.pipeline import Pipeline

    concepts: Any = datasets.load_concepts()
    stride, n_components = (QUICK["stride"], N_COMPONENTS // QUICK["components"]) if quick else (1, N_COMPONENTS)
    texts, labels = concepts.texts[::stride], concepts.labels[::stride]
    pipeline = Pipeline(
        [
            ("activations", ActivationExtractor(model="tiny_lm", layer=LAYER)),
            ("init", KMeansInitializer(n_clusters=n_components, random_state=SEED)),
            ("mfa", MFA(n_factors=N_FACTORS, tol=1e-2, random_state=SEED)),
        ]
    )
    # Stage by stage, to say how long each takes; `pipeline.fit(texts)` does the same in one go.
    extractor, kmeans, mfa = pipeline.named_steps.values()
    with report.stage(f"Activations: {len(texts):,} sentences on {len(concepts.target_names)} concepts, layer {LAYER}"):
        X = extractor.fit_transform(texts, labels)
        report.say(f"   {len(X):,} tokens, {X.shape[1]} numbers each")
    with report.stage(f"k-means: {n_components} clusters"):
        centered = kmeans.fit_transform(X)
    with report.stage(f"Mixture of factor analyzers: {n_components} components of {N_FACTORS} factors"):
        mfa.fit(centered)
        report.say(f"   {mfa.lower_bound_ - mfa.log_prior_:.2f} nats per token after {mfa.n_iter_} iterations")
    mfa.save_pretrained(report.folder / "mixture")
    with replacing(report.folder / "pipeline.joblib") as temporary:
        joblib.dump(pipeline, temporary)
    return Fitted(pipeline, X, kmeans.predict(X), concepts.words)


def content_words(activations: ActivationArray, words: dict[str, list[str]]) -> np.ndarray:
    """Which tokens are content words of their own sentence's concept, (n,) bool."""
    assert activations.tokens is not None and activations.labels is not None
    own = {concept: set(forms) for concept, forms in words.items()}
    pairs = zip(activations.tokens, activations.labels, strict=True)
    return np.array([token.strip().lower() in own[label] for token, label in pairs])


def recover(report: Report, fitted: Fitted) -> None:
    """Do the regions follow what the sentences are about? Nobody told the mixture."""
    import pandas as pd
    from sklearn.metrics import normalized_mutual_info_score

    content = content_words(fitted.activations, fitted.words)
    labels = np.asarray(fitted.activations.labels)[content]
    components = fitted.mfa.predict(fitted.activations[content])
    shuffled = np.random.default_rng(SEED).permutation(labels)
    found = {
        "components of the mixture": normalized_mutual_info_score(labels, components),
        "clusters of k-means": normalized_mutual_info_score(labels, fitted.clusters[content]),
        "components, labels shuffled": normalized_mutual_info_score(shuffled, components),
    }
    table = pd.DataFrame({"grouping": list(found), "nmi": list(found.values())})
    report.keep("recovery.csv", table)
    report.say(f"\n== Normalized mutual information with the sentence's concept, {content.sum():,} content words")
    for name, value in found.items():
        report.say(f"   {value:.3f}  {name}")


def describe(report: Report, fitted: Fitted) -> Any:
    """What each component is about; gives the table of each concept's component."""
    mfa, X = fitted.mfa, fitted.activations
    with report.stage("Meaning: some components, their tokens and concepts (components.csv has all)"):
        components = describe_components(mfa, X, n_tokens=8)
        tokens = top_tokens(mfa, X)
        by_concept = concept_components(mfa, X)
        shown = [*by_concept.nlargest(10, "llr")["component"], *components.nlargest(6, "size").index]
        report.say(components.loc[list(dict.fromkeys(shown))].to_string(max_colwidth=80))
        report.say("\n   The component of each concept, the clearest ten (concept_components.csv has all):")
        report.say(by_concept.nlargest(10, "llr").to_string(float_format="%.3g"))
        best = by_concept["llr"].idxmax()
        report.say(f"\n   Tokens of the component of {best!r} in their sentences (top_tokens.csv):")
        report.say(format_tokens(tokens[tokens["component"] == by_concept.loc[best, "component"]]))
    report.keep("components.csv", components, index=True)
    report.keep("top_tokens.csv", tokens)
    report.keep("top_concepts.csv", top_concepts(mfa, X))
    report.keep("concept_components.csv", by_concept, index=True)
    return by_concept


def picture(report: Report, fitted: Fitted, by_concept: Any) -> None:
    """The tokens of one component in its own subspace."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    concept = by_concept["llr"].idxmax()
    component = int(by_concept.loc[concept, "component"])
    with report.stage(f"Picture: component {component} ({concept}) in its own subspace"):
        display = SubspaceDisplay.from_estimator(
            fitted.mfa, fitted.activations, component, axes="principal", max_labels=120
        )
        # Drawn without a screen, whatever backend the user's matplotlib is set to.
        FigureCanvasAgg(display.figure_)
        with replacing(report.folder / "subspace.png") as temporary:
            display.figure_.savefig(temporary, dpi=120)
        report.say(f"   subspace.png: {display.projection}")


def steer(report: Report, fitted: Fitted, by_concept: Any) -> None:
    """Move the model's activations to a concept's component, and look at what it says."""
    steerer = MFASteerer(fitted.pipeline[0].load(), fitted.mfa)
    with report.stage(f"Steering: layer {LAYER}, alpha {ALPHA}, positions {POSITIONS!r}"):
        steer_logits(report, fitted, steerer, by_concept)
        steer_shares(report, steerer, by_concept, fitted.words)
        steer_texts(report, steerer, by_concept)


def steer_logits(report: Report, fitted: Fitted, steerer: MFASteerer, by_concept: Any) -> None:
    """Which tokens a move promotes: first to a region, then to a place inside it."""
    concept = by_concept["llr"].idxmax()
    component = int(by_concept.loc[concept, "component"])
    move: dict[str, Any] = {"component": component, "alpha": LOGIT_ALPHA, "positions": POSITIONS}
    centroid = steerer.logit_diff(PROMPTS[0], top_k=8, **move)
    # A place inside the region: where its own tokens lie farthest out along the first factor.
    own = fitted.activations[fitted.mfa.predict(fitted.activations) == component]
    scores = fitted.mfa.posterior_mean(own, component)
    farthest = np.abs(scores[:, 0]).argmax()
    two_stage = steerer.logit_diff(PROMPTS[0], top_k=8, z=scores[farthest], **move)
    report.keep("logit_diff.csv", centroid)
    report.keep("logit_diff_two_stage.csv", two_stage)
    report.say(f"   After {PROMPTS[0]!r}, with alpha {LOGIT_ALPHA}, logits change most for")
    place = own.tokens[farthest].strip()
    for name, table in ((f"centroid of {concept}", centroid), (f"and on to where {place!r} lies", two_stage)):
        rises, falls = table.nlargest(5, "change"), table.nsmallest(5, "change")
        report.say(f"   {name + ':':<32} {_changes(rises)}   ...   {_changes(falls)}")


def _changes(table: Any) -> str:
    pairs = zip(table["token"], table["change"], strict=True)
    return "   ".join(f"{token.strip()} {change:+.1f}" for token, change in pairs)


def steer_shares(report: Report, steerer: MFASteerer, by_concept: Any, words: dict[str, list[str]]) -> None:
    """The share of a concept's words among all concepts' words, before and after."""
    components = by_concept["component"].astype(int).to_dict()
    found = evaluate_steering(steerer, components, words, PROMPTS, alphas=[ALPHA], positions=[POSITIONS])
    report.keep("steering.csv", found)
    medians = found.groupby("target")[["share_next", "share_generated"]].median()
    report.say(f"\n   Share of a concept's words among all concepts' words, median of {len(components)} concepts:")
    report.say(f"   {'':32}next content word   20 tokens of text")
    names = {"none": "not steered", "random": "steered to a random component", "concept": "steered to its component"}
    for target, name in names.items():
        line = medians.loc[target]
        report.say(f"   {name:<32}{line.share_next:>17.1%}   {line.share_generated:>17.1%}")


def steer_texts(report: Report, steerer: MFASteerer, by_concept: Any) -> None:
    """What the model writes, before and after."""
    import pandas as pd

    lines = []
    for number, (concept, component) in enumerate(by_concept.nlargest(8, "llr")["component"].items()):
        prompt = PROMPTS[number % len(PROMPTS)]
        sampling: dict[str, Any] = {"max_new_tokens": 20, "random_state": SEED + number}
        move: dict[str, Any] = {"component": int(component), "alpha": ALPHA, "positions": POSITIONS}
        before = steerer.generate(prompt, alpha=0.0, **sampling)
        after = steerer.generate(prompt, **move, **sampling)
        lines.append({"concept": concept, "component": component, "before": before, "after": after})
        report.say(f"\n   to {concept} (component {component})\n     before: {before}\n     after:  {after}")
    report.keep("generated.csv", pd.DataFrame(lines))
