"""What steering promotes and demotes, against one prompt and one component at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import save_tiny_encoder, save_tiny_model

from mfa_sklearn import MFA, ActivationExtractor, MFASteerer, load_model
from mfa_sklearn.atlas import _effects, atlas_data
from mfa_sklearn.atlas._effects import Effect
from mfa_sklearn.atlas._strings import Strings

PROMPTS = ["the cat sat", "a dog"]
TEXTS = ["the cat sat on the mat", "a dog ran over the hill", "we saw the cat and a dog"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), "gpt2")


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return load_model(str(folder), backend="transformers")


@pytest.fixture(scope="module")
def rows(folder: Path) -> Any:
    return ActivationExtractor(str(folder), layer=0, backend="transformers").fit_transform(TEXTS)


@pytest.fixture(scope="module")
def mfa(rows: Any) -> MFA:
    return MFA(3, 1, max_iter=0, random_state=0).fit(rows)


def changes(model: Any, mfa: MFA, component: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean change of each token's log probability, and which tokens are likely enough to be listed."""
    steerer = MFASteerer(model, mfa)
    before, after = (
        torch.stack([steerer.logits(prompt, component, alpha).float().log_softmax(-1)[0] for prompt in PROMPTS])
        for alpha in (0.0, 0.6)
    )
    likely = torch.maximum(before.exp().mean(0), after.exp().mean(0)) >= 1 / before.shape[1]
    return (after - before).mean(0).numpy(), likely.numpy()


@pytest.mark.parametrize("numbers", [2**24, 16 * 400])
def test_effects_are_those_of_one_prompt_at_a_time(
    model: Any, mfa: MFA, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_effects, "_NUMBERS", numbers)  # all components at once, or one by one
    effect, strings = Effect(model, mfa, PROMPTS, "centroid", 0.6, n_tokens=5), Strings()
    effects = effect.measure()
    for k in range(3):
        expected, likely = changes(model, mfa, k)
        ranked = np.flatnonzero(likely)[np.argsort(-expected[likely])]
        told = effect.described(effects, k, strings)
        assert (told["method"], told["strength"]) == ("centroid", 0.6)
        up = [change["change"] for change in told["promoted"]]
        down = [change["change"] for change in told["demoted"]]
        np.testing.assert_allclose(up, [by for by in expected[ranked[:5]] if by > 0], atol=1e-3)
        np.testing.assert_allclose(down, [by for by in expected[ranked[::-1][:5]] if by < 0], atol=1e-3)
        names = [strings.found[change["token"]] for change in told["promoted"]]
        assert names[0] == model.tokenizer.decode([int(ranked[0])])


def test_the_atlas_has_them_for_every_region(model: Any, mfa: MFA, rows: Any) -> None:
    data = atlas_data(mfa, rows, model=model, prompts="the cat", method="direction", alpha=2.0)
    for region in data["mixtures"][0]["regions"]:
        assert region["steering"] is not None and region["steering"]["promoted"]
        assert (region["steering"]["method"], region["steering"]["strength"]) == ("direction", 2.0)


def test_models_that_are_refused(model: Any, mfa: MFA, rows: Any, tmp_path: Path) -> None:
    elsewhere = MFA.from_params(mfa.weights_, mfa.means_, mfa.loadings_, mfa.noise_variance_)
    elsewhere.source_ = {**(mfa.source_ or {}), "layer": 1}
    with pytest.raises(ValueError, match="from elsewhere"):
        atlas_data(elsewhere, rows, model=model)
    other = load_model(str(save_tiny_model(tmp_path / "other", "llama")), backend="transformers")
    with pytest.raises(ValueError, match="this is another model"):
        atlas_data(mfa, rows, model=other)
    with pytest.raises(ValueError, match="alpha"):
        atlas_data(mfa, rows, model=model, alpha=float("nan"))
    with pytest.raises(TypeError, match="prompts"):
        atlas_data(mfa, rows, model=model, prompts=[])
    encoder = str(save_tiny_encoder(tmp_path / "encoder"))
    found = ActivationExtractor(encoder, layer=0, backend="transformers").fit_transform(TEXTS)
    with pytest.raises(ValueError, match="no next token"):
        atlas_data(
            MFA(2, 1, max_iter=0, random_state=0).fit(found), found, model=load_model(encoder, backend="transformers")
        )
