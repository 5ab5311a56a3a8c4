"""
Eight structures: what components may share
===========================================

Components may share their factors or their noise, and features the variance
of it: three choices, eight structures. What is shared is estimated once,
which pays where rows are few.
"""

# %%
# Try all
# -------
#
# Thirteen measurements of 178 wines, three components with two factors
# each. A structure is written as three letters, for loadings, noise and the
# form of the noise. C stands for common, shared, isotropic; U for each its
# own. ``MFASearch`` tries them all.

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from mfa_sklearn import MFA, MFASearch

plt.style.use("mfa_sklearn.displays")
wine = load_wine()
X = StandardScaler().fit_transform(wine.data)
mfa = MFA(tol=1e-3, max_iter=2000, random_state=0)
search = MFASearch(mfa, [3], [2], structures="all").fit(X)
table = search.results_.sort_values("n_parameters")
columns = ["structure", "n_parameters", "log_likelihood", "bic"]
print(table[columns].round(1).to_string(index=False))

# %%
# Which is worth its parameters?
# ------------------------------
#
# The likelihood of the rows rises with the number of parameters, as it
# must. The Bayesian information criterion (BIC, lower is better) asks
# whether it rises enough. Here each component needs its own noise, and each
# feature too, but one set of factors does for all.

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.plot(table["n_parameters"], table["bic"], "o", markersize=7)
for i, (_, line) in enumerate(table.iterrows()):
    place = line["n_parameters"], line["bic"]
    beside = (7, -12 if i % 2 else 4)
    ax.annotate(
        line["structure"], place, beside, textcoords="offset points"
    )
ax.set(xlabel="parameters", ylabel="BIC (lower is better)")
ax.margins(0.1, 0.15)
plt.show()

# %%
# The cultivars were not looked at in the choice:

agreement = adjusted_rand_score(wine.target, search.predict(X))
print(f"agreement with them (adjusted Rand index): {agreement:.2f}")
for name, value in search.best_params_.items():
    print(f"{name}={value!r}")
