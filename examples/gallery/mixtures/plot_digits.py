"""
What a factor does: handwritten digits
======================================

A component is a kind of image, a factor a way in which images of that kind
differ. Both can be looked at.
"""

# %%
# Fit
# ---
#
# 1,797 images of 8 x 8 pixels. Pixels at the rim are blank in nearly all
# images; one noise variance for all pixels, ``noise_form="isotropic"``,
# keeps a component from being sure of them without reason.

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from mfa_sklearn import MFA

plt.style.use("mfa_sklearn.displays")
digits = load_digits()
mfa = MFA(
    n_components=15,
    n_factors=6,
    noise_form="isotropic",
    max_iter=500,
    random_state=0,
).fit(digits.data)
components = mfa.predict(digits.data)
agreement = adjusted_rand_score(digits.target, components)
print(f"agreement with the digits (adjusted Rand index): {agreement:.2f}")

# %%
# Walk along the factors
# ----------------------
#
# For three large components: the mean in the middle, and from left to right
# two standard deviations along each of the first two factors. Slant, width
# and the size of a loop come out by themselves.

largest = np.argsort(np.bincount(components, minlength=15))[::-1][:3]
steps = np.linspace(-2, 2, 7)
figure, axes = plt.subplots(6, 7, figsize=(6, 5.6), layout="constrained")
for row, (k, factor) in enumerate(product(largest, (0, 1))):
    for ax, step in zip(axes[row], steps, strict=True):
        image = mfa.means_[k] + step * mfa.loadings_[k, :, factor]
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    place = {"rotation": 0, "ha": "right", "va": "center"}
    name = f"component {k}\nfactor {factor}"
    axes[row, 0].set_ylabel(name, fontsize="small", **place)
for ax, step in zip(axes[0], steps, strict=True):
    ax.set_title(f"{step:+.1f} sd" if step else "mean", fontsize="small")
plt.show()

# %%
# New images
# ----------
#
# A mixture is a density, so it can be drawn from. Noise is left out here:
# ``reconstruct`` gives what the factors say.

drawn, _ = mfa.sample(30)
figure, axes = plt.subplots(3, 10, figsize=(7, 2.3), layout="constrained")
for ax, image in zip(axes.flat, mfa.reconstruct(drawn), strict=True):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
    ax.set_axis_off()
plt.show()
