"""
Some columns, given the others: where a regression has several answers
======================================================================

How far must the arm of a robot bend for its hand to be *here*? Often there
are several ways, and their average is none of them. ``condition`` gives the
whole distribution of some columns, given the others, exactly: again a
mixture.
"""

# %%
# A relation that cannot be inverted
# ----------------------------------
#
# The position follows from the angle; for a position between 0.3 and 0.7
# there are three angles.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from mfa_sklearn import MFA, DensityDisplay

plt.style.use("mfa_sklearn.displays")
random = np.random.default_rng(0)
angle = random.uniform(0, 1, 1500)
position = (
    angle + 0.3 * np.sin(2 * np.pi * angle) + random.normal(0, 0.03, 1500)
)
X = np.column_stack([position, angle])
mfa = MFA(
    n_components=12,
    n_factors=1,
    noise="component",
    max_iter=500,
    random_state=0,
).fit(X)

# %%
# Ask
# ---
#
# NaN marks what is asked for. For each row of the query there is a mixture:
# its weights, its means, its density.

places = np.linspace(-0.05, 1.05, 200)
answer = mfa.condition(np.column_stack([places, np.full(200, np.nan)]))
angles = np.linspace(-0.05, 1.05, 200)
log_density = [
    answer.log_prob(np.full((200, 1), value)) for value in angles
]
density = np.exp(log_density)
mean = answer.mean()[:, 0]
boosting = HistGradientBoostingRegressor(random_state=0)
regression = boosting.fit(position[:, None], angle).predict(places[:, None])

# %%
# The mean of the answers is where none of them is, and a regression, which
# gives a mean, can do no better.

figure, axes = plt.subplots(
    1, 2, figsize=(7.4, 3.6), sharex=True, sharey=True, layout="constrained"
)
axes[0].scatter(*X.T, s=4, c="#b8b8b8")
axes[0].plot(places, regression, color="C5", label="gradient boosting")
axes[0].plot(
    places, mean, "--", color="C0", label="mean of the mixture's answer"
)
axes[0].set(
    xlabel="position", ylabel="angle", title="The rows, and two means"
)
axes[0].legend(loc="lower right")
most = np.quantile(density, 0.97)
image = axes[1].pcolormesh(
    places, angles, density, vmax=most, rasterized=True
)
axes[1].grid(False)
axes[1].set(xlabel="position", title="Density of the angle")
figure.colorbar(
    image, ax=axes[1], label="density, given the position", extend="max"
)
plt.show()

# %%
# One answer
# ----------
#
# ``DensityDisplay`` draws the density of one column or two, as it is or
# given values of others.

DensityDisplay.from_estimator(mfa, 1, given={0: 0.5}, X=X)
plt.show()
