"""
Texts to rows, rows to regions
==============================

What comes of a text, word by word: each token is a row of activations, and each row lies in a region. Regions know
nothing of concepts; these sentences show what they found.
"""

# %%
# Rows that know where they come from
# -----------------------------------
#
# The extractor runs a language model, here the embedded one, and keeps what its layer 1 wrote. The rows are an array
# that knows its tokens, texts and labels.

import matplotlib.pyplot as plt
import numpy as np

from mfa_sklearn import MFA, ActivationExtractor, datasets
from mfa_sklearn.interpret import top_concepts

concepts = datasets.load_concepts()
extractor = ActivationExtractor(model=datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::4], concepts.labels[::4])
print(X.shape, X.tokens[:8], X.labels[0])

# %%
# Regions, found without the labels; then named by them.

mfa = MFA(n_components=60, n_factors=6, annealing=1, random_state=0).fit(X)
named = top_concepts(mfa, X, n_concepts=1).set_index("component")["label"]

# %%
# New sentences
# -------------
#
# Each changes its subject in the middle. Shading says how sure the mixture is of a token's region, and the word below
# what the region's rows are mostly about.

sentences = [
    "The canoe drifted down the river and the pitcher threw a fast ball.",
    "A banker approved the loan before the surgeon entered the hospital.",
]
new = extractor.transform(sentences)
regions, sure = mfa.predict(new), mfa.predict_proba(new).max(axis=1)

figure, axes = plt.subplots(2, 1, figsize=(9, 2.8), layout="constrained")
for i, ax in enumerate(axes):
    rows = np.flatnonzero(new.text_index == i)
    ax.imshow(sure[rows][None], cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
    for place, row in enumerate(rows):
        ax.text(place, -0.12, new.tokens[row].strip(), ha="center", va="center", fontsize=9)
        ax.text(place, 0.25, named.get(regions[row], ""), ha="center", va="center", fontsize=6, color="#444444")
    ax.set_axis_off()
plt.show()
