"""Stage 4: a component's tokens in its own subspace, as pictures."""

from __future__ import annotations

import runpy
from pathlib import Path

import joblib
import matplotlib

matplotlib.use("agg")  # pictures go to files; leave this out in a notebook

from mfa_sklearn import SubspaceDisplay, project
from mfa_sklearn.interpret import concept_components

FOLDER, HERE = Path("mfa-tutorial"), Path(__file__).parent
if not (FOLDER / "pipeline.joblib").exists():
    runpy.run_path(str(HERE / "02_fit.py"))
_, X = joblib.load(FOLDER / "activations.joblib")
mfa = joblib.load(FOLDER / "pipeline.joblib")[-1]

by_concept = concept_components(mfa, X)
component = int(by_concept.loc[by_concept["llr"].idxmax(), "component"])

# The coordinates as numbers: z = E[factors | row, component].
projection = project(mfa, X, component)
print(projection)
print(projection.to_frame().head().round(2).to_string(index=False))

# Two of the factors as they were fitted, the subspace's principal axes, and three of those.
for name, factors, axes in [
    ("factors.png", (0, 1), "factors"),
    ("principal.png", (0, 1), "principal"),
    ("principal-3d.png", (0, 1, 2), "principal"),
]:
    display = SubspaceDisplay.from_estimator(mfa, X, component, factors=factors, axes=axes)
    display.figure_.savefig(FOLDER / name, dpi=120)
    print(f"{FOLDER / name}: {len(display.text_)} of {len(projection)} tokens written out")
