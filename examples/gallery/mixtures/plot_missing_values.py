"""
Missing values, and how sure the answers are
============================================

A mixture needs no complete rows: it learns from what there is, and fills in
the rest by its expected values, or by draws that vary as the data do. Here
values of which the truth is known are hidden, and asked for.
"""

# %%
# How near
# --------
#
# Twenty-four measurements of 569 tumors, in standard deviations of their
# columns. A growing share of all values is hidden, at random, and filled in
# in four ways. Each fits and answers on the same table. Perimeter and area
# follow from the radius and are left out.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_iterative_imputer
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from mfa_sklearn import MFA

plt.style.use("mfa_sklearn.displays")
tumors = load_breast_cancer()
names = tumors.feature_names
follows = ["perimeter" in name or "area" in name for name in names]
X = StandardScaler().fit_transform(tumors.data[:, np.invert(follows)])
options = {"tol": 1e-3, "max_iter": 500, "random_state": 0}


def hide(share):
    holes = X.copy()
    holes[np.random.default_rng(0).random(X.shape) < share] = np.nan
    return holes


regressions = IterativeImputer(max_iter=10, tol=0.2, random_state=0)
ways = {
    "mixture": lambda rows: MFA(3, 6, **options).fit(rows).impute(rows),
    "a regression per column": regressions.fit_transform,
    "10 nearest rows": KNNImputer(n_neighbors=10).fit_transform,
    "mean of the column": SimpleImputer().fit_transform,
}
shares = [0.05, 0.2, 0.4]
errors = {name: [] for name in ways}
for share in shares:
    holes = hide(share)
    hidden = np.isnan(holes)
    for name, fill in ways.items():
        error = np.square(fill(holes) - X)[hidden].mean()
        errors[name].append(np.sqrt(error))

# %%
# How sure
# --------
#
# One number is no answer to how far off it may be. ``impute(draw=True)``
# draws from what the mixture thinks possible; between the 5 and the 95 %
# quantile of the draws nine tenths of the hidden values should lie. (Of a
# hundred draws, numpy's usual quantiles hold but 88 % even where everything
# is right; those by the method "weibull" hold 90.)

holes = hide(0.15)
hidden = np.isnan(holes)
truth = X[hidden]
intervals = {}
for n_components in (1, 3):
    mfa = MFA(n_components, 6, **options).fit(holes)
    # With a number for random_state, each call would draw the same.
    mfa.set_params(random_state=None)
    draws = [mfa.impute(holes, draw=True)[hidden] for _ in range(100)]
    low, middle, high = np.quantile(
        draws, [0.05, 0.5, 0.95], axis=0, method="weibull"
    )
    inside = np.mean((low <= truth) & (truth <= high))
    print(
        f"n_components={n_components}: {inside:.1%} of {truth.size} inside"
    )
    intervals[n_components] = low, middle, high

# %%
# With three components the intervals are too narrow. Draws take what was
# fitted for the truth, and three components have many parameters for 569
# rows: means, loadings and noise that follow these rows too closely leave
# too little room. One component is wide enough on the whole. Neither knows
# how heavy the tails of these columns are: of the values outside, some are
# far outside. Where intervals matter, measure them like this, on values
# that you hide.

figure, (left, right) = plt.subplots(
    1, 2, figsize=(7.4, 3.6), layout="constrained"
)
styles = ["D-", "^--", "s-.", "o:"]
for (name, line), style in zip(errors.items(), styles, strict=True):
    left.plot(shares, line, style, label=name)
left.set(xlabel="share of values hidden", ylabel="error, SD", ylim=(0, 1.5))
left.legend(loc="upper left")
low, middle, high = intervals[3]
some = np.random.default_rng(0).choice(truth.size, 150, replace=False)
bars = np.abs(np.stack([low, high]) - middle)[:, some]
right.errorbar(
    truth[some], middle[some], bars, fmt=".", ecolor="C6", elinewidth=1
)
right.axline((0, 0), slope=1, color="black", linewidth=0.8)
right.set(xlabel="hidden value, SD", ylabel="median of draws, 5 to 95 %")
plt.show()

# %%
# A regression for each column of all others is a little nearer. It gives
# one number for each hole, and a table of its own has to be fitted for it;
# the mixture was fitted once, and says, if not quite exactly, how far off
# it may be.
