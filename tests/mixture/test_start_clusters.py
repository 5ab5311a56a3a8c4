"""Parameters from labeled rows: their moments, also where a label has no rows."""

from __future__ import annotations

import numpy as np
from mixture_cases import X_MADE, Y_MADE, centers_near

from mfa_sklearn import MFA


def test_the_start_from_labels_is_the_labeled_rows_moments():
    mfa = MFA(3, 2, init=Y_MADE, noise="component", max_iter=0).fit(X_MADE)
    np.testing.assert_allclose(mfa.weights_, np.bincount(Y_MADE) / len(Y_MADE), rtol=1e-6)
    np.testing.assert_allclose(mfa.means_, centers_near(), rtol=1e-9)
    for k in range(3):
        own = np.cov(X_MADE[k == Y_MADE].T, bias=True)
        # near the rows' covariance: the two strongest directions, and the variance of each feature
        np.testing.assert_allclose(np.diag(mfa.get_covariance(k)), np.diag(own), rtol=0.1, atol=0.15)
        assert np.corrcoef(mfa.get_covariance(k).ravel(), own.ravel())[0, 1] > 0.95


def test_a_label_without_rows_is_a_component_without_nan():
    mfa = MFA(4, 1, init=np.where(Y_MADE == 2, 3, Y_MADE), max_iter=5, tol=0).fit(X_MADE)
    assert mfa.n_components_ == 4
    assert np.isfinite(mfa.score_samples(X_MADE)).all()
