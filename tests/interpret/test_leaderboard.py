"""The leaderboard: reduced on the way, it ends with the same lines."""

from __future__ import annotations

import pytest
from interpret_fixtures import MODES, annotated, assert_same_table, mixture, top_tokens_by_loop

from mfa_sklearn.interpret import _leaderboard as leaderboard
from mfa_sklearn.interpret import top_tokens


@pytest.mark.parametrize(("score", "aggregate"), MODES)
@pytest.mark.parametrize("buffer", [0, 50, 300])
def test_reducing_the_buffer_on_the_way_changes_nothing(
    score: str, aggregate: str, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mfa = mixture(1.0)
    X = annotated(mfa, 400)
    monkeypatch.setattr(leaderboard, "_BUFFER", buffer)
    table = top_tokens(mfa, X, score=score, aggregate=aggregate, n_tokens=4)
    assert_same_table(table, top_tokens_by_loop(mfa, X, score, aggregate, 4))
