"""Sites and layers, checked and named."""

from __future__ import annotations

import numpy as np

from mfa_sklearn.activations._sites import check_layers, check_site, hook_name


def test_sites_and_layers():
    assert hook_name("mlp", 7) == "blocks.7.mlp.hook_post"
    assert check_site("residual") == "residual"
    assert check_layers(np.int64(2), 3) == (2,) and check_layers(range(2)) == (0, 1)
