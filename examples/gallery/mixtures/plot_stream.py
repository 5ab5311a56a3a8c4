"""
Rows that come in a stream
==========================

``partial_fit`` learns from each batch once and forgets it. How near does it
come to a fit that sees all rows at once, again and again?
"""

# %%
# A stream and its judge
# ----------------------
#
# Rows of a mixture that is known, so that its own density of new rows says
# what the best possible is.

import matplotlib.pyplot as plt
import numpy as np

from mfa_sklearn import MFA, datasets

plt.style.use("mfa_sklearn.displays")
X, _, truth = datasets.make_mfa(
    24_000,
    20,
    n_components=8,
    n_factors=3,
    random_state=0,
    return_params=True,
)
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
known = MFA.from_params(
    truth.weights, truth.means, truth.loadings, truth.noise_variance
)
best = known.score(new)
print(f"below the truth after the first batch: {best - scores[0]:.2f} nats")
print(f"after the last: {best - scores[-1]:.2f} nats")
print(f"fit on all rows at once: {best - whole.score(new):.2f} nats")

# %%
# A twentieth of the rows teaches most of what there is to learn; what is
# left goes slowly, because early batches are remembered only through the
# parameters.

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
label = "partial_fit, each batch once"
ax.plot(seen, scores, "o-", markersize=4, label=label)
label = f"fit, {whole.n_iter_} times over all rows"
ax.axhline(whole.score(new), color="C1", linestyle="--", label=label)
label = "the mixture that made the rows"
ax.axhline(best, color="black", linestyle=":", label=label)
ax.set(xlabel="rows seen", ylabel="log-likelihood of a new row, nats")
ax.legend(loc="lower right")
plt.show()
