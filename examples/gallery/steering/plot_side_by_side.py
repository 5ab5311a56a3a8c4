"""
Steered texts, side by side
===========================

What does a model write when it is pushed towards a region? ``compare`` lets
it write behind the same prompts, with the same random numbers, as it is and
under several steerings.
"""

# %%
# A model, a mixture, a concept
# -----------------------------

import matplotlib.pyplot as plt
import numpy as np

from mfa_sklearn import MFA, ActivationExtractor, MFASteerer, datasets
from mfa_sklearn.steering import Gate, compare, concept_regions

plt.style.use("mfa_sklearn.displays")
concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::4], concepts.labels[::4])
mfa = MFA(n_components=60, n_factors=6, annealing=1, random_state=0).fit(X)
steerer = MFASteerer(extractor.load(), mfa)
river = concept_regions(mfa, X)["river"]
purity = concept_regions(mfa, X, weights="purity")["river"]

# %%
# Three ways
# ----------
#
# Weakly, strongly, and strongly behind a gate that leaves alone what is in
# a region of the concept already.

gate = Gate(purity, below=0.5)
steerings = {
    "weak": steerer.steer(river, 1, method="direction"),
    "strong": steerer.steer(river, 3, method="direction"),
    "gated": steerer.steer(river, 3, method="direction", gate=gate),
}
prompts = ["I think that", "My friend told me that", "In the end"]
texts = compare(prompts, steerings, max_new_tokens=12)

# %%
# In a notebook, the comparison shows itself:

texts

# %%
# How much of it is about rivers?
# -------------------------------
#
# One text is an anecdote. Here are sixty for each way, and the share of
# their words that belong to the concept. A strong push goes on while the
# model writes, and the text ends as a list of the concept's words; the gate
# stops that.

many = compare(prompts * 20, steerings, max_new_tokens=12).to_frame()
words = set(concepts.words["river"])
many["share"] = [
    np.mean([word.strip(".,?").lower() in words for word in text.split()])
    for text in many["new_text"]
]
shares = many.groupby("steering", sort=False)["share"]
print(shares.mean().round(2).to_string())

figure, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
names, groups = zip(*shares, strict=True)
ax.boxplot(
    groups, orientation="horizontal", tick_labels=names, showmeans=True
)
ax.set(xlabel="share of a text's words that are about rivers")
ax.invert_yaxis()
plt.show()
