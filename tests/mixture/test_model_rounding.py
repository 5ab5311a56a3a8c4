"""Settings of products: changed inside, put back, and only where rounding does not matter."""

from __future__ import annotations

import pytest
import torch

from mfa_sklearn.mixture._model.rounding import BF16_EPS, coarse_products, search_may_be_coarse

MKLDNN = getattr(torch.backends.mkldnn, "matmul", None)
SETTINGS = {"cpu": (MKLDNN, "bf16"), "cuda": (torch.backends.cuda.matmul, "tf32")}
pytestmark = pytest.mark.skipif(MKLDNN is None, reason="this version of torch has no such setting")


def settings():
    return {device: backend.fp32_precision for device, (backend, _) in SETTINGS.items()}


def test_the_setting_of_the_device_is_changed_and_put_back():
    """Of a GPU too where there is none: it is a number kept for later."""
    before = settings()
    for device, (_, value) in SETTINGS.items():
        with coarse_products(torch.device(device)):
            assert settings() == before | {device: value}
        assert settings() == before
        with pytest.raises(RuntimeError, match="inside"), coarse_products(torch.device(device)):
            raise RuntimeError("inside")
        assert settings() == before


def test_what_is_not_allowed_or_not_known_changes_nothing():
    before = settings()
    for device in [*SETTINGS, "meta"]:
        with coarse_products(torch.device(device), allowed=device == "meta"):
            assert settings() == before


def test_a_search_may_be_coarse_where_the_temperature_blurs_more():
    """At temperature one never: the result is read off the posterior."""
    precision = torch.full((400, 7), 10.0)
    blur = BF16_EPS * 400 * 10.0 / 20
    assert blur > 0.7
    assert search_may_be_coarse(precision, 1.01)
    assert not search_may_be_coarse(precision, 1.0)
    assert search_may_be_coarse(100 * precision, 101 * blur)
    assert not search_may_be_coarse(100 * precision, 99 * blur)
    assert search_may_be_coarse(100 * precision[:, :1], 101 * blur)


def test_products_stay_as_good_as_bfloat16_factors():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(64, 300, generator=generator), torch.randn(300, 50, generator=generator)
    with coarse_products(one.device):
        found = one @ other
    error = (found.double() - one.double() @ other.double()).abs()
    assert float(error.max()) < 2 * BF16_EPS * 300**0.5
