"""Stage 1: from texts to activations.

A language model reads labeled sentences; every token becomes a row of numbers, the residual stream after one layer.
The rows know their token, its text and position, and the sentence's label, and keep them when rows are selected.

Each stage leaves its result in the folder `mfa-tutorial` for the next one, and first runs the stages it lacks.
"""

from __future__ import annotations

from pathlib import Path

import joblib

from mfa_sklearn import ActivationExtractor, datasets

# The model is one line. The embedded one needs no network and seconds:
MODEL, LAYER = datasets.tiny_lm(), 1
# MODEL, LAYER = "gpt2", 4
FOLDER = Path("mfa-tutorial")

# Your own texts: datasets.read_texts("texts.csv"), or any list of strings. Every fourth sentence keeps this short.
concepts = datasets.load_concepts()
texts, labels = concepts.texts[::4], concepts.labels[::4]

extractor = ActivationExtractor(model=MODEL, layer=LAYER, verbose=True)
X = extractor.fit_transform(texts, labels)

print(f"{len(texts):,} sentences gave {X.shape[0]:,} rows of {X.shape[1]} numbers")
print("where they come from:", {name: X.source[name] for name in ("layer", "site", "hooks", "dtype")})
print(X[:5].to_frame().iloc[:, :4].round(2).to_string())

FOLDER.mkdir(exist_ok=True)
joblib.dump((extractor, X), FOLDER / "activations.joblib")
