"""Devices and working precisions, as they are asked for by name or type."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from mixture_cases import X_MADE, quick

from mfa_sklearn import MFA, ActivationExtractor, datasets
from mfa_sklearn._base.devices import DrawsOf, model_dtype, resolve_device, seeded, without_autocast, working_dtype


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


def test_precisions_of_a_mixture_and_of_a_language_model() -> None:
    assert working_dtype("auto", np.zeros(1, np.float16)) == torch.float32
    assert working_dtype("auto", np.zeros(1, np.int8)) == torch.float64
    assert model_dtype("bfloat16") == model_dtype(torch.bfloat16) == torch.bfloat16
    with pytest.raises(ValueError, match="dtype='int8' is unknown; choose one of 'float32'"):
        model_dtype("int8")


def drawn(device: str = "cpu") -> list[float]:
    return torch.rand(3, device=device).tolist()


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu")])
def test_draws_follow_the_seed_and_are_put_back(device: Any) -> None:
    torch.manual_seed(5)
    expected = drawn() + drawn()
    torch.manual_seed(5)
    before = drawn()
    with seeded(1, device):
        inside = drawn()
    assert before + drawn() == expected
    torch.manual_seed(1)
    assert inside == drawn()


def test_they_are_put_back_after_an_error() -> None:
    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt), seeded(1):
        drawn()
        raise KeyboardInterrupt
    assert torch.equal(state, torch.get_rng_state())


def test_without_a_seed_draws_go_on() -> None:
    torch.manual_seed(5)
    expected = drawn() + drawn()
    torch.manual_seed(5)
    with seeded(None, "cpu"):
        inside = drawn()
    assert inside + drawn() == expected


def test_a_fit_on_the_processor_leaves_the_generators_of_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("every GPU was seeded"))
    X = np.random.default_rng(0).normal(size=(50, 3))
    MFA(2, 1, max_iter=1, tol=0, random_state=0, device="cpu").fit(X)
    with seeded(1, "cpu"):
        drawn()


@pytest.mark.cuda
@pytest.mark.parametrize("device", ["cuda", "cuda:0", torch.device("cuda", 0)])
def test_draws_on_a_gpu_follow_the_seed_and_are_put_back(device: Any) -> None:
    torch.manual_seed(5)
    expected = drawn("cuda") + drawn("cuda")
    torch.manual_seed(5)
    before = drawn("cuda")
    found = []
    for _ in range(2):
        with seeded(1, device):
            found.append((drawn("cuda"), drawn()))
    assert found[0] == found[1]
    assert before + drawn("cuda") == expected


@pytest.mark.cuda
def test_a_gpu_that_is_not_named_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = drawn("cuda") + drawn("cuda")
    torch.manual_seed(5)
    before = drawn("cuda")
    with seeded(1, "cpu"):
        assert before + drawn("cuda") == expected


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
