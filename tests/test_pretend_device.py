"""The pretend accelerator is as strict as CUDA, follows views and what is done in place, and leaves torch as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from pretend_device import CPU, DeviceTensor, Machine, pretend_accelerator
from torch.nn.functional import embedding_bag

FIRST, SECOND = torch.device("cuda:0"), torch.device("cuda:1")


@pytest.fixture
def machine() -> Iterator[Machine]:
    with pretend_accelerator(n_devices=2) as found:
        yield found


def table(device: Any = "cuda", **options: Any) -> torch.Tensor:
    return torch.arange(12.0, device=device, **options).reshape(3, 4)


def places(device: Any = "cuda") -> torch.Tensor:
    return torch.tensor([0, 2], device=device)


REFUSED: dict[str, tuple[type[Exception], str, Callable[[], Any]]] = {
    "a sum": (RuntimeError, "same device.*cpu and cuda:0", lambda: table() + table("cpu")),
    "two devices": (RuntimeError, "same device.*cuda:0 and cuda:1", lambda: table() * table("cuda:1")),
    "a product": (RuntimeError, "same device", lambda: table() @ table("cpu").T),
    "concatenated": (RuntimeError, "same device", lambda: torch.cat([table(), table("cpu")])),
    "in place": (RuntimeError, "same device", lambda: table("cpu").add_(table())),
    "into out": (RuntimeError, "same device", lambda: torch.add(table(), 1, out=table("cpu"))),
    "a number in place": (RuntimeError, "same device", lambda: torch.zeros(()).add_(torch.ones((), device="cuda"))),
    "indices of another device": (RuntimeError, "same device", lambda: table("cpu")[places()]),
    "values set": (RuntimeError, "same device", lambda: table().index_put_((places(),), torch.ones(2, 4))),
    "added by index": (RuntimeError, "same device", lambda: table().index_add_(0, places("cpu"), torch.ones(2, 4))),
    "gathered": (RuntimeError, "same device", lambda: table().gather(0, torch.zeros(1, 4, dtype=torch.long))),
    "bags": (RuntimeError, "same device", lambda: embedding_bag(places("cpu")[None], table())),
    "a bound": (RuntimeError, "same device", lambda: table().clamp(min=torch.tensor(1.0))),
    "numpy": (TypeError, "can't convert cuda:0", lambda: table().numpy()),
    "an array": (TypeError, "can't convert cuda:0", lambda: np.asarray(table())),
    "memory": (RuntimeError, "not the processor's", lambda: table().data_ptr()),
    "a third device": (RuntimeError, "invalid device ordinal", lambda: table("cuda:2")),
    "another's generator": (RuntimeError, "'cuda' device type", lambda: table().normal_(generator=torch.Generator())),
    "a generator's draws": (RuntimeError, "'cpu' device", lambda: torch.randn(2, generator=torch.Generator("cuda"))),
    "least squares": (RuntimeError, "gels", lambda: torch.linalg.lstsq(table(), table(), driver="gelsd")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cuda_refuses(case: str, machine: Machine) -> None:
    error, message, attempt = REFUSED[case]
    with pytest.raises(error, match=message):
        attempt()


ALLOWED: dict[str, Callable[[], torch.Tensor]] = {
    "numbers": lambda: 2 * table() + torch.tensor(1.0),
    "a number on the right": lambda: torch.where(table() > 3, table(), torch.tensor(0.0)),
    "indices of the processor": lambda: table()[places("cpu")],
    "copied into": lambda: torch.zeros_like(table()).copy_(table("cuda:1")),
    "like it": lambda: torch.ones_like(table()).new_full((2,), 3.0),
    "of data": lambda: table().new_tensor([1.0, 2.0]),
    "of an array": lambda: torch.as_tensor(np.arange(3.0), device="cuda"),
    "complex": lambda: torch.view_as_real(torch.polar(table(), table())),
    "decomposed": lambda: torch.linalg.eigh(table() @ table().T).eigenvalues,
    "written into": lambda: torch.add(table(), 1, out=torch.empty(0, device="cuda")),
    "bags": lambda: embedding_bag(places()[None], table(), mode="sum"),
    "a layer": lambda: torch.nn.Linear(4, 2).to("cuda")(table()),
    "moved": lambda: table("cuda:1").to("cuda:0", torch.float64).to(table()),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_cuda_allows(case: str, machine: Machine) -> None:
    assert ALLOWED[case]().device == FIRST


def test_views_share_and_shapes_change_in_place(machine: Machine) -> None:
    x = table()
    row, flat = x[1], x.view(-1)
    flat[4:8] = 7.0
    assert row.tolist() == [7.0] * 4 and row.device == FIRST
    x.t_().unsqueeze_(0)
    assert x.shape == (1, 4, 3) and x[0, 2].tolist() == [2.0, 7.0, 10.0]
    found = torch.empty(0, device="cuda")
    torch.mul(table(), 2, out=found)
    assert found.shape == (3, 4) and found.sum().item() == 132


@pytest.mark.parametrize("fused", [False, True])
def test_gradients_and_optimizers(fused: bool, machine: Machine) -> None:
    def minimized(device: str) -> torch.Tensor:
        weight = table(device).requires_grad_()
        optimizer = torch.optim.Adam([weight], lr=0.1, fused=fused)
        for _ in range(3):
            optimizer.zero_grad()
            view = (weight * 2)[1:]
            view[0].mul_(3)
            (view.square().sum() + weight.to("cpu").sum()).backward()
            assert weight.grad is not None and weight.grad.device == weight.device
            optimizer.step()
        return weight.detach().cpu()

    torch.testing.assert_close(minimized("cuda"), minimized("cpu"), rtol=0, atol=0)


def test_a_generator_belongs_to_its_device_and_draws_other_numbers(machine: Machine) -> None:
    there, here = (torch.Generator(device).manual_seed(3) for device in ("cuda:1", "cpu"))
    assert there.device == SECOND and here.device == CPU and isinstance(here, torch.Generator)
    drawn = torch.randn(4, device="cuda:1", generator=there)
    assert drawn.device == SECOND
    assert not torch.equal(drawn.cpu(), torch.randn(4, generator=here))


def test_waits_are_counted(machine: Machine) -> None:
    x = table()
    x.sum().item(), x[x > 3], x.nonzero(), x.cpu(), x * 2
    assert machine.waits == {"aten::_local_scalar_dense": 1, "aten::index": 1, "aten::nonzero": 1, "to cpu": 1}


def test_products_round_their_factors_where_torch_is_set_to_it(machine: Machine) -> None:
    one = torch.tensor([[1.0, 1.0]], device="cuda")
    other = torch.tensor([[1 + 2.0**-12], [2.0**-20]], device="cuda")  # a part beyond ten bits, and a number of one bit
    torch.set_float32_matmul_precision("high")
    try:
        rounded, double = (one @ other).item(), (one.double() @ other.double()).item()
    finally:
        torch.set_float32_matmul_precision("highest")
    assert rounded == 1 + 2.0**-20
    assert (one @ other).item() == double == 1 + 2.0**-12 + 2.0**-20


def test_threads_see_the_same_machine(machine: Machine) -> None:
    found: list[torch.Tensor] = []
    thread = threading.Thread(target=lambda: found.append(torch.ones(2, device="cuda:1") * 2))
    thread.start()
    thread.join()
    assert found[0].device == SECOND


def test_all_is_as_before_after_the_block() -> None:
    names = [(torch, name) for name in dir(torch)] + [(torch.Tensor, name) for name in dir(torch.Tensor)]
    names += [(torch.cuda, name) for name in dir(torch.cuda)]
    before = {(owner, name): getattr(owner, name) for owner, name in names if name != "nan"}
    with pytest.raises(ValueError, match="ended"), pretend_accelerator():
        left = torch.ones(2, device="cuda")
        raise ValueError("ended")
    changed = [name for (owner, name), value in before.items() if getattr(owner, name) != value]
    assert changed == []
    with pytest.raises(RuntimeError, match="outside of pretend_accelerator"):
        left + 1
    with torch.device("meta"):
        assert torch.zeros(2).is_meta and isinstance(left, DeviceTensor)
