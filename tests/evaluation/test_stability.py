"""Stability against regions that are known to agree or not, and against scikit-learn's scores of fits by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans, MeanShift
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from mfa_sklearn import MFA, KMeansInitializer
from mfa_sklearn.evaluation import stability
from mfa_sklearn.evaluation._held_out import hold_out, split_texts
from mfa_sklearn.evaluation._resampling import draw_texts
from mfa_sklearn.evaluation._stability import agreements

GROUPS = np.repeat(np.arange(60), 4)


def blobs(spread: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.repeat([[0.0, 0], [6, 0], [0, 6]], 80, axis=0) + spread * rng.normal(size=(240, 2))


class Stripes(ClusterMixin, BaseEstimator):
    """Regions that are the seed's own: bits of the row's number, and nothing that other seeds know of."""

    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def fit(self, X, y=None):
        self.labels_ = np.arange(2)
        return self

    def predict(self, X):
        return check_random_state(self.random_state).randint(2, size=1000)[np.asarray(X)[:, 0].astype(int)]


@pytest.mark.parametrize("estimator", [KMeans(3, n_init=5), make_pipeline(StandardScaler(), KMeans(3, n_init=5))])
def test_regions_that_are_there_are_found_again(estimator) -> None:
    found = stability(estimator, blobs(0.3), GROUPS, n_seeds=3, random_state=0)
    assert list(found) == ["seeds AMI", "seeds ARI", "halves AMI", "halves ARI"]
    np.testing.assert_allclose(list(found.values()), 1)
    assert not hasattr(estimator, "cluster_centers_")


def test_regions_of_the_seed_alone_agree_by_chance() -> None:
    """Halves share a seed, seeds share nothing."""
    X = np.arange(600.0)[:, None]
    found = stability(Stripes(), X, n_seeds=4, test_size=0.5, random_state=0)
    assert abs(found["seeds ARI"].value) < 0.02 and abs(found["seeds AMI"].value) < 0.02
    assert found["halves ARI"] == pytest.approx((1, 1, 1))


def test_agreement_by_hand() -> None:
    """Of the very fits: the same draws in the same order."""
    X, estimator = blobs(3.0), KMeans(5, n_init=1)
    rng = np.random.RandomState(0)
    held = hold_out(X, None, GROUPS, 0.2, rng)
    draw_texts(held.test.groups, 20, rng)
    seeds = rng.randint(2**31 - 1, size=3)
    halves = split_texts(held.train.groups, 0.5, rng)
    train, test = held.train.X, held.test.X

    def regions(rows, seed):
        return KMeans(5, n_init=1, random_state=seed).fit(rows).predict(test)

    found = stability(estimator, X, GROUPS, n_seeds=3, n_resamples=20, random_state=0)
    a, b = (regions(train[rows], seeds[0]) for rows in halves)
    assert found["halves AMI"].value == pytest.approx(adjusted_mutual_info_score(a, b))
    a, b, c = (regions(train, seed) for seed in seeds)
    expected = np.mean([adjusted_rand_score(*pair) for pair in ((a, b), (a, c), (b, c))])
    assert found["seeds ARI"].value == pytest.approx(expected)
    assert found["seeds ARI"].low < expected < found["seeds ARI"].high


def test_a_fit_that_is_there_is_one_of_the_seeds() -> None:
    held = hold_out(np.arange(200.0)[:, None], None, None, 0.5, 0)
    resamples = draw_texts(held.test.groups, 0)
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=2)
    second = Stripes(seeds[1]).fit(None).predict(held.test.X)
    found = agreements(Stripes(), held, resamples, 2, np.random.RandomState(0), first=second)
    assert found["seeds ARI"].tolist() == [1]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_mixture_and_the_start_within_it_are_seeded() -> None:
    mfa = MFA(3, 1, init=KMeansInitializer(random_state=5), max_iter=3, random_state=0)
    found = stability(mfa, blobs(1.0), GROUPS, n_resamples=5, random_state=0)
    assert found["seeds ARI"].value > 0.8
    assert mfa.init.random_state == 5 and mfa.random_state == 0


def test_without_a_seed_halves_alone_are_compared() -> None:
    for estimator, n_seeds in [(MeanShift(bandwidth=2.0), 2), (KMeans(3, n_init=1), 1)]:
        found = stability(estimator, blobs(0.3), GROUPS, n_seeds=n_seeds, n_resamples=2, random_state=0)
        assert list(found) == ["halves AMI", "halves ARI"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"estimator": PCA(1)}, TypeError, "has no predict"),
        ({"n_seeds": 0}, ValueError, "n_seeds=0 must be at least 1"),
        ({"confidence": 2}, ValueError, "confidence == 2"),
        ({"groups": [1]}, ValueError, "groups must hold one entry per row"),
        ({"groups": np.arange(240) // 120}, ValueError, "all 120 rows are of one text"),
    ],
)
def test_refusals(change: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        stability(**{"estimator": KMeans(3), "X": blobs(1.0), "groups": GROUPS, **change})
