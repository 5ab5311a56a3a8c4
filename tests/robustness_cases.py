"""A table, a quick fit of whatever is made of it, and what must hold of every fit."""

from __future__ import annotations

import numpy as np
import pytest

from mfa_sklearn import MFA
from mfa_sklearn.datasets import make_mfa

ROWS, LABELS = make_mfa(400, 8, 3, 2, random_state=0)
SOLVERS = ["em", "gradient"]


def quick(X, **arguments) -> MFA:
    """A few iterations, from whatever start."""
    settings = {"n_components": 3, "n_factors": 2, "max_iter": 10, "tol": 0, "random_state": 0, **arguments}
    return MFA(**settings).fit(X)


def assert_sound(mfa: MFA, X) -> None:
    """Everything learned and everything said of rows is finite, and the parts fit together."""
    for name in ("weights_", "means_", "loadings_", "noise_variance_", "lower_bounds_"):
        assert np.isfinite(getattr(mfa, name)).all(), name
    assert mfa.weights_.sum() == pytest.approx(1, abs=1e-6)
    assert (np.asarray(mfa.noise_variance_) > 0).all()
    log_prob, responsibility = mfa.score_samples(X), mfa.predict_proba(X)
    assert np.isfinite(log_prob).all()
    assert np.isfinite(responsibility).all()
    np.testing.assert_allclose(responsibility.sum(1), 1, atol=1e-5)
    assert np.isfinite(mfa.transform(X).data).all()
    assert np.isfinite(mfa.reconstruct(X)).all()
    assert np.isfinite(mfa.posterior_mean(X)).all()
    for value in (mfa.aic(X), mfa.bic(X), mfa.icl(X)):
        assert np.isfinite(value)
    assert np.isfinite(mfa.sample(5)[0]).all()
    assert mfa.lower_bound_ - mfa.log_prior_ == pytest.approx(mfa.score(X), rel=1e-3, abs=1e-3)
