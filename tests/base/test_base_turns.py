"""A model has one turn: others wait, but not for what may wait for them."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from mfa_sklearn._base import turns
from mfa_sklearn._base.turns import running, turn_of


def test_a_turn_is_taken_again_by_its_thread_and_given_back() -> None:
    model = torch.nn.Linear(1, 1)
    turn = turn_of(model)
    assert turn is turn_of(model) and turn is not turn_of(torch.nn.Linear(1, 1))
    with turn.taken(), turn.taken(as_block=True):
        assert turn.is_mine
    assert not turn.is_mine
    with pytest.raises(KeyError), turn.taken():
        raise KeyError
    assert not turn.is_mine


def test_turns_do_not_keep_models_alive() -> None:
    model = torch.nn.Linear(1, 1)
    turn_of(model)
    before = len(turns._TURNS)
    del model
    gc.collect()
    assert len(turns._TURNS) < before


def test_others_wait() -> None:
    turn, order = turn_of(torch.nn.Linear(1, 1)), []

    def other() -> None:
        with turn.taken():
            order.append("other")

    thread = threading.Thread(target=other)
    with turn.taken():
        thread.start()
        thread.join(timeout=0.05)
        order.append("first")
    thread.join(timeout=100)
    assert order == ["first", "other"]


def test_a_block_in_which_nothing_runs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.0)
    turn = turn_of(torch.nn.Linear(1, 1))

    def other() -> None:
        with turn.taken():
            pass

    refusal = pytest.raises(RuntimeError, match=r"another thread has been steering this model in a `with` block")
    with ThreadPoolExecutor(1) as pool, turn.taken(as_block=True), refusal:
        pool.submit(other).result()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(other).result()


def test_every_part_in_training_is_put_back_and_only_those() -> None:
    shared = torch.nn.Linear(1, 1)
    model = torch.nn.Sequential(shared, torch.nn.Sequential(torch.nn.Dropout(), shared), torch.nn.ReLU())
    model.eval()
    model[1][0].train()
    model.add_module("none", None)
    holder = SimpleNamespace(original_model=model, modules=lambda: iter([model, shared]))
    for top in (model, holder):
        with running(top):
            assert not any(part.training for part in model.modules())
        assert [part for part in model.modules() if part.training] == [model[1][0]]
