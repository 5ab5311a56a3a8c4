"""
Which concepts are enriched, beyond chance?
===========================================

A region that has a concept more often than other regions may have it by
chance, and of thousands of pairs some will. ``concept_enrichment`` tests
all of them, for regions of any kind: here a mixture's, those of k-means,
and those of the mixture after the texts' labels were shuffled, where
nothing is to be found.
"""

# %%
# Three times regions and labels
# ------------------------------
#
# Rows of one sentence are alike, so that a test that counts rows would find
# far too much. This one counts sentences.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from mfa_sklearn import (
    MFA,
    ActivationExtractor,
    KMeansInitializer,
    concept_enrichment,
    datasets,
)

plt.style.use("mfa_sklearn.displays")
concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::4], concepts.labels[::4])
mfa = MFA(60, 6, annealing=1, random_state=0).fit(X)
kmeans = KMeansInitializer(60, random_state=0).fit(X)
shuffled = np.random.default_rng(0).permutation(concepts.labels[::4])
candidates = {
    "mixture": (mfa.predict(X), X.labels),
    "k-means": (kmeans.predict(X), X.labels),
    "mixture, shuffled": (mfa.predict(X), shuffled[X.text_index]),
}
tables = {
    name: concept_enrichment(regions, labels, groups=X.text_index)
    for name, (regions, labels) in candidates.items()
}

# %%
# Count what survives
# -------------------
#
# ``q_value`` is adjusted for all pairs that were tested: of those with 0.05
# or less one in twenty is expected to be chance. How many regions and
# concepts have such a pair? Without the adjustment, sixty pairs of shuffled
# labels would pass for found.

lines = {}
for name, table in tables.items():
    found = table[table["q_value"] <= 0.05]
    lines[name] = {
        "pairs": len(table),
        "enriched": len(found),
        "regions": found["region"].nunique(),
        "concepts": found["label"].nunique(),
        "p <= 0.05": (table["p_value"] <= 0.05).sum(),
    }
print(pd.DataFrame(lines).T.to_string())

# %%
# Look at all p values at once
# ----------------------------
#
# If nothing is enriched, p values are no smaller than evenly spread ones,
# the diagonal. They are discrete, and many pairs cannot be small, so that
# shuffled labels stay above it.

figure, ax = plt.subplots(figsize=(6, 3.8), layout="constrained")
for (name, table), line in zip(
    tables.items(), ["-", "--", "-."], strict=True
):
    values = np.sort(np.clip(table["p_value"], 1e-12, 1))
    ax.plot(
        np.arange(1, len(values) + 1) / len(values),
        values,
        line,
        label=name,
    )
ax.plot([1e-4, 1], [1e-4, 1], ":", color="black", label="evenly spread")
ax.set(
    xscale="log", yscale="log", xlabel="share of pairs", ylabel="p value"
)
ax.set(xlim=(4e-4, 1), ylim=(1e-12, 2))
ax.legend(loc="lower right")
plt.show()
