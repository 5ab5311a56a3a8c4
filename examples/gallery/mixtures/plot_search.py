"""
How many components, how many factors
=====================================

Eight sizes are tried on rows of a mixture that is known, once by the
Bayesian information criterion and once by the log-likelihood of rows held
out.
"""

# %%
# Search
# ------
#
# The rows are of four components with two factors each. In life nobody
# tells; here it says which criterion is right.

import matplotlib.pyplot as plt

from mfa_sklearn import MFA, MFASearch, datasets

X, _ = datasets.make_mfa(
    1200, 10, n_components=4, n_factors=2, random_state=1
)
mfa = MFA(tol=1e-3, max_iter=1000, random_state=0)
sizes = {"n_components": [2, 3, 4, 5], "n_factors": [1, 2]}
searches = {
    criterion: MFASearch(mfa, criterion=criterion, **sizes).fit(X)
    for criterion in ("bic", "likelihood")
}
for criterion, search in searches.items():
    print(criterion, search.best_params_)

# %%
# Look at the curve
# -----------------
#
# Both are best at the truth. Beyond it held-out likelihood hardly falls,
# because a component too many does little harm where rows are plenty: of
# sizes within one standard error of the best, which the circle marks, take
# the smallest.

figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.8), layout="constrained")
for ax, search in zip(axes, searches.values(), strict=True):
    search.plot(ax)
plt.show()
