"""Where a mixture steers: sites, layers, and mixtures that were fitted elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from steerer_cases import LAYER, D, Pair, make_mixture

from mfa_sklearn import MFA, ActivationExtractor
from mfa_sklearn._base.annotated import AnnotatedArray
from mfa_sklearn.steering import MFASteerer


@pytest.mark.parametrize("site", ["residual_pre", "mlp", "mlp_out", "attn_out"])
def test_other_sites(pair: Pair, site: str) -> None:
    steerer = MFASteerer(pair.bridge, make_mixture(128 if site == "mlp" else D), layer=LAYER, site=site)
    with steerer.steer(component=1, alpha=1.0, select="last"):
        _, cache = pair.bridge.run_with_cache(pair.tokens("The cat"), names_filter=steerer.hook_name)
    got = cache[steerer.hook_name][0, -1].numpy()
    np.testing.assert_allclose(got, make_mixture(len(got)).means_[1], atol=1e-5)


BAD_STEERERS = [
    ({"layer": None}, ValueError, "give layer="),
    ({"layer": 3}, ValueError, "layer 3 is out of range"),
    ({"layer": -1}, ValueError, "layer -1 is out of range"),
    ({"layer": 1.5}, TypeError, "layer must be an integer"),
    ({"layer": [1, 2]}, ValueError, "stacked layers"),
    ({"layer": 1, "prepend_bos": "no"}, TypeError, "prepend_bos='no' must be True or False"),
    ({"layer": 1, "check_source": "no"}, TypeError, "check_source='no' must be True or False"),
    ({"layer": 1, "site": "resid"}, ValueError, "site='resid' is unknown"),
    ({"layer": 1, "site": "mlp"}, ValueError, "has 32 features, but activations at .* have 128"),
]


@pytest.mark.parametrize(("asked", "error", "match"), BAD_STEERERS)
def test_places_that_do_not_exist_are_refused(
    llama: Pair, asked: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        MFASteerer(llama.bridge, make_mixture(), **asked)


SOURCES = [
    ({"layer": 2, "site": "residual"}, {"layer": 1}, "fitted on layer 2, but is to steer 1"),
    ({"layer": 1, "site": "mlp_out"}, {"site": "residual"}, "fitted on site 'mlp_out', but is to steer 'residual'"),
    ({"layer": 1, "site": "residual", "model": "gpt2"}, {}, "fitted on model 'gpt2'"),
    ({"layer": 1, "site": "residual", "processing": "compatibility"}, {}, "processed as 'compatibility'"),
    ({"layer": 1, "pooling": "mean"}, {}, "fitted on pooling 'mean', but is to steer 'none"),
    ({"layer": 1, "pooling": "last"}, {"layer": 1}, "fitted on pooling 'last'"),
    ({"layer": [1, 2]}, {"layer": 1}, r"fitted on layer \[1, 2\], but is to steer 1"),
]


def test_another_model_is_told_before_its_layers_are_counted(llama: Pair) -> None:
    source = {"layer": 30, "site": "residual", "model": "/home/ann/lm", "revision": "sha256:0a1b"}
    llama.bridge.mfa_source = {"model": llama.path, "revision": "sha256:2c3d"}
    try:
        with pytest.raises(ValueError, match=r"another model: .* fitted on model revision ./home/ann/lm@sha256:0a1b"):
            MFASteerer(llama.bridge, make_mixture(**source))
        with pytest.raises(ValueError, match="layer 30 is out of range"):
            MFASteerer(llama.bridge, make_mixture(**source), check_source=False)
    finally:
        del llama.bridge.mfa_source


@pytest.mark.parametrize(("source", "asked", "match"), SOURCES)
def test_mixtures_fitted_elsewhere_are_refused_unless_told(
    llama: Pair, source: dict[str, Any], asked: dict[str, Any], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        MFASteerer(llama.bridge, make_mixture(**source), **asked)
    steerer = MFASteerer(llama.bridge, make_mixture(**source), check_source=False, **asked)
    assert steerer.logits("The cat", component=0, alpha=0.5).shape == (1, llama.bridge.cfg.d_vocab)


def test_width_is_checked_even_when_the_source_is_not(llama: Pair) -> None:
    with pytest.raises(ValueError, match="has 31 features"):
        MFASteerer(llama.bridge, make_mixture(31), layer=1, check_source=False)


def test_the_place_is_taken_from_where_the_mixture_was_fitted(llama: Pair, tmp_path: Any) -> None:
    import shutil

    moved = shutil.copytree(llama.path, tmp_path / "llama")
    steerer = MFASteerer(llama.bridge, make_mixture(layer=[2], site="attn_out", model=str(moved)))
    assert (steerer.layer, steerer.site, steerer.hook_name) == (2, "attn_out", "blocks.2.hook_attn_out")


def test_a_model_without_hooks_is_refused() -> None:
    with pytest.raises(TypeError, match="Linear, which has no hooks"):
        MFASteerer(torch.nn.Linear(2, 2), make_mixture(), layer=0)


def activations(n_rows: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n_rows, D))


FEW = {"max_iter": 1, "tol": 0, "random_state": 0}
UNKNOWN = {
    "plain numbers": lambda: MFA(2, 1, **FEW).fit(activations()),
    "behind a scaler": lambda: make_pipeline(StandardScaler(), MFA(2, 1, **FEW)).fit(known())[-1],
    "arithmetic": lambda: MFA(2, 1, **FEW).fit(known() / 2),
    "a stream": lambda: MFA(2, 1, **FEW).partial_fit(activations()).partial_fit(activations()),
}


def known() -> AnnotatedArray:
    return AnnotatedArray(activations(), shared={"source": {"layer": LAYER, "site": "residual", "pooling": None}})


@pytest.mark.parametrize("make", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_mixtures_of_rows_that_nothing_is_known_of_are_refused(llama: Pair, make: Any, tmp_path: Any) -> None:
    mfa = make()
    mfa.save_pretrained(tmp_path / "saved")
    for mixture in (mfa, MFA.from_pretrained(tmp_path / "saved")):
        with pytest.raises(ValueError, match=r"without a source.*StandardScaler.*pass check_source=False"):
            MFASteerer(llama.bridge, mixture, layer=LAYER)
        assert MFASteerer(llama.bridge, mixture, layer=LAYER, check_source=False).layer == LAYER
        with pytest.raises(ValueError, match="give layer="):
            MFASteerer(llama.bridge, mixture, check_source=False)


def test_a_source_and_numbers_given_by_hand_are_taken_at_their_word(llama: Pair) -> None:
    fitted = MFA(2, 1, **FEW).fit(known())
    assert MFASteerer(llama.bridge, fitted).layer == LAYER
    numbers = (fitted.weights_, fitted.means_, fitted.loadings_, fitted.noise_variance_)
    assert MFASteerer(llama.bridge, MFA.from_params(*numbers), layer=2).layer == 2
    told = MFA.from_params(*numbers, source={"layer": 2})
    with pytest.raises(ValueError, match="fitted on layer 2"):
        MFASteerer(llama.bridge, told, layer=1)


MISTAKEN = [
    (
        lambda llama: MFASteerer(make_mixture(), llama.bridge),
        "model is a SimpleNamespace, .* model and mfa swapped",
    ),
    (lambda llama: MFASteerer(MFA(2), llama.bridge), "model is an MFA, which has no hooks: were model and mfa swapped"),
    (lambda llama: MFASteerer(MFA(2), make_mixture()), "model is an MFA, which has no hooks: give a TransformerLens"),
    (
        lambda llama: MFASteerer(ActivationExtractor(llama.path, layer=1), make_mixture()),
        r"model is an ActivationExtractor, .* as model.load\(\)",
    ),
    (lambda llama: MFASteerer(llama.path, make_mixture()), "model is a str, .* load it first, with .*load_model"),
]


@pytest.mark.parametrize(("make", "match"), MISTAKEN)
def test_what_is_no_model_is_told_from_what_was_meant(llama: Pair, make: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        make(llama)


def test_a_steerer_says_what_it_steers(llama: Pair) -> None:
    steerer = MFASteerer(llama.bridge, make_mixture(), layer=LAYER)
    assert repr(steerer) == f"MFASteerer({llama.bridge.cfg.model_name!r}, layer=1, site='residual', n_components=5)"
