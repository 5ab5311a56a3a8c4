"""Devices and working precisions, as they are asked for by name or type."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_cases import X_MADE, quick


@pytest.mark.parametrize("dtype", ["float32", "float64", torch.float32, np.float64, np.dtype("f4")])
def test_working_precision_by_name_and_type(dtype):
    mfa = quick(dtype=dtype)
    wide = "64" in str(dtype)
    assert mfa.score_samples(X_MADE).dtype == (np.float64 if wide else np.float32)
    assert mfa.transform(X_MADE).dtype == (np.float64 if wide else np.float32)
    assert mfa.lower_bound_ == pytest.approx(quick().lower_bound_, abs=1e-4)


@pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without CUDA")
def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match=r"no CUDA; use device='cpu'"):
        quick(device="cuda")
