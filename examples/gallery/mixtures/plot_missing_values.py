"""
Missing values, and how sure the answers are
============================================

A mixture needs no complete rows: it learns from what there is, and fills in the rest by its expected values, or by
draws that vary as the data do. Here values of which the truth is known are hidden, and asked for.
"""

# %%
# How near
# --------
#
# Twenty-four measurements of 569 tumors, in standard deviations of their columns. A growing share of all values is
# hidden, at random, and filled in in four ways. Each fits and answers on the same table. Perimeter and area follow
# from the radius and are left out.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_iterative_imputer
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from mfa_sklearn import MFA

tumors = load_breast_cancer()
follows = ["perimeter" in name or "area" in name for name in tumors.feature_names]
X = StandardScaler().fit_transform(tumors.data[:, np.invert(follows)])
options = {"tol": 1e-3, "max_iter": 500, "random_state": 0}


def hide(share):
    holes = X.copy()
    holes[np.random.default_rng(0).random(X.shape) < share] = np.nan
    return holes


ways = {
    "mean of the column": SimpleImputer().fit_transform,
    "10 nearest rows": KNNImputer(n_neighbors=10).fit_transform,
    "a regression for each column": IterativeImputer(max_iter=10, tol=0.2, random_state=0).fit_transform,
    "mixture of factor analyzers": lambda rows: MFA(3, 6, **options).fit(rows).impute(rows),
}
shares = [0.05, 0.2, 0.4]
errors = {name: [] for name in ways}
for share in shares:
    holes = hide(share)
    hidden = np.isnan(holes)
    for name, fill in ways.items():
        errors[name].append(np.sqrt(np.square(fill(holes) - X)[hidden].mean()))

# %%
# How sure
# --------
#
# One number is no answer to how far off it may be. ``impute(draw=True)`` draws from what the mixture thinks possible;
# between the 5 and the 95 % quantile of a hundred draws nine tenths of the hidden values should lie.

holes = hide(0.15)
hidden = np.isnan(holes)
mfa = MFA(3, 6, **options).fit(holes)
mfa.set_params(random_state=None)  # with a number, each call would draw the same
draws = np.stack([mfa.impute(holes, draw=True)[hidden] for _ in range(100)])
low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95], axis=0)
truth = X[hidden]
print(f"inside: {np.mean((low <= truth) & (truth <= high)):.1%} of {truth.size} hidden values")

# %%
# Side by side
# ------------

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
for (name, line), style in zip(errors.items(), ["o:", "s-.", "^--", "D-"], strict=True):
    left.plot(shares, line, style, label=name)
left.set(xlabel="share of values hidden", ylabel="error, standard deviations", ylim=0)
left.legend(fontsize="small", frameon=False)
some = np.random.default_rng(0).choice(truth.size, 150, replace=False)
bars = np.abs(np.stack([low, high]) - middle)[:, some]
right.errorbar(truth[some], middle[some], bars, fmt=".", color="#00569a", ecolor="#a2c4e0", elinewidth=1)
right.axline((0, 0), slope=1, color="black", linewidth=0.8)
right.set(xlabel="hidden value", ylabel="imputed: median, 5 to 95 % of draws")
plt.show()

# %%
# A regression for each column of all others is a little nearer. It gives one number for each hole, and a table of its
# own has to be fitted for it; the mixture was fitted once, and says how far off it may be.
