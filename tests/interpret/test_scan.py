"""Passes over rows in chunks, in whatever precision the mixture evaluates."""

from __future__ import annotations

import numpy as np
import pytest
from interpret_fixtures import MODES, annotated, assert_same_table, mixture, top_tokens_by_loop

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.interpret import top_tokens


@pytest.mark.parametrize(("score", "aggregate"), MODES)
@pytest.mark.parametrize("chunk", [1, 400])
def test_chunks_do_not_matter(score: str, aggregate: str, chunk: int) -> None:
    mfa = mixture(1.0)
    X = annotated(mfa, 400)
    mfa.chunk = chunk
    table = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=4)
    assert_same_table(table, top_tokens_by_loop(mfa, X, score, aggregate, 4))


@pytest.mark.parametrize(("score", "aggregate"), MODES)
def test_float32_densities_of_the_estimator(score: str, aggregate: str) -> None:
    """The estimator's own single-precision densities: same scores, and rows that deserve their place."""
    exact = mixture(3.0)
    X = annotated(exact, 300)
    mfa = MFA(4, 2)
    for name in ("weights_", "means_", "loadings_", "noise_variance_"):
        setattr(mfa, name, getattr(exact, name))
    mfa.n_features_in_ = X.shape[1]
    single = AnnotatedArray(np.asarray(X, dtype=np.float32), rows=X.rows)
    table = top_tokens(mfa, single, score=score, aggregate=aggregate, n_tokens=5)
    lines = top_tokens_by_loop(exact, AnnotatedArray(np.asarray(single, dtype=float), rows=X.rows), score, aggregate, 5)
    assert list(table["component"]) == [line[0] for line in lines]
    np.testing.assert_allclose(table["score"], [line[3] for line in lines], atol=1e-3)
