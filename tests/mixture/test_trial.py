"""What fits of a search share, and their criteria in one pass."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from search_cases import X, small
from sklearn.base import clone
from sklearn.cluster import KMeans

from mfa_sklearn import MFASearch
from mfa_sklearn.mixture._rows import Batches
from mfa_sklearn.mixture._start import start as start_module
from mfa_sklearn.mixture._trial import fit_group


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_criteria_in_one_pass_are_those_of_the_estimator(dtype):
    rows = ((X - X.mean(0)) / X.std(0)).astype(dtype)
    mfa = small(n_components=3, n_factors=2).fit(rows)
    criteria = mfa._criteria(rows)
    for name in ("aic", "bic", "icl"):
        assert criteria[name] == pytest.approx(getattr(mfa, name)(rows), rel=1e-6)
    assert criteria["icl"] > criteria["bic"]
    assert criteria["log_likelihood"] == pytest.approx(mfa.score(rows) * len(rows), rel=1e-6)


class CountedKMeans(KMeans):
    """k-means that counts how often it is fitted."""

    fits: list[int] = []  # noqa: RUF012

    def fit(self, X, y=None, sample_weight=None):
        self.fits.append(self.n_clusters)
        return super().fit(X, y, sample_weight)


@pytest.mark.filterwarnings("ignore:the noise variance of features")
def test_an_initializer_runs_once_per_size_and_split():
    init = CountedKMeans(n_init=1, random_state=0)
    CountedKMeans.fits.clear()
    search = MFASearch(small(init=init), (2, 3), (0, 1, 2), structures=["UCU", "UUC"]).fit(X)
    assert CountedKMeans.fits == [2, 3]
    assert type(search.best_estimator_.init) is CountedKMeans
    CountedKMeans.fits.clear()
    MFASearch(small(init=init), (2, 3), (0, 1, 2), criterion="likelihood", cv=2).fit(X)
    assert CountedKMeans.fits[:4] == [2, 3, 2, 3] and len(CountedKMeans.fits) == 4 + 1  # and the last fit


@pytest.mark.parametrize("structures, runs", [(None, [2, 3]), (["UCU", "CUU"], [2, 3]), (["UCU", "UCC"], [2, 2, 3, 3])])
def test_the_named_start_runs_once_per_size(monkeypatch, structures, runs):
    """Once more for isotropic noise, whose rows are in other units."""
    seen, plain = [], start_module.k_means

    def counted(batches, n_clusters, *args, **kwargs):
        seen.append(n_clusters)
        return plain(batches, n_clusters, *args, **kwargs)

    monkeypatch.setattr(start_module, "k_means", counted)
    MFASearch(small(), (2, 3), (0, 1, 2), structures=structures).fit(X)
    assert seen == runs


def test_fits_leave_no_trace_in_the_estimators():
    estimator = small(init=KMeans(n_init=1))
    search = MFASearch(estimator, (2,), (0, 1)).fit(X)
    assert not hasattr(estimator, "weights_")
    plain = vars(small(n_components=2).fit(X)).keys()
    assert vars(search.best_estimator_).keys() == plain
    assert isinstance(search.best_estimator_.init, KMeans)
    copied = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(copied.predict(X), search.predict(X))
    assert clone(search).get_params()["n_components"] == (2,)


@pytest.mark.parametrize("init", ["kmeans", "k-means++"])
@pytest.mark.parametrize("random_state", [None, 0])
def test_a_later_candidate_starts_from_labels_of_its_own_rows(init, random_state, monkeypatch):
    """Of a large table fits draw different rows to start from: the labels of one fit's were given to another's."""
    plain = Batches.draw
    monkeypatch.setattr(Batches, "draw", lambda self, rng: plain(self, rng, 60 * 3 * 8))  # 60 of 200 rows
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.repeat([0.0, 50.0], 100)[:, None] + rng.standard_normal((200, 3)))
    group = [(q, {"n_components": 2, "n_factors": q}) for q in (0, 1, 2)]
    estimator = small(max_iter=0, random_state=random_state, init=init)
    for trial in fit_group(estimator, group, rows, None, (slice(None), slice(None)), "bic", 0):
        means = np.sort(trial.estimator.means_, axis=0)
        np.testing.assert_allclose(means, [[0.0] * 3, [50.0] * 3], atol=1)


def test_shared_draws_leave_each_fit_what_it_is_alone():
    group = [(n, {"n_components": 3, "n_factors": q}) for n, q in enumerate((1, 2))]
    together = fit_group(small(n_init=2), group, X, None, (slice(None), slice(None)), "bic", 0)
    for (_, params), trial in zip(group, together, strict=True):
        alone = small(n_init=2, **params).fit(X)
        np.testing.assert_array_equal(alone.means_, trial.estimator.means_)
        assert alone.lower_bound_ == trial.estimator.lower_bound_


def test_the_global_generator_is_not_turned_back():
    states = []
    for n_factors in ((1,), (1, 2)):
        np.random.seed(0)
        MFASearch(small(random_state=None, init="random_from_data"), (2,), n_factors).fit(X)
        states.append(np.random.get_state()[2])
    assert states[0] != states[1]
