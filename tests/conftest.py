"""Settings shared by all tests: offline, reproducible, without a screen."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

# Read when the libraries are imported, so they are set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Test processes share the cores; threads that wait for each other by spinning would slow all of them tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# A shell lets what it runs in the background, and all that this starts, ignore interrupts; some tests send them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
import torch

# They hold no examples, and share a name: read as modules of doctests they would be taken for each other.
collect_ignore_glob = ["*conftest.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `cuda` on a machine without such a device."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "cuda" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Each test starts from the same state of the global generators, whatever ran before it."""
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _figures_closed() -> Iterator[None]:
    """What a test draws is gone after it; matplotlib warns of the twenty-first figure that is left open."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(params=["pretend", pytest.param("cuda", marks=pytest.mark.cuda)])
def place(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An accelerator: a pretend one, and a real one where there is one."""
    from accelerator_cases import place_named

    with place_named(request.param) as found:
        yield found
