"""Stage 3: what each component is about, by its tokens and by the labels of their sentences."""

from __future__ import annotations

import runpy
from pathlib import Path

import joblib

from mfa_sklearn import top_concepts, top_tokens
from mfa_sklearn.interpret import concept_components, describe_components, format_components, format_tokens

FOLDER, HERE = Path("mfa-tutorial"), Path(__file__).parent
if not (FOLDER / "pipeline.joblib").exists():
    runpy.run_path(str(HERE / "02_fit.py"))
_, X = joblib.load(FOLDER / "activations.joblib")
mfa = joblib.load(FOLDER / "pipeline.joblib")[-1]

components = describe_components(mfa, X)
print("One line per component, some of its columns:")
shown = ["tokens", "size", "sharpness", "n_enriched", "concepts"]
print(components.nlargest(15, "size")[shown].to_string(max_colwidth=60, float_format="%.3g"))

print("\nAll that is known of the largest:")
print(format_components(components.nlargest(1, "size")))

print("\nThe component that each concept belongs to most:")
by_concept = concept_components(mfa, X)
print(by_concept.nlargest(15, "llr").to_string(float_format="%.3g"))

component = int(by_concept.loc[by_concept["llr"].idxmax(), "component"])
print(f"\nThe tokens that component {component} over-represents, each in several sentences:")
print(format_tokens(top_tokens(mfa, X, components=component)))

print("\nIts most typical rows, by likelihood, drawn from its best 200:")
print(
    format_tokens(
        top_tokens(mfa, X, score="likelihood", aggregate="occurrence", components=component, pool=200, random_state=0)
    )
)

print("\nThe labels it over-represents:")
print(top_concepts(mfa, X, components=component).to_string(index=False, float_format="%.3g"))
