"""What a mixture of factor analyzers has to be better than."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state

from .._base.checks import check_choice, check_count
from ..mixture import MFA, KMeansInitializer


def baselines(
    n_components: int,
    n_factors: int,
    *,
    noise: Literal["shared", "component"] = "shared",
    random_state: int | np.random.RandomState | None = None,
) -> dict[str, Any]:
    """Simpler estimators of the same size as a mixture of factor analyzers, not fitted.

    Parameters
    ----------
    n_components : int
        Components or clusters K.
    n_factors : int
        Factors q per component.
    noise : {"shared", "component"}, default="shared"
        Of the two mixtures among them, as in `MFA`.
    random_state : int, RandomState or None, default=None

    Returns
    -------
    dict of str to estimator
        "k-means"
            `KMeansInitializer`.
        "k-means + local PCA"
            The same clusters, and in each the loadings and the noise that `MFA` starts from: what a mixture would be if
            all came from the start. An `MFA` of no iterations.
        "diagonal mixture"
            An `MFA` without factors.
        "PCA"
            Of q + 1 components: a row is made from as many numbers as one is by a mixture, which are the number of its
            component and q factor scores. It stores K times fewer numbers.

    Raises
    ------
    TypeError, ValueError
        If a count is no integer of at least one (`n_factors`: of at least zero).

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from mfa_sklearn.evaluation import as_candidate, baselines
    >>> X, _ = load_wine(return_X_y=True)
    >>> for name, estimator in baselines(3, 2, random_state=0).items():
    ...     print(name, as_candidate(estimator.fit(X), X).sizes)
    k-means Sizes(regions=3, active=1, parameters=42)
    k-means + local PCA Sizes(regions=3, active=3, parameters=129)
    diagonal mixture Sizes(regions=3, active=1, parameters=54)
    PCA Sizes(regions=None, active=3, parameters=56)
    """
    n_components = check_count("n_components", n_components)
    n_factors = check_count("n_factors", n_factors, least=0)
    check_choice("noise", noise, ("shared", "component"))
    fixed = isinstance(random_state, int | np.integer)
    seed = int(random_state) if fixed else int(check_random_state(random_state).randint(2**31 - 1))  # type: ignore[arg-type]
    settings: dict[str, Any] = {"noise": noise, "random_state": seed}
    return {
        "k-means": KMeansInitializer(n_components, random_state=seed),
        "k-means + local PCA": MFA(
            n_components, n_factors, init=KMeansInitializer(random_state=seed), max_iter=0, **settings
        ),
        "diagonal mixture": MFA(n_components, 0, max_iter=500, **settings),
        "PCA": PCA(n_factors + 1, random_state=seed),
    }
