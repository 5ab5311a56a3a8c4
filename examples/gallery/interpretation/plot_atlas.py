"""
An atlas of regions, to browse
==============================

A map, a table to search, and a page for each region: one HTML file that
opens without a network, to look at or to send to somebody.
"""

# %%
# Fit
# ---
#
# Thirty regions make a small atlas; five hundred work as well.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from mfa_sklearn import (
    MFA,
    ActivationExtractor,
    ComponentMapDisplay,
    datasets,
    write_atlas,
)

concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::8], concepts.labels[::8])
mfa = MFA(n_components=30, n_factors=4, annealing=1, random_state=0).fit(X)

# %%
# On paper a mixture is a map.

ComponentMapDisplay.from_estimator(mfa, X)
plt.show()

# %%
# Write
# -----
#
# With the model, each page also has the tokens that steering to its region
# promotes.

page = Path(tempfile.mkdtemp(), "atlas.html")
write_atlas(
    mfa,
    X,
    page,
    model=extractor.load(),
    title="Thirty regions of a small model",
    n_contexts=4,
    n_points=100,
)
print(f"{page.stat().st_size / 1e6:.1f} MB")

# %%
# Here it is. Click on a region, or search for a word such as *river*. From
# a shell, ``mfa-sklearn atlas`` writes the same.
