"""Stage 5: steering the model with the mixture, by centroid and inside a region."""

from __future__ import annotations

import runpy
from pathlib import Path

import joblib

from mfa_sklearn import MFASteerer, top_tokens
from mfa_sklearn.interpret import concept_components

FOLDER, HERE = Path("mfa-tutorial"), Path(__file__).parent
PROMPT, ALPHA = "I think that", 0.6
if not (FOLDER / "pipeline.joblib").exists():
    runpy.run_path(str(HERE / "02_fit.py"))
_, X = joblib.load(FOLDER / "activations.joblib")
pipe = joblib.load(FOLDER / "pipeline.joblib")
mfa = pipe[-1]

# The steerer checks that the mixture was fitted on this model, and takes layer and site from it.
model = pipe[0].load()
steerer = MFASteerer(model, mfa)
by_concept = concept_components(mfa, X)
concept = by_concept["llr"].idxmax()
component = int(by_concept.loc[concept, "component"])

print(f"Centroid: {PROMPT!r} moved by {ALPHA} to component {component} ({concept})")
print(steerer.logit_diff(PROMPT, component=component, alpha=ALPHA, top_k=8).round(2).to_string(index=False))

# A place inside the region: the factor scores of the one of its top tokens that lies farthest out.
best = top_tokens(mfa, X, components=component)
z = mfa.posterior_mean(X[best["row"].to_numpy()], component)
target = (z**2).sum(1).argmax()
print(f"\nTwo-stage: the same, and inside the region to where {best['token'][target]!r} lies")
table = steerer.logit_diff(PROMPT, component=component, alpha=ALPHA, z=z[target], top_k=8)
print(table.round(2).to_string(index=False))
print("\nTwo factors by hand, as z={0: 2.0, 1: -1.0}: the largest changes of either sign")
table = steerer.logit_diff(PROMPT, component=component, alpha=ALPHA, z={0: 2.0, 1: -1.0}, top_k=8, by="absolute")
print(table.round(2).to_string(index=False))

print("\nText, with the same random numbers:")
print("  before:", steerer.generate(PROMPT, alpha=0.0, max_new_tokens=20, random_state=0))
print("  after: ", steerer.generate(PROMPT, component=component, alpha=ALPHA, max_new_tokens=20, random_state=0))

# Whatever the model runs inside the block is steered; the hooks come off at its end.
with steerer.steer(component=component, alpha=ALPHA, select="prompt") as steered:
    print("  prompt only:", model.generate(PROMPT, max_new_tokens=20, verbose=False))
print("  tokens that were moved:", int(steered.mask.sum()))
