"""
Watching a fit: callbacks and TensorBoard
=========================================

A long fit is watched while it goes on. scikit-learn's callbacks are told of
each iteration; this one writes curves for TensorBoard. Rows that are held
out show whether what is gained holds for rows that were not fitted on.
"""

# %%
# A callback
# ----------
#
# ``fitted_estimator`` is the mixture as if the fit had ended there. It is
# only made for callbacks that ask for it.
# ``torch.utils.tensorboard.SummaryWriter("runs")`` is such a writer, where
# TensorBoard is installed.

from collections import defaultdict

import matplotlib.pyplot as plt

from mfa_sklearn import MFA, datasets

plt.style.use("mfa_sklearn.displays")


class Curves:
    """Writes what each iteration came to.

    Parameters
    ----------
    writer : object
        With a method ``add_scalar(name, value, step)``.
    """

    def __init__(self, writer):
        self.writer = writer

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name != "iteration":
            return
        mfa, step = fitted_estimator, fitted_estimator.n_iter_
        figures = {
            "log-likelihood/rows fitted on": mfa.lower_bounds_[-1],
            "log-likelihood/rows held out": mfa.history_["held_out"][-1],
            "temperature": mfa.history_["temperature"][-1],
        }
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)


# %%
# Any writer will do
# ------------------
#
# This page is made without TensorBoard, so a dictionary takes its place.


class Written:
    """Keeps curves in memory."""

    def __init__(self):
        self.curves = defaultdict(list)

    def add_scalar(self, name, value, step):
        self.curves[name].append((step, value))


X, _ = datasets.make_mfa(
    1200, 20, n_components=12, n_factors=3, separation=2.0, random_state=0
)
written = Written()
mfa = MFA(
    n_components=24,
    n_factors=4,
    noise="component",
    noise_prior=None,
    max_iter=60,
    tol=0,
    held_out=0.25,
    random_state=0,
)
mfa.set_callbacks(Curves(written)).fit(X)

# %%
# What it shows
# -------------
#
# Twice as many components as there are, without a prior on their noise: the
# likelihood of the rows that are fitted on rises to the end, that of the
# rows held out has its best long before. A callback that returns True ends
# the fit.

fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for ax, name in zip(axes, ("rows fitted on", "rows held out"), strict=True):
    steps, values = zip(
        *written.curves[f"log-likelihood/{name}"], strict=True
    )
    ax.plot(steps, values)
    ax.set_title(name)
    ax.set_xlabel("iteration")
held_out = mfa.history_["held_out"]
best = held_out.index(max(held_out))
axes[1].plot(best + 1, held_out[best], "o")
axes[0].set_ylabel("log-likelihood (nats per row)")
plt.show()
