"""The estimators that stand beside a mixture."""

from __future__ import annotations

import numpy as np
import pytest

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa
from mfa_sklearn.evaluation import as_candidate, baselines

X, _ = make_mfa(300, 6, 3, 2, random_state=0)


def test_the_local_charts_lie_in_the_clusters() -> None:
    """Where every row is certain of its component, means of no iterations are the means of the clusters."""
    found = {name: estimator.fit(X) for name, estimator in baselines(3, 2, random_state=0).items()}
    kmeans, charts = found["k-means"], found["k-means + local PCA"]
    assert charts.n_iter_ == 0 and charts.loadings_.shape == (3, 6, 2)
    means = np.stack([X[kmeans.labels_ == k].mean(0) for k in range(3)])
    np.testing.assert_allclose(charts.means_, means, atol=1e-6)
    np.testing.assert_allclose(charts.weights_, np.bincount(kmeans.labels_) / 300)


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_they_are_of_the_size_that_was_asked_for(noise: str) -> None:
    found = baselines(3, 2, noise=noise, random_state=0)
    sizes = {name: as_candidate(estimator.fit(X), X).sizes for name, estimator in found.items()}
    assert [size.regions for size in sizes.values()] == [3, 3, 3, None]
    assert sizes["PCA"].active == sizes["k-means + local PCA"].active == 3
    assert {estimator.noise for estimator in found.values() if isinstance(estimator, MFA)} == {noise}


def test_one_seed_is_drawn_for_all() -> None:
    for state in (None, np.random.RandomState(3), 5, np.int64(5)):
        seeds = {estimator.random_state for estimator in baselines(2, 1, random_state=state).values()}
        assert len(seeds) == 1 and isinstance(seeds.pop(), int)


def test_counts_and_noise_are_checked() -> None:
    with pytest.raises(ValueError, match="n_components=0 must be at least 1"):
        baselines(0, 1)
    with pytest.raises(TypeError, match=r"n_factors=\[1, 2\] must be an integer"):
        baselines(2, [1, 2])
    with pytest.raises(ValueError, match="noise='none' is unknown"):
        baselines(2, 1, noise="none")
