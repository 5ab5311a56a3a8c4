"""
Clusters with a shape of their own
==================================

Three cultivars of wine, thirteen chemical measurements of each bottle, and
nobody says which bottle is which. A mixture of factor analyzers finds three
groups, and says along which directions each of them varies.
"""

# %%
# Fit
# ---
#
# Three components, two factors each. Columns are brought to one unit first,
# so that loadings can be compared.

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Ellipse
from scipy.stats import chi2
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from mfa_sklearn import MFA

plt.style.use("mfa_sklearn.displays")
wine = load_wine()
X = StandardScaler().fit_transform(wine.data)
mfa = MFA(
    n_components=3,
    n_factors=2,
    rotation="varimax",
    max_iter=500,
    random_state=0,
).fit(X)
components = mfa.predict(X)
agreement = adjusted_rand_score(wine.target, components)
print(
    f"agreement with the cultivars (adjusted Rand index): {agreement:.2f}"
)

# %%
# The groups
# ----------
#
# Thirteen columns do not fit on paper. These are their first two principal
# components: color is the group that was found, the marker the true
# cultivar, and each ellipse holds nine tenths of its component's density,
# as it looks from here.

plane = PCA(2).fit(X)
points, centers = plane.transform(X), plane.transform(mfa.means_)
figure, ax = plt.subplots(figsize=(7, 4.6), layout="constrained")
for k, color in enumerate(["C0", "C1", "C2"]):
    for cultivar, marker in enumerate("o^s"):
        chosen = (components == k) & (wine.target == cultivar)
        label = (
            f"component {k}, cultivar {cultivar}" if chosen.any() else None
        )
        ax.scatter(
            *points[chosen].T, s=26, c=color, marker=marker, label=label
        )
    covariance = (
        plane.components_ @ mfa.get_covariance(k) @ plane.components_.T
    )
    variance, axes = np.linalg.eigh(covariance)
    radii = 2 * np.sqrt(chi2.ppf(0.9, df=2) * variance)
    angle = np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))
    ax.add_patch(
        Ellipse(
            tuple(centers[k]),
            *radii,
            angle=angle,
            fill=False,
            color=color,
            linewidth=2,
        )
    )
ax.set(xlabel="principal component 1", ylabel="principal component 2")
ax.set_aspect("equal")
figure.legend(loc="outside right upper")
plt.show()

# %%
# What varies inside a group
# --------------------------
#
# A factor is a direction in which the wines of one group differ, its
# loadings say how each measurement moves along it. ``rotation="varimax"``
# turns the factors, so that each has few large loadings and can be named;
# no density changes.

figure, axes = plt.subplots(
    1, 3, figsize=(7, 4.2), sharey=True, layout="constrained"
)
for k, ax in enumerate(axes):
    image = ax.imshow(
        mfa.loadings_[k], cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto"
    )
    ax.grid(False)
    ax.set(title=f"component {k}\n{np.sum(components == k)} wines")
    ax.set(xticks=[0, 1], xlabel="factor")
names = [name.replace("_", " ") for name in wine.feature_names]
axes[0].set_yticks(range(X.shape[1]), names)
figure.colorbar(image, ax=axes, label="loading, SD of the column")
plt.show()
