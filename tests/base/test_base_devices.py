"""Devices and working precisions, as they are asked for by name or type."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from mixture_cases import X_MADE, quick
from pretend_device import pretend_accelerator

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, datasets
from mfa_sklearn._base.devices import DrawsOf, model_dtype, resolve_device, without_autocast, working_dtype


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


@pytest.mark.parametrize("device", ["tpu9", 3.5, None])
def test_what_is_no_device_is_named_in_one_wording(device: Any) -> None:
    said = rf"device={device!r} is not a torch device; use 'auto'"
    with pytest.raises(ValueError, match=said):
        resolve_device(device)
    with pytest.raises(ValueError, match=said):
        ActivationExtractor(datasets.tiny_lm(), 0, device=device).fit(["a"])


@pytest.mark.filterwarnings("ignore:'mkldnn' is no longer used")
@pytest.mark.parametrize("device", ["meta", "mkldnn"])
def test_a_device_without_numbers_is_refused(device: str) -> None:
    with pytest.raises(ValueError, match=rf"device='{device}' cannot compute here .*; use 'auto' or 'cpu'"):
        resolve_device(device)


def test_devices_by_name_and_as_they_are() -> None:
    assert resolve_device("cpu") == resolve_device(torch.device("cpu")) == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_devices_of_a_machine_with_two_accelerators() -> None:
    with pretend_accelerator(n_devices=2):
        assert resolve_device("auto").type == resolve_device("cuda").type == "cuda"
        assert resolve_device("cuda:1") == resolve_device(torch.device("cuda", 1)) == torch.device("cuda:1")
        with pytest.raises(
            ValueError, match=r"device='cuda:2' cannot compute here .*invalid device.*; use 'auto' or 'cpu'"
        ):
            resolve_device("cuda:2")


def test_precisions_of_a_mixture_and_of_a_language_model() -> None:
    assert working_dtype("auto", np.zeros(1, np.float16)) == torch.float32
    assert working_dtype("auto", np.zeros(1, np.int8)) == torch.float64
    assert model_dtype("bfloat16") == model_dtype(torch.bfloat16) == torch.bfloat16
    with pytest.raises(ValueError, match="dtype='int8' is unknown; choose one of 'float32'"):
        model_dtype("int8")


@pytest.mark.parametrize("n_features", [3, 200])
@pytest.mark.parametrize("solver", ["em", "gradient"])
def test_fits_and_draws_leave_the_global_generators_alone(
    solver: str, n_features: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starts of wide rows are found by a randomized decomposition, which libraries draw for globally."""
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("every GPU was seeded"))
    X = np.random.default_rng(0).normal(size=(300, n_features))
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    mfa = MFA(2, 1, max_iter=2, tol=0, random_state=0, solver=solver, device="cpu").fit(X)
    mfa.sample(5)
    KMeansInitializer(3, random_state=0).fit(X)
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


@pytest.mark.cuda
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_generators_of_gpus_are_left_alone(device: str) -> None:
    state = torch.cuda.get_rng_state()
    MFA(2, 1, max_iter=2, tol=0, random_state=0, device=device).fit(np.random.default_rng(0).normal(size=(300, 200)))
    assert torch.equal(state, torch.cuda.get_rng_state())


def sampled(n: int = 20) -> list[int]:
    return torch.distributions.Categorical(torch.full((10,), 0.1)).sample((n,)).tolist()


def test_samples_of_others_follow_a_generator_of_their_own() -> None:
    torch.manual_seed(7)
    expected = sampled()
    state = torch.get_rng_state()
    for _ in range(2):
        with DrawsOf(7):
            assert sampled() == expected
            assert torch.full((10,), 0.1).multinomial(5).shape == (5,)
    assert torch.equal(torch.get_rng_state(), state)
    with DrawsOf(8):
        assert sampled() != expected


def test_they_do_so_in_their_thread_alone() -> None:
    with DrawsOf(7):
        expected = [sampled() for _ in range(3)]
    found = []
    with ThreadPoolExecutor(1) as pool, DrawsOf(7):
        for _ in range(3):
            torch.manual_seed(1)
            other = pool.submit(sampled).result()
            torch.manual_seed(1)
            assert pool.submit(sampled).result() == other
            found.append(sampled())
    assert found == expected


@pytest.mark.parametrize("asked", [True, False])
def test_autocast_is_off_inside_and_as_it_was_behind(asked: bool) -> None:
    x = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=asked):
        with without_autocast(x.device):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == (torch.bfloat16 if asked else torch.float32)
