"""Values on their way to another process."""

from __future__ import annotations

import torch

from mfa_sklearn._base.packing import as_bytes, as_tensor, packed, unpacked
from mfa_sklearn.mixture._model.params import Structure


def test_tensors_travel_apart_and_come_back_in_order() -> None:
    value = {"params": (torch.arange(3.0), torch.eye(2).double()), "structure": Structure(), "none": None}
    message, tensors = packed(value)
    assert [t.tolist() for t in tensors] == [[0, 1, 2], [[1, 0], [0, 1]]]
    asked = []
    waiting = iter(tensors)

    def receive(*what):
        asked.append(what)
        return next(waiting)

    again = unpacked(as_bytes(as_tensor(message)), receive)
    assert asked == [((3,), torch.float32, False), ((2, 2), torch.float64, False)]
    assert again["structure"] == Structure() and again["none"] is None
    assert all(torch.equal(a, b) for a, b in zip(again["params"], value["params"], strict=True))


def test_nothing_is_something_to_send_too() -> None:
    assert as_bytes(as_tensor(b"")) == b""
