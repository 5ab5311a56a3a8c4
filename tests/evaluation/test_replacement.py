"""Sums of losses, and rows and activations that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import SENTENCES, save_tiny_model
from numpy.testing import assert_allclose
from scipy.special import log_softmax
from scipy.stats import entropy

from mfa_sklearn.activations import load_model
from mfa_sklearn.evaluation import _replacement, reconstruction_loss
from mfa_sklearn.evaluation._replacement import Sums


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_model(save_tiny_model(tmp_path_factory.mktemp("model"), "llama"), device="cpu")


@pytest.mark.parametrize("piece", [1, 15, 2**22])
def test_sums_are_cross_entropies_and_divergences(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_replacement, "_PIECE", piece)
    rng = np.random.default_rng(0)
    original, logits = rng.normal(0, 3, (2, 7, 5))
    texts, target = np.array([0, 0, 2, 2, 2, 1, 0]), rng.integers(0, 5, 7)
    sums = Sums(("original", "other"), 3)
    for _ in range(2):  # what comes later is added
        sums.add("original", texts, *map(torch.from_numpy, (original, original, target)))
        sums.add("other", texts, *map(torch.from_numpy, (original, logits, target)))
    log_p, log_q = log_softmax(original, axis=1), log_softmax(logits, axis=1)
    kl = entropy(np.exp(log_p), np.exp(log_q), axis=1)
    for text in range(3):
        own = texts == text
        expected = [-2 * log_prob[own, target[own]].sum() for log_prob in (log_p, log_q)]
        assert_allclose(sums.cross_entropy[:, text], expected)
        assert_allclose(sums.kl[:, text], [0, 2 * kl[own].sum()])


def test_tokens_that_a_model_rules_out_add_nothing() -> None:
    original, logits = torch.tensor([[0.0, 1.0, -torch.inf]]), torch.tensor([[1.0, 0.0, -torch.inf]])
    sums = Sums(("original", "other"), 1)
    sums.add("other", np.array([0]), original, logits, torch.tensor([1]))
    p = torch.softmax(original, -1).numpy()[0, :2]
    assert_allclose(sums.kl[1, 0], entropy(p, p[::-1]), rtol=1e-6)


def test_rows_stay_the_models_own_whatever_a_function_does_to_them(model: Any) -> None:
    def in_place(rows: np.ndarray) -> np.ndarray:
        rows *= 2
        return rows

    candidates = {"first": in_place, "again": in_place, "apart": lambda rows: rows * 2}
    found = reconstruction_loss(model, candidates, SENTENCES, 1)
    assert found.cross_entropy[3].tolist() == found.cross_entropy[4].tolist() == found.cross_entropy[5].tolist()


@pytest.mark.parametrize("form", [torch.from_numpy, lambda rows: torch.from_numpy(rows).requires_grad_(), list])
def test_rows_may_come_in_any_form(model: Any, form: Any) -> None:
    found = reconstruction_loss(model, {"same": form}, SENTENCES[:2], 1)
    assert found.kl[3].tolist() == [0, 0]


def test_a_model_whose_weights_are_no_numbers_is_refused(tmp_path: Any) -> None:
    broken = load_model(save_tiny_model(tmp_path, "llama"), device="cpu")
    with torch.no_grad():
        broken.original_model.model.layers[0].mlp.down_proj.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"activations in torch\.float32 are not finite"):
        reconstruction_loss(broken, {"same": lambda rows: rows}, SENTENCES, 1)
    with torch.no_grad():
        broken.original_model.model.layers[0].mlp.down_proj.weight.zero_()
        broken.original_model.model.norm.weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="the model's own logits hold NaN"):
        reconstruction_loss(broken, {"same": lambda rows: rows}, SENTENCES, 1)


def test_rows_too_far_for_the_model_are_told(model: Any) -> None:
    with pytest.raises(ValueError, match="with the rows of 'far' the logits hold NaN"):
        reconstruction_loss(model, {"far": lambda rows: np.full(rows.shape, 1e39)}, SENTENCES, 1)


def test_progress_is_shown_where_asked(model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    reconstruction_loss(model, {"same": lambda rows: rows}, SENTENCES, 1)
    assert not capsys.readouterr().err
    reconstruction_loss(model, {"same": lambda rows: rows}, SENTENCES, 1, batch_size=4, verbose=True)
    assert "losses: 2 of 2 batches, " in capsys.readouterr().err
