"""
A map of all regions
====================

Sixty regions are too many to read one by one. On a map, near ones are near: it is made from the distances between the
Gaussians themselves, and no label is used.
"""

# %%
# Fit, and describe
# -----------------

import matplotlib.pyplot as plt

from mfa_sklearn import MFA, ActivationExtractor, ComponentMapDisplay, component_distances, datasets

concepts = datasets.load_concepts()
X = ActivationExtractor(datasets.tiny_lm(), layer=1).fit_transform(concepts.texts[::4], concepts.labels[::4])
mfa = MFA(n_components=60, n_factors=6, annealing=1, random_state=0).fit(X)
distances = component_distances(mfa)

# %%
# The map
# -------
#
# A point is a region, as large as its rows are many, and named by its first token. The color is the cluster it lies
# in.

ComponentMapDisplay.from_estimator(mfa, X, distances=distances)
plt.show()

# %%
# Which are neighbors?
# --------------------
#
# The pair that overlaps most may be one region cut in two.

near = distances.to_frame().query("component < other").nsmallest(5, "bhattacharyya")
print(near.round(2).to_string(index=False))
