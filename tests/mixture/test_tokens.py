"""What a fit remembers of its rows' tokens, against scipy's test of each token, and where it is lost or kept."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from scipy.stats import chi2_contingency
from sklearn.base import clone

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.mixture import _tokens as module

CENTERS = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0]])
WORDS = [" cat", " dog", "fish"]


def rows(n: int = 60, seed: int = 0) -> AnnotatedArray:
    """Rows in three heaps; three of four rows of a heap hold its own word."""
    rng = np.random.default_rng(seed)
    heap = np.arange(n) % 3
    said = np.where(rng.random(n) < 0.75, heap, rng.integers(3, size=n))
    return AnnotatedArray(rng.normal(CENTERS[heap], 1), rows={"tokens": np.array(WORDS)[said]})


def fitted(X: Any, **params: Any) -> MFA:
    return MFA(3, 1, init=CENTERS, max_iter=0, **params).fit(X)


@pytest.mark.parametrize("K", [3, 30])
def test_ranked_as_scipy_tests(K: int) -> None:
    X, rng = rows(200), np.random.default_rng(5)
    X.rows["tokens"] = np.where(rng.random(200) < 0.5, X.rows["tokens"], rng.integers(30, size=200).astype("U4"))
    start = CENTERS if K == 3 else np.asarray(X)[:: 200 // K][:K]
    mfa = MFA(K, 1, init=start, max_iter=0).fit(X)
    assert mfa.component_tokens_ is not None and mfa.n_samples_seen_ == 200
    assigned, tokens = mfa.predict(X), X.rows["tokens"]
    assert list(mfa.component_tokens_) == np.argsort(-mfa.weights_, kind="stable")[:10].tolist()
    for k, found in mfa.component_tokens_.items():
        ratios = {}
        for word in np.unique(tokens) if (assigned == k).any() else []:
            table = [[np.sum((assigned == k) & (tokens == word)), np.sum((assigned == k) & (tokens != word))]]
            table.append([np.sum((assigned != k) & (tokens == word)), np.sum((assigned != k) & (tokens != word))])
            test = chi2_contingency(table, correction=False, lambda_="log-likelihood")
            if table[0][0] > test.expected_freq[0, 0]:
                ratios[word] = test.statistic
        assert found == sorted(ratios, key=lambda word: (-round(ratios[word], 9), word))[:6]
        assert K > 3 or found[0] == WORDS[k]


def test_a_sample_is_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._spread(5).tolist() == [0, 1, 2, 3, 4]
    assert len(module._spread(10**7)) == module._SAMPLE and module._spread(10**7)[[0, -1]].tolist() == [0, 10**7 - 1]
    monkeypatch.setattr(module, "_SAMPLE", 3)
    assert module._spread(5).tolist() == [0, 2, 4]
    seen: list[int] = []
    monkeypatch.setattr(MFA, "predict", lambda self, X: seen.append(len(X)) or np.zeros(len(X), dtype=int))
    fitted(rows())
    assert seen == [3]


def test_rows_of_weight_zero_say_nothing() -> None:
    X, weights = rows(), np.ones(60)
    weights[:30] = 0
    X.rows["tokens"] = X.rows["tokens"].astype(object)
    X.rows["tokens"][:30:3] = "never"
    mfa = fitted(X)
    assert any("never" in tokens for tokens in mfa.component_tokens_.values())
    mfa.fit(X, sample_weight=weights)
    assert not any("never" in tokens for tokens in mfa.component_tokens_.values()) and mfa.n_samples_seen_ == 30


@pytest.mark.parametrize("X", [np.asarray(rows()), np.asarray(rows()).tolist(), AnnotatedArray(np.asarray(rows()))])
def test_rows_without_tokens(X: Any) -> None:
    assert fitted(X).component_tokens_ is None


def test_streams_forget() -> None:
    mfa = MFA(3, 1, init=CENTERS, max_iter=1).partial_fit(rows())
    assert mfa.component_tokens_ and mfa.n_samples_seen_ == 60
    mfa.partial_fit(rows(30, seed=1))
    assert mfa.component_tokens_ is None and mfa.n_samples_seen_ == 90


def test_kept_by_every_way_to_another_process(tmp_path: Path) -> None:
    X = rows()
    X.rows["tokens"] = X.rows["tokens"].astype(object)
    X.rows["tokens"][::3] = "<script>\ud83d\u202e"  # half of a surrogate pair, which no file can hold
    mfa = fitted(X)
    assert any("<script>\ufffd\u202e" in tokens for tokens in mfa.component_tokens_.values())
    mfa.save_pretrained(tmp_path / "mixture")
    joblib.dump(mfa, tmp_path / "mfa.joblib")
    copies = [MFA.from_pretrained(tmp_path / "mixture"), joblib.load(tmp_path / "mfa.joblib")]
    for copy in [*copies, pickle.loads(pickle.dumps(mfa))]:
        assert copy.component_tokens_ == mfa.component_tokens_
        assert list(copy.component_tokens_) == list(mfa.component_tokens_) and copy.n_samples_seen_ == 60
    assert not hasattr(clone(mfa), "component_tokens_")
