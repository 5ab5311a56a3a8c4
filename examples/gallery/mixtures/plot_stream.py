"""
Rows that come in a stream
==========================

``partial_fit`` learns from each batch once and forgets it. How near does it come to a fit that sees all rows at once,
again and again?
"""

# %%
# A stream and its judge
# ----------------------
#
# Rows of a mixture that is known, so that its own density of new rows says what the best possible is.

import matplotlib.pyplot as plt
import numpy as np

from mfa_sklearn import MFA, datasets

X, _, truth = datasets.make_mfa(24_000, 20, n_components=8, n_factors=3, random_state=0, return_params=True)
rows, new = X[:20_000], X[20_000:]
batches = np.array_split(rows, 40)

stream = MFA(n_components=8, n_factors=3, random_state=0)
seen, scores = [], []
for batch in batches:
    stream.partial_fit(batch)
    seen.append(len(batch) + (seen[-1] if seen else 0))
    scores.append(stream.score(new))

# %%
# All at once, and the truth
# --------------------------

whole = MFA(n_components=8, n_factors=3, random_state=0).fit(rows)
known = MFA.from_params(truth.weights, truth.means, truth.loadings, truth.noise_variance)

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.plot(seen, scores, "o-", color="#00569a", markersize=4, label="partial_fit, each batch once")
ax.axhline(whole.score(new), color="#f9ad04", linestyle="--", label=f"fit, {whole.n_iter_} times over all rows")
ax.axhline(known.score(new), color="black", linestyle=":", label="the mixture that made the rows")
ax.set(xlabel="rows seen", ylabel="log-likelihood of a new row, nats")
ax.legend(frameon=False, loc="lower right")
plt.show()
