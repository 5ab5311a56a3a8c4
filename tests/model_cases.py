"""Random parameters and rows for the tests of densities, and how near a precision comes."""

from __future__ import annotations

import torch
from mixture_oracles import STRUCTURES, random_params, random_rows

TOLERANCE = {torch.float64: 1e-11, torch.float32: 1e-5}
DTYPES = [torch.float64, torch.float32]


def problem(name: str, size: tuple[int, int, int], dtype: torch.dtype = torch.float64, n_rows: int = 20):
    """Parameters, and rows as a tensor and as the same numbers in double precision."""
    params = random_params(STRUCTURES[name], size, dtype=dtype)
    X = torch.tensor(random_rows(params, n_rows), dtype=dtype)
    return params, X, X.double().numpy()
