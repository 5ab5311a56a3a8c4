"""Stage 2: from activations to a mixture of factor analyzers.

k-means finds where the regions are, the mixture how each varies inside. The two are steps of a pipeline: k-means passes
the activations on with its centers attached, and the mixture starts from them.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import joblib
import numpy as np
from sklearn.pipeline import Pipeline

from mfa_sklearn import MFA, KMeansInitializer

N_COMPONENTS, N_FACTORS = 60, 6
FOLDER, HERE = Path("mfa-tutorial"), Path(__file__).parent
if not (FOLDER / "activations.joblib").exists():
    runpy.run_path(str(HERE / "01_extract.py"))
extractor, X = joblib.load(FOLDER / "activations.joblib")
extractor.set_params(verbose=False)

# annealing=1: each region stays where k-means put it. Without it regions move to where the likelihood is higher.
steps = [
    ("init", KMeansInitializer(n_clusters=N_COMPONENTS, random_state=0)),
    ("mfa", MFA(n_factors=N_FACTORS, annealing=1, random_state=0)),
]
# Sentences, not tokens, are held out: tokens of one sentence know each other.
held_out = np.asarray(X.text_index) % 10 == 0
fitted = Pipeline(steps).fit(X[~held_out])
print(f"{fitted[-1].n_iter_} iterations to {fitted.score(X[~held_out]):.2f} nats per row, ", end="")
print(f"held out {fitted.score(X[held_out]):.2f}")

# The other starts of the paper, without k-means: random points, and random parameters.
for init in ("random_from_data", "random"):
    other = MFA(n_components=N_COMPONENTS, n_factors=N_FACTORS, init=init, random_state=0).fit(X[~held_out])
    print(f"  init={init!r}: held out {other.score(X[held_out]):.2f}")
# The reference's way, minibatch gradients on the same likelihood; a few epochs are enough to see it fall.
gradient = MFA(n_factors=N_FACTORS, solver="gradient", max_iter=5, tol=0, random_state=0)
gradient.fit(fitted[0].transform(X[~held_out]))
print(f"  solver='gradient': held out {gradient.score(X[held_out]):.2f} after {gradient.n_iter_} epochs")

# With the extractor in front, the pipeline takes texts.
pipe = Pipeline([("activations", extractor), *fitted.steps])
print("components of the tokens of a new sentence:", pipe.predict(["The captain saw the harbour."]).tolist())
joblib.dump(pipe, FOLDER / "pipeline.joblib")
