"""
What a notebook shows
=====================

Rows and mixtures say what they are when they are the last line of a
notebook's cell: no call is needed to look at them.
"""

# %%
# Rows
# ----
#
# Texts, with the tokens that are rows shaded, and what every row knows of
# itself.

import textwrap

import matplotlib.pyplot as plt

from mfa_sklearn import (
    MFA,
    ActivationExtractor,
    datasets,
    describe_components,
)

plt.style.use("mfa_sklearn.displays")
concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::8], concepts.labels[::8])
X

# %%
# A mixture
# ---------
#
# What was fitted on what, and the heaviest components with the tokens that
# they over-represent.

mfa = MFA(n_components=40, n_factors=4, annealing=1, random_state=0).fit(X)
mfa

# %%
# All of it, as a table
# ---------------------
#
# ``describe_components`` has one line per component: weight, tokens,
# concepts, spread, neighbors and more. It is a pandas DataFrame, to be
# sorted, filtered and written to a file.

table = describe_components(mfa, X)
print(*textwrap.wrap(", ".join(table.columns), 76), sep="\n")

# %%

best = table.sort_values("purity", ascending=False).head()
best[["concept", "purity", "size", "dimension", "spread"]].round(2)

# %%
# Any two of its columns make a picture: regions of one concept are of
# middling size, the largest are of words that all texts have.

figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
points = ax.scatter("size", "share", c="dimension", s=36, data=table)
figure.colorbar(points, label="intrinsic dimension")
ax.set(xlabel="rows", ylabel="share with the first concept", ylim=(0, 1.03))
plt.show()
