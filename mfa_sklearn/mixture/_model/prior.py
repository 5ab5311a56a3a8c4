"""A prior on the noise: rows of a wider pool that it is lent.

Where a component has few rows, the noise variance that fits them best is too small for rows to come; and so is one that
all components share, where a column hardly varies but in a few rows, which factors explain. With a prior worth `a` rows
of the pooled noise psi of all components, or for shared noise of the columns' variance, the M-step is

    psi_k = (S_k + a psi) / (n_k + a),

S_k being what n_k rows leave over. It maximizes the expected log-likelihood plus

    log p(psi_k) = -a / 2 sum_d (log psi_kd + psi_d / psi_kd) + const = -a KL(N(0, psi) || N(0, psi_k)) + const,

a scaled inverse chi-squared density of each variance with `a` degrees of freedom, on the scale of logarithms (Smyth,
"Linear models and empirical Bayes methods for assessing differential expression", Stat. Appl. Genet. Mol. Biol. 3,
2004; for mixtures Fraley & Raftery, "Bayesian regularization for normal mixture estimation and model-based clustering",
J. Classif. 24, 2007). Shapes: K components, D features.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .params import Structure


class NoisePrior(NamedTuple):
    """Rows that each component is lent, and the noise that they have."""

    rows: float  # a
    pooled: Tensor | None = None  # (D,)  psi; None where it is what all components together leave over

    def mode(self, left: Tensor, mass: Tensor) -> Tensor:
        """Noise variances (K, D) that maximize likelihood and prior, given sums of squares (K, D) of mass (K, 1)."""
        pooled = left.sum(0) / mass.sum() if self.pooled is None else self.pooled
        return (left + self.rows * pooled) / (mass + self.rows)

    def log_density(self, noise: Tensor) -> float:
        """Log density of noise variances (K, D), summed, less its value where all are the pooled one."""
        if self.pooled is None or self.rows == 0:
            return 0.0
        return float(self.log_density_of(noise))

    def log_density_of(self, noise: Tensor) -> Tensor:
        """The same of a prior whose noise is known, differentiable."""
        assert self.pooled is not None
        ratio = self.pooled.to(noise) / noise
        return -0.5 * self.rows * (ratio - 1 - ratio.log()).sum()


def has_wider_pool(structure: Structure, n_components: int) -> bool:
    """Whether there is more to be lent from than the noise is of already."""
    return n_components > 1 and not (structure.shared_noise and structure.isotropic_noise)


def n_effective(prior_rows: float, rows: Tensor) -> float:
    """How many free noise variances per feature components with so many rows (K,) have under a prior.

    The share of its own rows in each component's noise, ``n_k / (n_k + a)``, and one for the pooled noise: all of K
    without a prior, one where it outweighs everything.
    """
    if prior_rows == 0:
        return float(len(rows))
    return min(float(len(rows)), float((rows / (rows + prior_rows)).sum()) + 1.0)
