"""
Which layer?
============

The same texts, the same sizes, four layers: where do regions follow what a
text is about, and where what comes next?
"""

# %%
# All layers at once
# ------------------
#
# One run of the model writes the activations of all its layers into a
# folder. What comes back maps layers to rows, which stay on disk until they
# are read.

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import normalized_mutual_info_score

from mfa_sklearn import (
    MFA,
    ActivationExtractor,
    KMeansInitializer,
    datasets,
)

plt.style.use("mfa_sklearn.displays")
concepts = datasets.load_concepts()
texts, labels = concepts.texts[::8], concepts.labels[::8]
layers = [0, 1, 2, 3]
folder = tempfile.TemporaryDirectory()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=layers)
store = extractor.extract_to(folder.name, texts, labels)

# %%
# Fit, and compare
# ----------------
#
# Regions are fitted on three quarters of the texts, and judged on the rest:
# against the label of a token's text, and against the token that follows
# it. One is what a text is about, the other what the model has to say next.


def against(regions, rows):
    following = np.append(rows.tokens[1:], "")
    inner = np.append(rows.text_index[1:] == rows.text_index[:-1], False)
    topics = normalized_mutual_info_score(rows.labels, regions)
    return topics, normalized_mutual_info_score(
        following[inner], regions[inner]
    )


scores = {"k-means": [], "mixture": []}
for layer in layers:
    X = store.load(layer)
    train, new = X[X.text_index % 4 != 0], X[X.text_index % 4 == 0]
    kmeans = KMeansInitializer(n_clusters=40, random_state=0).fit(train)
    mfa = MFA(40, 4, annealing=1, tol=1e-1, max_iter=300, init=kmeans)
    mfa.fit(train)
    scores["k-means"].append(against(kmeans.predict(new), new))
    scores["mixture"].append(against(mfa.predict(new), new))
folder.cleanup()

# %%
# Up to layer 2 of this model regions are topics, because the last stage of
# its training asked for it; towards its output they are about the next
# token. It is the layer that decides: here a mixture and k-means, from
# which it starts, agree with both equally well. On a model of your own,
# look before you choose.

figure, axes = plt.subplots(
    1, 2, figsize=(7, 3.2), sharex=True, sharey=True, layout="constrained"
)
titles = ["Regions and the text's concept", "Regions and the next token"]
for column, (ax, title) in enumerate(zip(axes, titles, strict=True)):
    for name, style in {"mixture": "o-", "k-means": "s--"}.items():
        ax.plot(
            layers, np.array(scores[name])[:, column], style, label=name
        )
    ax.set(title=title, xlabel="layer", xticks=layers, ylim=(0, 1))
axes[0].set_ylabel("normalized mutual information")
axes[0].legend()
plt.show()
