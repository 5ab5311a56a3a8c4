"""Faster products for a search: factors of single precision rounded, sums kept.

A GPU may round the factors to TF32, a processor with units for it to bfloat16; one whose units gain nothing by rounding
computes in full, which can still be a faster way to do so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ..._base.isolation import coarse

# Relative rounding of the factors: TF32 and bfloat16.
TF32_EPS, BF16_EPS = 2.0**-11, 2.0**-8


@contextmanager
def coarse_products(device: torch.device, allowed: bool = True) -> Iterator[None]:
    """Let matrix products of single precision on a device round their factors, if allowed; settings are put back.

    The setting is one for the process: inside the block this thread has the library to itself.
    """
    backend, precision = (
        (torch.backends.cuda.matmul, "tf32")
        if device.type == "cuda"
        else (getattr(torch.backends.mkldnn, "matmul", None), "bf16")
    )
    # From torch 2.9 on there is a name for the precision, and reading the old switch beside it may fail.
    newer = hasattr(backend, "fp32_precision")
    name, value = ("fp32_precision" if newer else "allow_tf32"), (precision if newer else True)
    if not allowed or device.type not in ("cpu", "cuda") or not hasattr(backend, name):
        yield
        return

    def switch() -> Callable[[], None]:
        before = getattr(backend, name)
        setattr(backend, name, value)
        return lambda: setattr(backend, name, before)

    with coarse(switch):
        yield


def search_may_be_coarse(precision: Tensor, temperature: float) -> bool:
    """Whether rounding moves log densities of rows of unit variance by less than the temperature blurs them.

    Parameters
    ----------
    precision : Tensor (D, K) or (D, 1)
        Inverse noise variances: a squared distance is a sum of D terms of about their size, each rounded on its own.
    temperature : float
    """
    typical = precision.sum(0).mean() / precision.shape[0] ** 0.5
    return temperature > 1 and BF16_EPS * float(typical) <= temperature
