"""
Texts to rows, rows to regions
==============================

What comes of a text, word by word: each token is a row of activations, and
each row lies in a region. Regions know nothing of concepts; these sentences
show what they found.
"""

# %%
# Rows that know where they come from
# -----------------------------------
#
# The extractor runs a language model, here the embedded one, and keeps what
# its layer 1 wrote. The rows are an array that knows its tokens, texts and
# labels.

import matplotlib.pyplot as plt
import numpy as np

from mfa_sklearn import MFA, ActivationExtractor, datasets
from mfa_sklearn.interpret import top_concepts

plt.style.use("mfa_sklearn.displays")
concepts = datasets.load_concepts()
extractor = ActivationExtractor(model=datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::4], concepts.labels[::4])
print(X.shape, X.tokens[:8], X.labels[0])

# %%
# Regions, found without the labels; then named by them.

mfa = MFA(n_components=60, n_factors=6, annealing=1, random_state=0).fit(X)
best = top_concepts(mfa, X, n_concepts=1).set_index("component")
named = best["label"].where(best["share"] > 0.5, "several")

# %%
# New sentences
# -------------
#
# Each changes its subject in the middle. The color of a token, and the word
# below it, is what its region's rows are mostly about, or "several" where
# none has half of them; the more saturated, the surer the mixture is of the
# region.

sentences = [
    "The ferryman paddled a canoe before the catcher saw a foul ball.",
    "This cashier cashed the deposit and two surgeons saw the cinema.",
]
new = extractor.transform(sentences)
regions, sure = mfa.predict(new), mfa.predict_proba(new).max(axis=1)
meant = named.reindex(regions).fillna("several").to_numpy()
subjects = [subject for subject in np.unique(meant) if subject != "several"]
colors = {subject: f"C{i}" for i, subject in enumerate(subjects)}

figure, axes = plt.subplots(2, 1, figsize=(7.4, 2), layout="constrained")
for i, ax in enumerate(axes):
    for place, row in enumerate(np.flatnonzero(new.text_index == i)):
        color = colors.get(meant[row], "#d9d9d9")
        ground = {"color": color, "alpha": 0.5 * sure[row], "linewidth": 0}
        ax.add_patch(plt.Rectangle((place, 0), 0.96, 1, **ground))
        middle = {"ha": "center", "va": "center"}
        ax.text(
            place + 0.48, 0.65, new.tokens[row].strip(), size=8, **middle
        )
        ax.text(place + 0.48, 0.25, meant[row], size=7, **middle)
    ax.set(xlim=(0, place + 1), ylim=(0, 1))
    ax.set_axis_off()
plt.show()
