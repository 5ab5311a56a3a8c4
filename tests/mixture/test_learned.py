"""Every way to a mixture leaves the same attributes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mixture_cases import X_MADE, quick

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.mixture._saving.values import is_known

TOKENS = np.where(np.arange(len(X_MADE)) % 2, "odd", "even")
ROWS = AnnotatedArray(X_MADE, rows={"tokens": TOKENS})
WAYS: dict[str, dict[str, Any]] = {
    "em": {},
    "starts": {"n_init": 2},
    "annealed": {"annealing": 4.0},
    "gradient": {"solver": "gradient"},
    "held out": {"solver": "gradient", "early_stopping": True},
    "no iteration": {"max_iter": 0},
    "warm": {"warm_start": True},
}


def learned(mfa: MFA) -> set[str]:
    return {name for name in vars(mfa) if name.endswith("_") and not name.startswith("_")}


@pytest.mark.parametrize("name", WAYS)
def test_history_tokens_and_rows_of_every_way_to_fit(name: str, tmp_path: Path) -> None:
    mfa = quick(ROWS, **WAYS[name])
    for _ in range(2 if mfa.warm_start else 1):
        assert len(mfa.lower_bounds_) == mfa.n_iter_ + 1 and mfa.n_samples_seen_ == len(X_MADE)
        assert {kind: len(entries) for kind, entries in mfa.history_.items()} == dict.fromkeys(
            ("temperature", "step"), mfa.n_iter_
        )
        assert list(mfa.component_tokens_ or {}) == np.argsort(-mfa.weights_, kind="stable")[:10].tolist()
        if mfa.warm_start:
            mfa.set_params(max_iter=3).fit(ROWS)
    mfa.save_pretrained(tmp_path)
    for again in (MFA.from_pretrained(tmp_path), pickle.loads(pickle.dumps(mfa))):
        for attribute in ("history_", "component_tokens_", "n_samples_seen_", "lower_bounds_", "n_iter_"):
            assert getattr(again, attribute) == getattr(mfa, attribute)
    mfa.fit(X_MADE)
    assert mfa.component_tokens_ is None


def test_a_mixture_from_parameters_has_the_attributes_but_no_bounds() -> None:
    mfa = quick()
    made = MFA.from_params(mfa.weights_, mfa.means_, mfa.loadings_, mfa.noise_variance_)
    assert learned(mfa) - learned(made) == {"lower_bound_", "log_prior_"} and all(map(is_known, learned(made)))
    assert made.n_samples_seen_ == 0 and made.component_tokens_ is None and "6 features" in str(made)
    assert made.partial_fit(X_MADE).n_samples_seen_ == len(X_MADE)


def test_tokens_of_many_components_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are kept of the few components that are remembered, not of all."""
    from mfa_sklearn.mixture import _tokens

    shapes = []
    zeros = np.zeros
    monkeypatch.setattr(_tokens.np, "zeros", lambda shape, *a, **k: shapes.append(shape) or zeros(shape, *a, **k))
    start = X_MADE[:: len(X_MADE) // 20][:20]
    mfa = MFA(20, 1, init=start, max_iter=0).fit(ROWS)
    assert len(mfa.component_tokens_ or {}) == 10
    assert (10, 2) in shapes and (20, 2) not in shapes
