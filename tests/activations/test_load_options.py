"""Options of the loaders: passed on by both backends, checked, and recorded with the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_fixtures import SENTENCES
from sklearn.base import clone

from mfa_sklearn import MFA, ActivationExtractor, load_model
from mfa_sklearn.activations._load_options import check_load_options, numbers_source, recorded_options

BACKENDS = ("transformer_lens", "transformers")


class Quantized:
    def to_dict(self) -> dict[str, Any]:
        return {"bits": 4, "dtype": torch.bfloat16}


def test_what_is_recorded() -> None:
    given = {
        "quantization_config": Quantized(),
        "max_memory": {0: "20GiB", "cpu": 5},
        "device_map": {"": torch.device("cpu")},
        "attn_implementation": "sdpa",
        "token": "secret",
        "offload_folder": Path("/home/me"),
        "code": Path("/home/me/code"),
    }
    told = recorded_options(given)
    assert json.loads(json.dumps(told)) == {
        "quantization_config": {"bits": 4, "dtype": "torch.bfloat16"},
        "max_memory": {"0": "20GiB", "cpu": 5},
        "device_map": {"": "cpu"},
        "attn_implementation": "sdpa",
        "code": "code",
    }
    known = numbers_source({"model": "m", "revision": "r", "load_options": told})["load_options"]
    assert set(known) == {"quantization_config", "attn_implementation", "code"}  # not where weights are put
    assert "load_options" not in numbers_source({"load_options": {"device_map": "auto"}})


BAD = [
    ("auto", "transformers", TypeError, "load_options='auto' must be a dict"),
    ({1: 2}, "transformers", TypeError, "must be a dict of names"),
    ({"torch_dtype": "float16"}, "transformers", ValueError, "has 'torch_dtype': give it as dtype="),
    ({"revision": "main"}, "transformer_lens", ValueError, "has 'revision': give it as revision="),
    ({"n_devices": 2}, "transformers", ValueError, "give device_map='auto' in its place"),
    ({"attn_implementation": "sdpa"}, "transformer_lens", ValueError, "give backend='transformers'"),
    ({"other": object()}, "transformers", TypeError, "other=.* cannot be recorded"),
]


@pytest.mark.parametrize(("options", "backend", "error", "match"), BAD)
def test_bad_options_are_refused_before_anything_is_loaded(
    options: Any, backend: str, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        check_load_options(options, backend)
    with pytest.raises(error, match=match):
        ActivationExtractor("tiny_lm", 1, backend=backend, load_options=options).fit(SENTENCES)


def test_weights_are_placed_once() -> None:
    with pytest.raises(ValueError, match=r"has 'device_map', which places the weights, as device='cpu' does"):
        check_load_options({"device_map": "auto"}, "transformers", "cpu")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_device_map_gives_the_same_rows(models: dict[str, Path], backend: str) -> None:
    plain = ActivationExtractor(models["llama"], layer=[0, 1], backend=backend)
    spread = clone(plain).set_params(load_options={"device_map": {"": "cpu"}})
    np.testing.assert_array_equal(spread.transform(SENTENCES), plain.transform(SENTENCES))
    assert spread.fit(SENTENCES).source_["load_options"] == {"device_map": {"": "cpu"}}
    assert "load_options" not in plain.fit(SENTENCES).source_


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_the_bridge_does_not_know_goes_to_transformers(models: dict[str, Path], backend: str) -> None:
    options = {"use_safetensors": True}
    model = load_model(models["llama"], "cpu", backend=backend, load_options=options)
    assert model.mfa_source["load_options"] == options
    expected = load_model(models["llama"], "cpu", backend=backend)
    torch.testing.assert_close(model("The cat"), expected("The cat"))
    with pytest.raises(ValueError, match=r"cannot load a model from directory .*: leave 'use_safetensor' out"):
        load_model(models["llama"], "cpu", backend=backend, load_options={"use_safetensor": True})


def test_an_attention_of_ones_own_choice(models: dict[str, Path]) -> None:
    options = {"attn_implementation": "eager"}
    model = load_model(models["llama"], "cpu", backend="transformers", load_options=options)
    assert model.original_model.config._attn_implementation == "eager"


def test_a_mixture_keeps_the_options(models: dict[str, Path], tmp_path: Path) -> None:
    extractor = ActivationExtractor(models["llama"], 1, load_options={"device_map": {"": "cpu"}})
    MFA(2, 1, max_iter=1, tol=0, random_state=0).fit(extractor.transform(SENTENCES)).save_pretrained(tmp_path)
    assert MFA.from_pretrained(tmp_path).source_["load_options"] == {"device_map": {"": "cpu"}}


def test_a_store_is_gone_on_with_wherever_the_weights_are(models: dict[str, Path], tmp_path: Path) -> None:
    extractor = ActivationExtractor(models["llama"], 1, backend="transformers")
    key = extractor.extract_to(tmp_path, SENTENCES).manifest["key"]
    placed = clone(extractor).set_params(load_options={"device_map": {"": "cpu"}})
    assert placed.extract_to(tmp_path, SENTENCES).manifest["key"] == key
    other = clone(extractor).set_params(load_options={"attn_implementation": "eager"})
    with pytest.raises(ValueError, match="other texts, labels or parameters"):
        other.extract_to(tmp_path, SENTENCES)
