"""
How a fit goes: hot, cold, and by gradient
==========================================

Annealing starts hot, so that rows may leave for other components, and cools down. Plain EM starts where the initial
centers are, and stays near them. Minibatch gradient ascent is what most code for such models does. All fit the same
rows.
"""

# %%
# Three fits
# ----------

import matplotlib.pyplot as plt

from mfa_sklearn import MFA, ConvergenceDisplay, datasets

X, _ = datasets.make_mfa(6000, 20, n_components=12, n_factors=3, separation=3.0, random_state=0)
sizes = {"n_components": 12, "n_factors": 3, "random_state": 0}
fits = {
    "annealed, as it comes": MFA(**sizes, max_iter=300).fit(X),
    "annealing=1": MFA(**sizes, annealing=1, max_iter=300).fit(X),
    'solver="gradient"': MFA(**sizes, solver="gradient", learning_rate=1e-2, max_iter=60, tol=0).fit(X),
}
for name, mfa in fits.items():
    print(f"{name}: {mfa.n_iter_} iterations, {mfa.score(X):.3f} nats a row")

# %%
# Look at them
# ------------
#
# The bound may fall while a fit is hot, because it is of another temperature. What counts is where it ends. An
# iteration of the gradient solver is an epoch.

ConvergenceDisplay.from_estimator(fits)
plt.show()
