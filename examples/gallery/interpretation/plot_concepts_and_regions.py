"""
Concepts and regions
====================

Does a region have one concept, and a concept one region? The table of both
says so at a glance.
"""

# %%
# Fit without labels
# ------------------

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linear_sum_assignment

from mfa_sklearn import MFA, ActivationExtractor, datasets, top_concepts

plt.style.use("mfa_sklearn.displays")
concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::4], concepts.labels[::4])
mfa = MFA(n_components=60, n_factors=6, annealing=1, random_state=0).fit(X)

# %%
# Count with them
# ---------------
#
# ``top_concepts`` lists the labels that a component over-represents. A cell
# is the share of a region's rows that have the concept; regions are in the
# order in which they match concepts best, one to one, and those that match
# none come last.

table = top_concepts(mfa, X, n_concepts=None)
shares = table.pivot_table(
    index="label", columns="component", values="share", fill_value=0.0
)
rows, columns = linear_sum_assignment(-shares.to_numpy())
order = [*columns, *np.setdiff1d(np.arange(shares.shape[1]), columns)]
pure = np.mean(shares.max() > 0.9)
print(
    f"{pure:.0%} of {shares.shape[1]} regions: nine of ten rows one concept"
)

figure, ax = plt.subplots(figsize=(7, 6.2), layout="constrained")
image = ax.imshow(
    shares.to_numpy()[:, order], vmin=0, vmax=1, aspect="auto"
)
ax.grid(False)
ax.set_yticks(range(len(shares)), shares.index, fontsize=8)
ax.set(xlabel="region, in the order of matching", ylabel="concept")
figure.colorbar(image, ax=ax, label="share of the region's rows")
plt.show()
