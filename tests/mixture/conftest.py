"""Fixtures of several files: passes that always look, and rows on a disk."""

from __future__ import annotations

import numpy as np
import pytest

from mfa_sklearn.mixture._em import truncated as truncated_module


@pytest.fixture
def always_looking(monkeypatch):
    """No pass goes over known pairs only."""
    monkeypatch.setattr(truncated_module, "_REVISITS", 0)


@pytest.fixture
def on_disk(tmp_path):
    """Writes rows and maps them."""

    def write(X):
        X.tofile(tmp_path / "rows.bin")
        return np.memmap(tmp_path / "rows.bin", dtype=X.dtype, mode="r", shape=X.shape)

    return write
