"""Ragged lists in rectangular blocks: each member once, in blocks that fit their budget."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mixture_oracles import STRUCTURES, as_arrays, e_step, random_params, random_rows

from mfa_sklearn.mixture._model import blocks as blocks_module
from mfa_sklearn.mixture._model.blocks import Block, blocks, gather
from mfa_sklearn.mixture._model.density import prepare

COUNTS = {
    "even": [5] * 12,
    "none": [0, 0, 0],
    "no components": [],
    "one": [1],
    "empty between": [0, 7, 0, 0, 3, 0],
    "all in one": [0, 0, 1000, 0],
    "one huge": [3, 1000, 2, 0, 5],
    "just fits": [40, 40, 1],
    "one too many": [41, 40, 1],
    "long tail": list(np.random.default_rng(0).geometric(0.02, 200) - 1),
}
# Rows of two doubles, and 40 of them to a block.
ROW = torch.zeros(1, 2, dtype=torch.float64)
BUDGET = 40


def in_blocks(counts, X=ROW) -> list[Block]:
    """Members that are rows 7, 8, ... of `X`."""
    return list(blocks(counts, X, 7 + torch.arange(int(np.sum(counts)))))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setitem(blocks_module._BLOCK_BYTES, "cpu", BUDGET * 2 * 8)


@pytest.mark.parametrize("kind", COUNTS)
def test_each_member_is_in_one_block_under_its_own_component(kind):
    counts = COUNTS[kind]
    owner = np.repeat(np.arange(len(counts)), counts)
    seen = np.zeros(len(owner), dtype=int)
    for block in in_blocks(counts):
        for component, members in zip(block.components.tolist(), block.place.numpy(), strict=True):
            filled = members[members < len(owner)]
            assert len(filled) > 0
            assert (owner[filled] == component).all()
            seen[filled] += 1
        members, numbers = block.place.numpy(), block.numbers.numpy()
        np.testing.assert_array_equal(numbers, np.where(members < len(owner), members + 7, 7), "padding is the first's")
    assert (seen == 1).all()


@pytest.mark.parametrize("kind", COUNTS)
def test_blocks_fit_their_budget_and_are_mostly_full(kind):
    nowhere = sum(COUNTS[kind])
    for block in in_blocks(COUNTS[kind]):
        assert block.place.numel() <= BUDGET
        assert int(block.place.max()) <= nowhere
        filled = (block.place < nowhere).sum(1)
        assert int(filled.max()) == block.place.shape[1]
        assert int((block.place == nowhere).sum()) <= BUDGET / 4


def test_small_components_share_a_block():
    """A block for each size would cost far more than what pads them."""
    found = in_blocks([9, 1, 5, 3, 7])
    assert [b.components.tolist() for b in found] == [[0, 4, 2], [3, 1]]
    assert len(in_blocks([3] * 5 + [2] * 5 + [1] * 2)) == 1


def test_a_huge_component_comes_in_even_pieces():
    sizes = [(b.place < 1010).sum(1) for b in in_blocks(COUNTS["one huge"]) if 1 in b.components]
    assert torch.cat(sizes).tolist() == [BUDGET] * 25
    sizes = [(b.place < 82).sum(1) for b in in_blocks(COUNTS["one too many"]) if 0 in b.components]
    assert torch.cat(sizes).tolist() == [21, 20]


def test_a_row_wider_than_the_budget_is_a_block_of_its_own():
    found = [(b.components.tolist(), b.place.tolist()) for b in in_blocks([2, 0, 1], torch.zeros(1, 1000))]
    assert found == [([0], [[0]]), ([0], [[1]]), ([2], [[2]])]
    found = [(b.components.tolist(), b.place.tolist()) for b in in_blocks([2, 0, 1], torch.zeros(1, 1))]
    assert found == [([0, 2], [[0, 1], [2, 3]])]


def test_gathered_rows_are_those_of_their_numbers():
    X = torch.arange(12.0).view(6, 2)
    numbers = torch.tensor([[5, 0, 0], [1, 2, 5]])
    np.testing.assert_array_equal(gather(X, numbers), X.numpy()[numbers.numpy()])


@pytest.mark.parametrize("incomplete", [[0], [0, 3, 7], list(range(30))])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_what_fills_a_block_is_no_row_that_misses_values(incomplete, temperature, monkeypatch):
    """Padding once was row 0: where that misses a value, a weight of zero times NaN spoilt whole components."""
    monkeypatch.setitem(blocks_module._BLOCK_BYTES, "cpu", 2**20)
    monkeypatch.setattr(blocks_module, "_PADDING", 1.0)  # all in one block, however uneven
    params = random_params(STRUCTURES["UUU"], (3, 5, 2))
    params = params._replace(means=5 * params.means)
    rows = random_rows(params, 30)
    rows[incomplete, 1] = np.nan
    X = torch.tensor(rows)
    found = e_step(prepare(params), X, None, temperature)[0]
    assert all(bool(t.isfinite().all()) for t in found)
    one_by_one = [e_step(prepare(params), X[[n]], None, temperature)[0] for n in range(30)]
    for name, value in found._asdict().items():
        total = torch.stack([getattr(s, name) for s in one_by_one]).sum(0)
        torch.testing.assert_close(value, total, rtol=1e-10, atol=1e-10, msg=lambda text, name=name: f"{name}: {text}")
    assert float(found.mass.sum()) == pytest.approx(30, rel=1e-10)
    assert found.residual.shape == as_arrays(params)[1].shape
