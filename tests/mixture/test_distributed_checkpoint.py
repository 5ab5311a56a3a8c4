"""Checkpoints and rows held out of fits by several processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checkpoint_cases import Listener, StoppedError, learned, settings, stopping
from group_cases import Failure, share, world
from mixture_cases import X_MADE

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import AnnotatedArray

CUTS = [120]
TEXTS = np.repeat(np.arange(60), 5)
KINDS: dict[str, dict[str, Any]] = {
    "em": {"held_out": 0.2},
    "gradient": {"solver": "gradient", "max_iter": 4},
}


def shared(rank: int, folder: str | None, interval: float = 0.0, **arguments: Any) -> tuple[MFA, Any]:
    """An estimator for several processes, and a process's rows."""
    mfa = MFA(**settings(**arguments), distributed=True, checkpoint=folder, checkpoint_interval=interval)
    return mfa, share(X_MADE, rank, CUTS)


def stopped_and_gone_on(rank: int, size: int, folder: str, kind: str) -> Any:
    """What a fit comes to alone, and from where it was stopped on all processes after three iterations."""
    mfa, X = shared(rank, None, **KINDS[kind])
    alone = learned(mfa.fit(X))
    mfa, X = shared(rank, folder, **KINDS[kind])
    try:
        mfa.set_callbacks(stopping(3)).fit(X)
    except StoppedError:
        counted = Listener(lambda count: None)
        goes_on = learned(mfa.set_callbacks(counted).fit(X))
        return alone, goes_on, counted.count
    return None


def of_other_rows(rank: int, size: int, folder: str) -> Any:
    """The error of a fit that one process gives other rows to, in the folder of another fit."""
    mfa, X = shared(rank, folder, **KINDS["em"])
    mfa.fit(X if rank == 0 else X[::-1].copy())


def held_by_text(rank: int, size: int) -> Any:
    """The figures of a fit that holds texts out, and how many rows it was of."""
    rows = AnnotatedArray(X_MADE, rows={"text_index": TEXTS})
    mfa, _ = shared(rank, None, held_out=0.25, held_out_by="text")
    mfa.fit(share(rows, rank, CUTS))
    return mfa.history_["held_out"], mfa.n_samples_seen_


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    home = tmp_path_factory.mktemp("group")
    folders = {kind: str(home / kind) for kind in KINDS}
    calls: list[Any] = [(stopped_and_gone_on, (folders[kind], kind)) for kind in KINDS]
    return world(2, *calls, (of_other_rows, (folders["em"],)), (held_by_text, ()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_of_several_processes_goes_on_to_the_same_bytes(found: list[list[Any]], kind: str) -> None:
    for part in found[list(KINDS).index(kind)]:
        assert not isinstance(part, Failure), part
        alone, goes_on, iterations = part
        assert goes_on == alone and 0 < iterations == alone["n_iter_"] - 3


def test_other_rows_of_one_process_are_refused_on_all(found: list[list[Any]]) -> None:
    for part in found[2]:
        assert isinstance(part, Failure) and "holds another fit: rows=" in part.message, part


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_texts_are_held_out_as_by_one_process(found: list[list[Any]]) -> None:
    """Where no text is cut between processes."""
    rows = AnnotatedArray(X_MADE, rows={"text_index": TEXTS})
    alone = MFA(**settings(held_out=0.25, held_out_by="text")).fit(rows)
    for part in found[3]:
        assert not isinstance(part, Failure), part
        np.testing.assert_allclose(part[0], alone.history_["held_out"], rtol=1e-6)
        assert part[1] == alone.n_samples_seen_ == 225
