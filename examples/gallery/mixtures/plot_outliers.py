"""
Outliers: rows that no component explains
=========================================

An outlier is a row of low density. The mixture learns what is usual, and is shown what is not.
"""

# %%
# Learn what is usual
# -------------------
#
# Half of the benign tumors teach what benign looks like. The rest and all malignant ones are new. No detector sees a
# label.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.covariance import EmpiricalCovariance
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import RocCurveDisplay
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler

from mfa_sklearn import MFA, MFASearch

tumors = load_breast_cancer()
follows = ["perimeter" in name or "area" in name for name in tumors.feature_names]  # from the radius
X, y = tumors.data[:, np.invert(follows)], tumors.target
benign = np.flatnonzero(y == 1)
usual = benign[::2]
new = np.setdiff1d(np.arange(len(X)), usual)
X = StandardScaler().fit(X[usual]).transform(X)
malignant = y[new] == 0

mfa = MFASearch(MFA(tol=1e-3, max_iter=1000, random_state=0), [1, 2, 3], [2, 4, 6]).fit(X[usual]).best_estimator_
print(f"lowest BIC: n_components={mfa.n_components}, n_factors={mfa.n_factors}")
surprise = {
    "MFA": -mfa.score_samples(X[new]),
    "one Gaussian": EmpiricalCovariance().fit(X[usual]).mahalanobis(X[new]),
    "isolation forest": -IsolationForest(random_state=0).fit(X[usual]).score_samples(X[new]),
    "local outlier factor": -LocalOutlierFactor(novelty=True).fit(X[usual]).score_samples(X[new]),
}

# %%
# A threshold
# -----------
#
# What counts as low is for you to say: here, lower than 95 of 100 rows that were learned from.

threshold = np.quantile(mfa.score_samples(X[usual]), 0.05)
density = mfa.score_samples(X[new])
for name, chosen in {"benign": ~malignant, "malignant": malignant}.items():
    print(f"{name}: {np.mean(density[chosen] < threshold):.0%} of {chosen.sum()} new rows are below the threshold")

# %%
# Beside other detectors
# ----------------------

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
edges = np.linspace(np.quantile(density, 0.02), density.max(), 40)
for name, chosen, color in [("benign", ~malignant, "#00569a"), ("malignant", malignant, "#f9ad04")]:
    left.hist(np.clip(density[chosen], edges[0], None), edges, alpha=0.7, color=color, label=f"{name}, new")
left.axvline(threshold, color="black", linestyle="--", label="threshold")
left.set(xlabel="log density, nats", ylabel="rows")
left.legend(fontsize="small", frameon=False)
for (name, score), line in zip(surprise.items(), ["-", ":", "-.", "--"], strict=True):
    RocCurveDisplay.from_predictions(malignant, score, name=name, ax=right, curve_kwargs={"linestyle": line})
right.set(xlabel="share of benign taken for outliers", ylabel="share of malignant found")
right.legend(fontsize="small", frameon=False, loc="lower right")
plt.show()

# %%
# These rows are one cloud: the BIC takes one component, and a full Gaussian finds as much. A mixture pays where what is
# usual is of several kinds.
