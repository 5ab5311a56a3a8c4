"""
The same regions from another start?
====================================

A mixture is found from a random start. What another start finds as well is
likelier to be there. ``match_components`` pairs the regions of two
mixtures, one to one.
"""

# %%
# Two starts
# ----------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

from mfa_sklearn import (
    MFA,
    ActivationExtractor,
    datasets,
    match_components,
    top_concepts,
)

plt.style.use("mfa_sklearn.displays")
concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::4], concepts.labels[::4])
first, second = (
    MFA(60, 6, annealing=1, random_state=seed).fit(X) for seed in (0, 1)
)
agreement = adjusted_mutual_info_score(first.predict(X), second.predict(X))
print(f"adjusted mutual information: {agreement:.2f}")

# %%
# Pairs
# -----
#
# The Jaccard index of a pair is the share of rows that both regions have,
# of those that either has: 1 is the same region. The concept is that of the
# first.

pairs = match_components(first, second, X)
best = top_concepts(first, X, n_concepts=1).set_index("component")
pairs["concept"] = pairs["component"].map(best["label"])
pairs["share"] = pairs["component"].map(best["share"])
ends = pairs.sort_values("jaccard").round(2).iloc[[0, 1, 2, -3, -2, -1]]
print(ends.to_string(index=False))

# %%
# Regions of one concept come again, nearly row by row. Those that mix
# concepts are cut differently by each start: do not build on one of them
# alone.

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
points = ax.scatter(
    pairs["size"], pairs["jaccard"], c=pairs["share"], s=36, vmin=0, vmax=1
)
figure.colorbar(points, label="share of its rows with one concept")
ax.set(xlabel="rows of the region", ylabel="Jaccard index", ylim=(0, 1.03))
plt.show()

pure = pairs["share"] > 0.9
for name, chosen in {"one concept": pure, "several": ~pure}.items():
    middle = np.median(pairs["jaccard"][chosen])
    print(f"{name}: {chosen.sum()} pairs, median Jaccard {middle:.2f}")
