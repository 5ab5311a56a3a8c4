"""What a model's configuration says of its layers and sites."""

from __future__ import annotations

from lm_fixtures import ARCHITECTURES

from mfa_sklearn.activations._language_model import load_config
from mfa_sklearn.activations._model_config import site_width


def test_width_of_the_mlp(models):
    for name in ARCHITECTURES:
        assert site_width(load_config(models[name]), "mlp") == 128
        assert site_width(load_config(models[name]), "attn_out") == 32
