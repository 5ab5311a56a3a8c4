"""MFA as an estimator for any table of numbers: clusters, densities, features. No language model is needed."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mfa_sklearn import MFA

# Clusters: three cultivars of wine, thirteen chemical measurements, nobody tells which is which.
X, y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X)
# Few rows in few clusters: k-means starts are good, so try some of them without annealing.
options = {"noise": "component", "annealing": 1.0, "tol": 1e-3, "random_state": 0}
mfa = MFA(n_components=3, n_factors=2, n_init=5, **options).fit(X)
kmeans = KMeans(3, n_init=10, random_state=0).fit(X)
print(f"wine, agreement with the cultivars (ARI): MFA {adjusted_rand_score(y, mfa.predict(X)):.3f}, ", end="")
print(f"k-means {adjusted_rand_score(y, kmeans.labels_):.3f}")

# How many components and factors: the Bayesian information criterion, or held-out likelihood by cross-validation.
bic = {(k, q): MFA(k, q, n_init=5, **options).fit(X).bic(X) for k in (1, 2, 3, 4) for q in (1, 2, 3)}
print("wine, lowest BIC at (components, factors) =", min(bic, key=bic.get))
grid = {"n_components": [1, 2, 3, 4], "n_factors": [1, 2]}
search = GridSearchCV(MFA(**options), grid, cv=KFold(5, shuffle=True, random_state=0)).fit(X)
print("wine, best held-out likelihood with", search.best_params_)

# Density: between a diagonal and a full covariance, where a full one has too many parameters.
digits, target = load_digits(return_X_y=True)
train, test = train_test_split(digits + np.random.default_rng(0).normal(size=digits.shape), random_state=0)
print("digits, held-out log-likelihood per image:")
for name, model in {
    "diagonal mixture, 20 components": GaussianMixture(20, covariance_type="diag", random_state=0),
    "full mixture, 20 components": GaussianMixture(20, reg_covar=1e-3, random_state=0),
    "factor analyzers, 20 components of 6": MFA(20, 6, noise="component", random_state=0, tol=1e-2),
}.items():
    print(f"  {model.fit(train).score(test):8.2f}  {name}")

# Features: per component its responsibility and factor scores, as a sparse code for any classifier.
pipe = make_pipeline(StandardScaler(), MFA(20, 6, random_state=0, tol=1e-2), LogisticRegression(max_iter=2000))
print(f"digits, accuracy of a linear classifier on the code: {cross_val_score(pipe, digits, target, cv=3).mean():.3f}")

# New rows from the mixture, and rows rebuilt from their codes.
rows, components = mfa.sample(5)
error = np.square(mfa.inverse_transform(mfa.transform(X)) - X).mean() / X.var()
print(f"wine, share of variance lost in the code: {error:.3f}; a sampled row of component {components[0]}:")
print(" ", np.round(rows[0], 2).tolist())
