"""Learning batch by batch: near the full fit, without collapse, and resumable."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from mixture_cases import X_MADE, Y_MADE, exact, quick

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("solver", ["em", "gradient"])
def test_a_stream_comes_near_the_full_fit(solver, dtype):
    X, _ = make_mfa(4000, 6, 3, 2, random_state=0)
    X = X.astype(dtype)
    whole = MFA(3, 2, random_state=0, max_iter=200, tol=1e-6).fit(X).score(X)
    stream = MFA(3, 2, solver=solver, random_state=0, learning_rate=0.01)
    for part in np.array_split(X, 20):
        stream.partial_fit(part)
    assert stream.n_iter_ >= 19
    assert stream.means_.dtype == np.float64
    assert stream.score(X) > whole - (0.1 if solver == "em" else 0.3)
    assert len(stream.lower_bounds_) >= 20


@pytest.mark.filterwarnings("ignore:not converged after")
def test_repeating_a_stream_does_not_collapse_it():
    X, _ = make_mfa(600, 6, 3, 2, random_state=0)
    whole = MFA(3, 2, random_state=0, max_iter=500, tol=1e-7).fit(X).score(X)
    stream = MFA(3, 2, random_state=0)
    for _ in range(40):
        for part in np.array_split(X, 4):
            stream.partial_fit(part)
    assert stream.score(X) > whole - 0.05
    assert stream.weights_.min() > 0.05


def test_a_tiny_batch_does_not_overthrow_what_many_rows_say():
    X, _ = make_mfa(2000, 6, 3, 2, random_state=0)
    stream = MFA(3, 2, random_state=0)
    for part in np.array_split(X, 4):
        stream.partial_fit(part)
    before = stream.score(X)
    for row in X[:10]:
        stream.partial_fit(row[None])
    assert stream.score(X) > before - 0.1


def test_partial_fit_after_fit_remembers_the_fit():
    X, _ = make_mfa(2000, 6, 3, 2, random_state=0)
    mfa = MFA(3, 2, random_state=0, max_iter=200).fit(X)
    before = mfa.score(X)
    mfa.partial_fit(X[:20])
    assert mfa.score(X) > before - 0.1


def test_partial_fit_on_given_parameters():
    mfa, _, X = exact("UUU", (3, 5, 2), 200)
    mfa.partial_fit(X)
    assert np.isfinite(mfa.score(X))


def test_fit_after_a_stream_starts_afresh():
    mfa = MFA(3, 2, random_state=0, max_iter=8, tol=0)
    mfa.partial_fit(X_MADE[:150]).partial_fit(X_MADE[150:])
    mfa.fit(X_MADE)
    np.testing.assert_array_equal(mfa.means_, quick().means_)


def test_a_pickled_stream_goes_on():
    stream = MFA(3, 2, random_state=0).partial_fit(X_MADE[:100]).partial_fit(X_MADE[100:200])
    other = pickle.loads(pickle.dumps(stream))
    np.testing.assert_array_equal(stream.partial_fit(X_MADE[200:]).means_, other.partial_fit(X_MADE[200:]).means_)


def test_rotation_does_not_disturb_a_stream():
    plain, rotated = (MFA(3, 2, random_state=0, rotation=r) for r in (None, "varimax"))
    for part in np.array_split(X_MADE, 3):
        plain.partial_fit(part)
        rotated.partial_fit(part)
    np.testing.assert_allclose(rotated.score_samples(X_MADE), plain.score_samples(X_MADE), rtol=1e-9)


def test_stream_weights():
    counts = np.random.default_rng(0).integers(0, 3, len(X_MADE))
    twice = np.repeat(np.arange(len(X_MADE)), counts)
    start = MFA(3, 2, init=Y_MADE, max_iter=3, tol=0, warm_start=True).fit(X_MADE)
    weighted, repeated = (pickle.loads(pickle.dumps(start)) for _ in range(2))
    weighted.partial_fit(X_MADE, sample_weight=counts)
    repeated.partial_fit(X_MADE[twice])
    np.testing.assert_allclose(weighted.means_, repeated.means_, rtol=1e-8)


def test_another_number_of_components_is_refused_in_a_stream():
    mfa = MFA(2, 1, random_state=0).partial_fit(X_MADE)
    with pytest.raises(ValueError, match="n_components=5, but the stream's mixture has 2 components"):
        mfa.set_params(n_components=5).partial_fit(X_MADE)
    assert mfa.set_params(n_components=None).partial_fit(X_MADE).n_components_ == 2
