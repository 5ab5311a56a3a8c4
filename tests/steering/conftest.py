"""Small models: alone, and as a bridge beside transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lm_fixtures import save_tiny_model
from steerer_cases import Pair


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformer_lens.model_bridge import TransformerBridge

    path = save_tiny_model(tmp_path_factory.mktemp("evaluated"), "llama")
    return TransformerBridge.boot_transformers(str(path), device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module", params=["llama", "gpt2", "qwen2"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("models"), request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair(tmp_path_factory.mktemp("llama"), "llama")
