"""
A concept's region, from inside
===============================

Which region is about rivers, and what differs inside it? A region has a
subspace of its own, the few directions in which its rows vary; its tokens
can be drawn there.
"""

# %%
# Find the region
# ---------------
#
# Labels are not used in the fit. They say afterwards which region
# over-represents which concept.

import matplotlib.pyplot as plt

from mfa_sklearn import (
    MFA,
    ActivationExtractor,
    SubspaceDisplay,
    datasets,
    format_tokens,
    top_tokens,
)
from mfa_sklearn.interpret import concept_components

concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::2], concepts.labels[::2])
mfa = MFA(n_components=60, n_factors=6, annealing=1, random_state=0).fit(X)
regions = concept_components(mfa, X)
region = regions.loc["river"]
component = int(region["component"])
share = region["share"]
print(f"component {component}: {share:.0%} of its rows are about rivers")

# %%
# What it is about
# ----------------
#
# Tokens that come more often in this region than elsewhere, each in a text.

tokens = top_tokens(mfa, X, components=component, n_tokens=5, context=18)
print(format_tokens(tokens))

# %%
# What varies inside
# ------------------
#
# Along the two axes of largest variance. Tokens that mean alike lie close
# together.

SubspaceDisplay.from_estimator(mfa, X, component=component)
plt.show()
