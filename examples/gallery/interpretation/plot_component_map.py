"""
A map of all regions
====================

Sixty regions are too many to read one by one. On a map, near ones are near:
it is made from the distances between the Gaussians themselves, and no label
is used.
"""

# %%
# Fit, and describe
# -----------------

import matplotlib.pyplot as plt

from mfa_sklearn import (
    MFA,
    ActivationExtractor,
    ComponentMapDisplay,
    component_distances,
    datasets,
    top_tokens,
)

concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::4], concepts.labels[::4])
mfa = MFA(n_components=60, n_factors=6, annealing=1, random_state=0).fit(X)
distances = component_distances(mfa)

# %%
# The map
# -------
#
# A point is a region, as large as its rows are many, and named by its first
# token. The color is the cluster it lies in.

ComponentMapDisplay.from_estimator(mfa, X, distances=distances)
plt.show()

# %%
# Which are neighbors?
# --------------------
#
# The pair that lies nearest may be one region cut in two: look at its
# tokens. Here even the nearest are far apart, a Bhattacharyya distance of
# 9.6 leaves an overlap of exp(-9.6) at most.

tokens = top_tokens(mfa, X, n_tokens=2)
first = tokens.groupby("component")["token"].agg("".join)
pairs = distances.to_frame().query("component < other")
near = pairs.nsmallest(5, "bhattacharyya").drop(
    columns=["symmetric_kl", "overlap", "mean", "covariance"]
)
for side in ("component", "other"):
    near[f"{side}'s tokens"] = near[side].map(first)
print(near.round(1).to_string(index=False))
