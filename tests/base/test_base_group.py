"""Exchanges between real processes, and what becomes of those whose partner fails, parts or dies."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from group_cases import Failure, world

from mfa_sklearn._base import group as group_module
from mfa_sklearn._base.checks import warn_user
from mfa_sklearn._base.group import ALONE, Group, group_of

CPU = torch.device("cpu")


def part_of(rank: int, n_rows: int = 5, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rank)
    return torch.randn(n_rows, 3, generator=generator, dtype=dtype) * 10.0**rank


def sums(rank: int, size: int) -> Any:
    group_module._PIECE_NUMBERS = 4
    group = Group(CPU)
    found = group.sum(part_of(rank), torch.tensor(float(rank), dtype=torch.float64), part_of(rank)[:0])
    single = group.sum(part_of(rank, dtype=torch.float32))
    return [t.numpy() for t in (*found, *single)], group.bytes_sent


def own_sums(rank: int, size: int) -> Any:
    group_module._PIECE_NUMBERS = 12
    group = Group(CPU)
    rows = part_of(rank, 7)
    own, none = group.sum_own(rows, rows[:, :0])
    assert none.shape == (len(own), 0)
    strided = part_of(rank, 14, torch.float32)[::2].T.contiguous().T
    assert torch.equal(group.sum_own(strided)[0], group.sum(strided)[0][group.own(7)])
    return group.own(7), own.numpy(), group.all_gather(own).numpy(), group.sum(rows)[0].numpy()


def gathers(rank: int, size: int) -> Any:
    group = Group(CPU)
    rows = part_of(rank, 2 * rank)  # none on the first
    alike = group.all_gather(part_of(rank).T)
    assert torch.equal(alike, torch.cat([part_of(r).T for r in range(size)]))
    return group.all_gather(rows).numpy(), group.gather(rows).numpy()


def tells(rank: int, size: int) -> Any:
    group = Group(CPU)
    rng = np.random.RandomState(rank)
    assert group.tell(0.1 + rank) == 0.1 and np.isnan(group.tell(float("nan")))
    told = group.tell({"rows": part_of(rank), "name": f"rank {rank}", "flags": torch.tensor([True, False])})
    rng = group.tell(rng)
    drawn = group.decided(lambda: rng.randint(1000), rng)
    facts = group.numbers(rank + 5), group.objects("x" * rank), group.any(rank == 1), group.max(-float(rank))
    return told["rows"].numpy(), told["name"], told["flags"].tolist(), drawn, rng.randint(1000), facts


def fails(rank: int, size: int, where: str) -> Any:
    group = Group(CPU)
    with group.failing_together():
        if rank == 1 and where == "before":
            raise ValueError("no rows here")
        if where == "parted":
            group.tell(0) if rank else group.numbers(0)
        if where == "shapes":
            group.sum(torch.zeros(rank + 1, dtype=torch.float64))
        if where == "alike":
            group.check_alike({"width": 2 if rank else 3})
        group.barrier()
        if rank == 1 and where == "after":
            raise KeyError("no such thing")
    return group


def nested(rank: int, size: int) -> Any:
    with Group(CPU).failing_together(), Group(CPU).failing_together():
        if rank == 1:
            raise TypeError("inner")


def interrupted(rank: int, size: int) -> Any:
    """A Ctrl-C on all ranks but the first, inside an exchange, and then on all."""
    group, kinds = Group(CPU), []
    for first in (1, 0):
        try:
            with group.failing_together():
                for _ in range(3):
                    with group._exchange("numbers", None):
                        if rank >= first:
                            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt as error:
            kinds.append(str(error))
    return kinds, group.numbers(rank)


def threads(rank: int, size: int) -> Any:
    def other() -> str:
        try:
            with Group(CPU).failing_together():
                return "let in"
        except RuntimeError as error:
            return str(error)

    with Group(CPU).failing_together(), ThreadPoolExecutor(1) as pool:
        return pool.submit(other).result()


def warns(rank: int, size: int) -> Any:
    with Group(CPU).failing_together():
        if rank:
            warn_user("only the first rank may say this")


def dies(rank: int, size: int) -> Any:
    group = Group(CPU)
    group.barrier()
    if rank == size - 1:
        os._exit(1)
    with group.failing_together():
        group.sum(part_of(rank))


FAILURES = {
    "before": ("ValueError", "rank 1 failed: ValueError: no rows here"),
    "after": ("RuntimeError", "rank 1 failed: KeyError: 'no such thing'"),
    "parted": ("RuntimeError", "rank 0 is at 'numbers' after 0 exchanges, rank 1 is at 'tell' after 0"),
    "shapes": ("RuntimeError", "or of different shapes"),
    "alike": ("ValueError", "differ in the width: 3 on rank 0, 2 on rank 1"),
}


@pytest.fixture(scope="module", params=[2, 3])
def found(request):
    failing = [(fails, (where,)) for where in FAILURES]
    calls = [(sums, ()), (sums, ()), (gathers, ()), (tells, ()), (nested, ()), (warns, ()), *failing, (own_sums, ())]
    calls[6:6] = [(interrupted, ()), (threads, ())]
    return request.param, world(request.param, *calls)


def test_sums_are_those_of_all_ranks_to_the_bit_alike_and_repeated(found) -> None:
    size, (first, again, *_) = found
    for arrays, sent in [*first, *again]:
        assert all(np.array_equal(a, b) for a, b in zip(arrays, first[0][0], strict=True))
        assert sent == first[0][1]
    total, scalar, empty, single = first[0][0]
    np.testing.assert_allclose(total, sum(part_of(r).numpy() for r in range(size)), rtol=1e-15)
    np.testing.assert_allclose(
        single, sum(part_of(r, dtype=torch.float32).double().numpy() for r in range(size)), rtol=1e-6
    )
    assert scalar == sum(range(size)) and empty.shape == (0, 3) and single.dtype == np.float32


def test_parts_of_sums_are_those_of_the_sum_to_the_bit(found) -> None:
    _, (*_, parts) = found
    for own, part, gathered, total in parts:
        np.testing.assert_array_equal(part, total[own])
        np.testing.assert_array_equal(gathered, total)


def test_bytes_are_those_of_a_ring_and_headers(found) -> None:
    size, ((first, *_), *_) = found
    part, headers = -(-4 // size), 2 * (size - 1) * 5 * 8
    # Four pieces of four numbers each, in double and in single precision; of the last one a number is missing.
    numbers = [4 * part * 8, 3 * part * 4, -(-3 // size) * 4]
    assert first[1] == 2 * (size - 1) * sum(numbers) + headers


def test_rows_come_in_the_order_of_ranks(found) -> None:
    size, (_, _, gathered, *_) = found
    rows = np.concatenate([part_of(r, 2 * r).numpy() for r in range(size)])
    for rank, (everywhere, on_first) in enumerate(gathered):
        np.testing.assert_array_equal(everywhere, rows)
        np.testing.assert_array_equal(on_first, rows if rank == 0 else rows[:0])


def test_the_first_decides_and_generators_stay_in_step(found) -> None:
    size, results = found
    rng = np.random.RandomState(0)
    drawn, next_one = rng.randint(1000), rng.randint(1000)
    for rows, name, flags, *draws, facts in results[3]:
        np.testing.assert_array_equal(rows, part_of(0).numpy())
        assert (name, flags, draws) == ("rank 0", [True, False], [drawn, next_one])
        assert facts == ([r + 5 for r in range(size)], ["x" * r for r in range(size)], True, 0.0)


def test_an_error_on_one_rank_is_one_on_all(found) -> None:
    _, results = found
    for failures, (where, (kind, message)) in zip(results[8:-1], FAILURES.items(), strict=True):
        assert all(isinstance(failure, Failure) for failure in failures), failures
        for rank, failure in enumerate(failures):
            own = where in ("before", "after") and rank == 1
            assert failure.kind == ("KeyError" if own and where == "after" else kind), failure
            assert message.rpartition(": ")[2] in failure.message if own else message in failure.message, failure


def test_an_error_is_told_once_through_nested_blocks(found) -> None:
    _, results = found
    assert [f.kind for f in results[4]] == ["TypeError"] * len(results[4])
    assert results[4][0].message == "rank 1 failed: TypeError: inner"


def test_an_interrupt_waits_for_the_end_of_an_exchange_and_ends_all_ranks(found) -> None:
    size, results = found
    for rank, (kinds, numbers) in enumerate(results[6]):
        assert kinds == (["", ""] if rank else ["rank 1 failed: KeyboardInterrupt: ", ""])
        assert numbers == list(range(size))


def test_a_second_thread_is_refused(found) -> None:
    _, results = found
    assert all("another thread of this process" in said for said in results[7]), results[7]


def test_only_the_first_rank_warns(found) -> None:
    _, results = found
    assert not any(results[5]), results[5]


def test_a_rank_that_dies_ends_the_others() -> None:
    (ended,) = world(3, (dies, ()))
    assert ended[2] is None
    assert all(f.kind == "RuntimeError" and "another process of the group has ended" in f.message for f in ended[:2])


def test_without_a_group_the_remedy_is_named() -> None:
    with pytest.raises(ValueError, match="torchrun"):
        group_of(True, CPU)
    assert group_of(False, CPU) is ALONE


def test_alone_nothing_is_copied() -> None:
    rows = part_of(0)
    with ALONE.failing_together():
        assert ALONE.sum(rows)[0] is rows and ALONE.gather(rows) is ALONE.all_gather(rows) is rows
    assert ALONE.tell(rows) is rows and ALONE.decided(lambda: 3) == 3 and ALONE.numbers(4) == [4]
    assert ALONE.own(3) == slice(0, 3) and ALONE.sum_own(rows)[0] is rows
    assert ALONE.objects("a") == ["a"] and ALONE.any(True) and ALONE.max(2.0) == 2.0
    ALONE.barrier()
    ALONE.check_alike({"width": 3})


@pytest.mark.parametrize(
    ("config", "device", "expected"),
    [
        ("cpu:gloo,cuda:gloo", "cuda", "cpu"),
        ("cpu:gloo", "cpu", "cpu"),
        ("cuda:nccl", "cuda:1", "cuda:1"),
        ("cuda:nccl", "cpu", "cuda:3"),
        ("cpu:gloo,cuda:nccl", "cuda:1", "cuda:1"),
        ("cpu:gloo,cuda:nccl", "cpu", "cpu"),
    ],
)
def test_tensors_are_sent_from_where_the_backend_wants_them(monkeypatch, config, device, expected) -> None:
    monkeypatch.setattr(torch.distributed, "get_backend_config", lambda: config)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert group_module._wire(torch.device(device)) == torch.device(expected)
