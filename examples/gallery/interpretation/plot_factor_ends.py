"""
What a factor means: its two ends
=================================

A factor is a direction inside a region. To see what it is about, compare
the tokens at its one end with those at the other.
"""

# %%
# A region
# --------

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from mfa_sklearn import (
    MFA,
    ActivationExtractor,
    FactorEndsDisplay,
    datasets,
    factor_ends,
)
from mfa_sklearn.interpret import concept_components

concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::2], concepts.labels[::2])
mfa = MFA(n_components=60, n_factors=6, annealing=1, random_state=0).fit(X)
component = int(concept_components(mfa, X).loc["river", "component"])

# %%
# Its ends
# --------
#
# Each line is a principal axis of the region, the most important first; at
# its ends stand the tokens that are found there more often than elsewhere
# in the region.

FactorEndsDisplay.from_estimator(mfa, X, component)
plt.show()

# %%
# The same as a table:

ends = factor_ends(mfa, X, components=component)
print(
    ends[["factor", "end", "share", "tokens"]]
    .round(2)
    .to_string(index=False)
)

# %%
# Of a table of numbers
# ---------------------
#
# There are no tokens; the columns that move along the axis say what it is.

wine = load_wine(as_frame=True).data
wine[:] = StandardScaler().fit_transform(wine)
bottles = MFA(3, 2, max_iter=500, random_state=0).fit(wine)
FactorEndsDisplay.from_estimator(bottles, wine, 0)
plt.show()
