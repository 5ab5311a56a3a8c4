"""
Does a region tell a concept's texts from others?
=================================================

A region is a detector: a text that has a row in it is about something. How
well does the best region of each concept find that concept's texts, among
texts that nobody has seen?
"""

# %%
# Fit on some texts, ask about others
# -----------------------------------
#
# ``concept_detection`` picks a detector for each concept on training texts,
# and tries it on held-out ones, against all others and against *hard
# negatives*, texts of the three nearest concepts.

import matplotlib.pyplot as plt
import numpy as np

from mfa_sklearn import (
    MFA,
    ActivationExtractor,
    KMeansInitializer,
    datasets,
)
from mfa_sklearn.evaluation import (
    LabeledRows,
    as_candidate,
    concept_detection,
)

plt.style.use("mfa_sklearn.displays")
concepts = datasets.load_concepts()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
X = extractor.fit_transform(concepts.texts[::4], concepts.labels[::4])
held_out = X.text_index % 3 == 0
train, test = (
    LabeledRows(rows, rows.labels, rows.text_index)
    for rows in (X[~held_out], X[held_out])
)
sizes = [10, 20, 40, 60]
found = {"mixture": [], "k-means": []}
for n in sizes:
    mixture = MFA(n, 6, annealing=1, random_state=0).fit(train.X)
    kmeans = KMeansInitializer(n, random_state=0).fit(train.X)
    for name, fit in {"mixture": mixture, "k-means": kmeans}.items():
        detection = concept_detection(as_candidate(fit), train, test)
        found[name].append(detection)

# %%
# How many regions does it take?
# ------------------------------
#
# An AUROC is the probability that a text about the concept scores higher
# than another one; a half is chance. With fewer regions than the forty
# concepts, several have to share one, and texts of near concepts are told
# apart less well. Mixture and k-means do this about equally well: k-means
# is a little ahead with few regions, the mixture with sixty.

figure, axes = plt.subplots(
    1, 2, figsize=(7, 3.2), sharex=True, sharey=True, layout="constrained"
)
kinds = {"against all texts": "auroc", "against the nearest": "hard_auroc"}
for ax, (title, kind) in zip(axes, kinds.items(), strict=True):
    for name, style in {"mixture": "o-", "k-means": "s--"}.items():
        means = [np.nanmean(getattr(each, kind)) for each in found[name]]
        ax.plot(sizes, means, style, label=name)
        print(f"{name}, {title}:", np.round(means, 3))
    ax.set(title=title, xlabel="regions", xticks=sizes)
axes[0].set_ylabel("AUROC, mean over concepts")
axes[0].legend(loc="lower right")
plt.show()

# %%
# Which concepts are hard?
# ------------------------
#
# With twenty regions, these concepts are mistaken for their neighbors most
# often by the mixture:

few = found["mixture"][sizes.index(20)]
for i in np.argsort(few.hard_auroc)[:5]:
    print(f"{few.concepts[i]}: {few.hard_auroc[i]:.2f}")
