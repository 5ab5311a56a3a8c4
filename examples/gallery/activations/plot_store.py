"""
Rows on disk, and a fit that never holds them all
=================================================

Activations are large: a billion rows of a small model are terabytes. A
store keeps them in a folder; fits and tables read it batch by batch.
"""

# %%
# Texts to a folder
# -----------------
#
# The extractor writes as it goes, in pieces, and goes on where it was if it
# was interrupted. What comes back acts like an array, but stays on disk.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from mfa_sklearn import MFA, ActivationExtractor, ActivationStore, datasets

plt.style.use("mfa_sklearn.displays")
concepts = datasets.load_concepts()
folder = tempfile.TemporaryDirectory()
extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
extractor.extract_to(folder.name, concepts.texts[::2], concepts.labels[::2])

store = ActivationStore(folder.name)
rows = store[1]
n_bytes = sum(
    file.stat().st_size for file in Path(folder.name).rglob("*.*")
)
print(rows.shape, rows.dtype, f"{n_bytes / 1e6:.0f} MB on disk")
print(rows[:6].tokens)

# %%
# Fit from disk
# -------------
#
# Whatever takes rows takes a store. A fit reads ``batch_size`` rows at a
# time and keeps its sums, so that memory does not grow with the rows.

mfa = MFA(40, 6, annealing=1, batch_size=2048, random_state=0).fit(store)
print(f"{mfa.n_iter_} iterations, {mfa.score(store):.2f} nats a row")

# %%
# Or once through, for rows that come faster than they can be kept:

stream = MFA(40, 6, random_state=0)
seen, scores = [0], []
for batch in rows.batches(2048, shuffle=True, random_state=0):
    stream.partial_fit(batch)
    seen.append(seen[-1] + len(batch))
    scores.append(stream.score(rows[::8]))

figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.plot(
    seen[1:], scores, "o-", markersize=4, label="partial_fit, once through"
)
label = f"fit from disk, {mfa.n_iter_} times through"
ax.axhline(mfa.score(rows[::8]), color="C1", linestyle="--", label=label)
ax.set(xlabel="rows read", ylabel="nats per row, every eighth row")
ax.legend(loc="lower right")
plt.show()

# %%
# Once through ends even a little higher than the fit here, which has
# another start and stays near it (``annealing=1``).
#
# The folder holds tokens, texts and labels as well, so that a region can be
# read without the model:

sizes = np.bincount(mfa.predict(store), minlength=40)
largest = int(sizes.argmax())
print(f"component {largest}, {sizes[largest]} rows:")
print(np.unique(rows.labels[mfa.predict(store) == largest])[:8])
folder.cleanup()
