"""A move as it is asked for: precision, components per row, and what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from move_cases import D, K, Q, as_mfa, draws, make_params, rows

from mfa_sklearn.steering import Gate, _transport, opens
from mfa_sklearn.steering import _operators as ops
from mfa_sklearn.steering._move import Mixture, Move

SCORES = np.random.default_rng(3).normal(size=(K, Q))
SET = {1: 0.6, 3: 0.4}
# Method, component and z of a move of each kind.
KINDS: dict[str, tuple[str, Any, Any]] = {
    "centroid": ("centroid", 1, None),
    "weighted centroid": ("centroid", None, None),
    "direction": ("direction", 1, None),
    "direction to a set": ("direction", SET, None),
    "direction into a set": ("direction", SET, SCORES),
    "transport": ("transport", 1, None),
}
GATE = Gate([0, 2], at_least=0.5)


def make_move(kind: str, alpha: float | None, params: Any = None, **options: Any) -> Move:
    method, component, z = KINDS[kind]
    z = options.pop("z", z)
    return Move(Mixture(as_mfa(params or make_params())), component, alpha, z, method, None, **options)


def first(n: int) -> torch.Tensor:
    return torch.zeros(n, dtype=torch.long)


@pytest.mark.parametrize("options", [{}, {"gate": GATE, "keep_norm": True}])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_asked_for_changes_no_bit(kind: str, options: dict) -> None:
    x = torch.cat([rows(dtype=torch.float32), torch.full((1, D), -0.0)])
    whole = KINDS[kind][1] is None or kind.startswith("direction ")  # z is of all regions
    z = {} if whole else {"z": np.zeros(Q)}
    move = make_move(kind, 0.0, **options, **z)
    moved = move(x, torch.arange(len(x)))
    assert moved.numpy().tobytes() == x.numpy().tobytes()
    assert move.is_nothing


def test_operators_of_strength_nothing_change_no_bit() -> None:
    x, params = torch.full((2, D), -0.0), make_params()
    route = _transport.transport_map(params, 0, 1)
    for same in (ops.two_stage(x, params.means[1], 0.0, None), _transport.transport(x, route, 0.0)):
        assert same.numpy().tobytes() == x.numpy().tobytes()


@pytest.mark.parametrize("options", [{}, {"gate": GATE, "keep_norm": True}])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_moves_keep_the_precision_of_the_activations(dtype: torch.dtype, kind: str, options: dict) -> None:
    x = draws(make_params(), [0, 1, 2, 3, 0, 2]).to(dtype)
    move = make_move(kind, 0.6, **options)
    exact, moved = move(x.double(), first(6)), move(x, first(6))
    assert moved.dtype == dtype
    tolerance = {torch.float16: 2e-2, torch.bfloat16: 1.5e-1, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(moved.double(), exact, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("method", ["centroid", "transport"])
def test_a_local_step_is_added_in_the_precision_of_the_activations(method: str) -> None:
    x = rows(dtype=torch.bfloat16)
    move = Move(Mixture(as_mfa(make_params())), 2, 0.6, {1: 2.0}, method, 0 if method == "transport" else None)
    torch.testing.assert_close(move(x, first(5)).double(), move(x.double(), first(5)), atol=0.15, rtol=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_only_rows_that_the_gate_lets_through_move(kind: str) -> None:
    params = make_params()
    x = draws(params, list(range(K)) * 5)
    is_open = opens(params, x, GATE)
    assert 0 < int(is_open.sum()) < len(x)
    moved, ungated = (make_move(kind, 0.6, gate=gate)(x, first(len(x))) for gate in (GATE, None))
    assert torch.equal(moved[~is_open], x[~is_open])
    torch.testing.assert_close(moved[is_open], ungated[is_open])


@pytest.mark.parametrize("kind", KINDS)
def test_a_gate_that_opens_for_no_row_leaves_all(kind: str) -> None:
    x, shut = draws(make_params(), [0, 0]), Gate(list(range(K)), below=0.5)
    for rows_, gate in ((x, shut), (x[:0], shut), (x[:0], None)):
        assert torch.equal(make_move(kind, 0.6, gate=gate)(rows_, first(len(rows_))), rows_)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_is_moved_by_the_gate_as_it_is_among_others(kind: str) -> None:
    x = draws(make_params(), list(range(K)) * 2)
    move = make_move(kind, 0.6, gate=GATE)
    together = move(x, first(len(x)))
    alone = torch.cat([move(row[None], first(1)) for row in x])
    torch.testing.assert_close(alone, together)
    assert torch.equal(alone == x, together == x)


@pytest.mark.parametrize("kind", KINDS)
def test_norms_are_kept_if_asked_for(kind: str) -> None:
    x = draws(make_params(), list(range(K)) * 2)
    kept, free = (make_move(kind, 0.6, keep_norm=kept)(x, first(len(x))) for kept in (True, False))
    torch.testing.assert_close(kept.norm(dim=1), x.norm(dim=1))
    torch.testing.assert_close(kept / kept.norm(dim=1, keepdim=True), free / free.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("method", ["centroid", "direction", "transport"])
def test_beams_belong_to_their_prompts(method: str) -> None:
    """Three prompts of two rows each: rows 0 and 1 are of the first."""
    mixture, x = Mixture(as_mfa(make_params())), rows(12)
    move = Move(mixture, [3, 0, 3], 0.5, None, method, None)
    move.check_rows(6)
    batch_row = torch.tensor([0, 1, 2, 3, 4, 5]).repeat_interleave(2)
    moved = move(x, batch_row)
    for prompt, k in enumerate([3, 0, 3]):
        mine = batch_row // 2 == prompt
        alone = Move(mixture, k, 0.5, None, method, None)(x[mine], first(4))
        torch.testing.assert_close(moved[mine], alone, rtol=1e-5, atol=1e-5)
    move.check_rows(3)
    torch.testing.assert_close(
        move(x[:2], torch.tensor([0, 1]))[1], Move(mixture, 0, 0.5, None, method, None)(x[1:2], first(1))[0]
    )


def test_batches_of_other_prompts_than_components_are_refused() -> None:
    move = Move(Mixture(as_mfa(make_params())), [3, 0], 0.5, None, "centroid", None)
    for n_rows in (0, 1, 3):
        with pytest.raises(ValueError, match=f"2 components were given for a batch of {n_rows} prompts"):
            move.check_rows(n_rows)
    move.check_prompts(2)
    with pytest.raises(ValueError, match="2 components were given for a batch of 4 prompts"):
        move.check_prompts(4)
    for kind in KINDS:
        make_move(kind, 0.5).check_rows(3)
        make_move(kind, 0.5).check_prompts(3)


def test_transport_starts_from_the_most_responsible_component_of_each_row() -> None:
    params = make_params()
    x = params.means[[0, 3, 1, 0]] + 0.01
    mixture = Mixture(as_mfa(params))
    moved = Move(mixture, 2, 0.5, None, "transport", None)(x, torch.zeros(4, dtype=torch.long))
    for row, source in enumerate([0, 3, 1, 0]):
        torch.testing.assert_close(moved[row], _transport.transport(x[row], mixture.route(source, 2), 0.5))
    at_target = Move(mixture, 2, 1.0, None, "transport", None)(params.means[[2]], torch.zeros(1, dtype=torch.long))
    torch.testing.assert_close(at_target, params.means[[2]])


def test_a_component_per_row_of_the_batch() -> None:
    params, x = make_params(), rows(4)
    move = Move(Mixture(as_mfa(params)), [3, 0], 1.0, {0: 1.0}, "centroid", None)
    moved = move(x, torch.tensor([1, 0, 0, 1]))
    expected = (params.means + params.loadings[:, :, 0])[[0, 3, 3, 0]]
    torch.testing.assert_close(moved, expected)


def test_moves_are_differentiable() -> None:
    mixture = Mixture(as_mfa(make_params()))
    x = rows(3).requires_grad_()
    for method, component, z in KINDS.values():
        for options in ({}, {"keep_norm": True, "gate": GATE}):
            Move(mixture, component, 0.25, z, method, None, **options)(x, first(3)).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


BAD_MOVES = [
    ({"component": 4, "alpha": 1}, ValueError, r"component=4 is out of range: the mixture has 4"),
    ({"component": -1, "alpha": 1}, ValueError, "component=-1"),
    ({"component": 1.0, "alpha": 1}, TypeError, "component=1.0"),
    ({"component": True, "alpha": 1}, TypeError, "component=True"),
    ({"component": [], "alpha": 1}, TypeError, "integer"),
    ({"component": 1}, ValueError, "nothing to do"),
    ({"component": 1, "alpha": float("nan")}, ValueError, "alpha=nan"),
    ({"component": 1, "alpha": "much"}, ValueError, "alpha='much'"),
    ({"component": 1, "z": [1.0]}, ValueError, r"z has shape \(1,\), but the mixture has 2 factors"),
    ({"component": 1, "z": np.zeros((2, 1))}, ValueError, "z has shape"),
    ({"component": 1, "z": {2: 1.0}}, ValueError, "factor 2, but factors are numbered 0 to 1"),
    ({"component": 1, "z": {-1: 1.0}}, ValueError, "factor -1"),
    ({"component": 1, "z": [np.inf, 0]}, ValueError, "NaN or infinity"),
    ({"component": None, "z": [1.0, 0]}, ValueError, "give component="),
    ({"component": 1, "alpha": 1, "method": "teleport"}, ValueError, "method='teleport'"),
    ({"component": 1, "alpha": 1, "source": 0}, ValueError, "source= belongs to"),
    ({"component": None, "alpha": 1, "method": "transport"}, ValueError, "needs a target"),
    ({"component": 1, "alpha": 1.5, "method": "transport"}, ValueError, r"outside \[0, 1\]"),
    ({"component": 1, "alpha": 1, "method": "transport", "source": 9}, ValueError, "source=9"),
    ({"component": 1, "alpha": 1, "method": "direction", "source": 0}, ValueError, "method='direction' has no source"),
    ({"component": None, "alpha": 1, "method": "direction"}, ValueError, "needs a target"),
    ({"component": SET, "alpha": 1}, ValueError, "method='centroid' goes to one region: .* method='direction'"),
    ({"component": SET, "alpha": 1, "method": "transport"}, ValueError, "method='transport' goes to one region"),
    ({"component": {9: 1.0}, "alpha": 1}, ValueError, "component=9"),
    ({"component": {1: -1.0}, "alpha": 1}, ValueError, "must be finite, not negative, and not all 0"),
    ({"component": {}, "alpha": 1}, ValueError, "is empty: give at least one region"),
    ({"component": {1: 0.0}, "alpha": 1}, ValueError, "not all 0"),
    ({"component": SET, "z": SCORES, "method": "direction"}, ValueError, "nothing to do"),
    ({"component": SET, "alpha": 1, "z": {0: 1.0}, "method": "direction"}, TypeError, r"give an array \(4, 2\)"),
    ({"component": 1, "alpha": 1, "gate": Gate(9, below=0.5)}, ValueError, "component=9"),
    ({"component": 1, "alpha": 1, "gate": 3}, TypeError, "gate=3 must be a Gate"),
    ({"component": 1, "alpha": 1, "keep_norm": "no"}, TypeError, "keep_norm='no'"),
]


@pytest.mark.parametrize(("asked", "error", "match"), BAD_MOVES)
def test_bad_moves_are_refused(asked: dict, error: type[Exception], match: str) -> None:
    given = {"component": None, "alpha": None, "z": None, "method": "centroid", "source": None, **asked}
    with pytest.raises(error, match=match):
        Move(Mixture(as_mfa(make_params())), **given)


def test_mixtures_that_are_none_are_refused() -> None:
    with pytest.raises(TypeError, match="has no weights_"):
        Mixture(object())
    mfa = as_mfa(make_params())
    mfa.noise_variance_ = np.ones(D + 1)
    with pytest.raises(ValueError, match=r"shapes do not fit together: .*noise_variance \(8,\)"):
        Mixture(mfa)
    mfa.noise_variance_ = np.full(D, np.nan)
    with pytest.raises(ValueError, match="NaN"):
        Mixture(mfa)


@pytest.mark.parametrize("alpha", [-1.0, 1.5, 5])
def test_a_move_past_the_centroid_is_told(alpha: float) -> None:
    with pytest.warns(
        UserWarning, match=rf"alpha={alpha:g} is outside \[0, 1\] and goes (past|away from) the centroid"
    ):
        Move(Mixture(as_mfa(make_params())), 1, alpha, None, "centroid", None)


@pytest.mark.parametrize("alpha", [0, 0.6, 1, np.float32(0.5)])
def test_a_move_towards_the_centroid_is_not(alpha: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Move(Mixture(as_mfa(make_params())), 1, alpha, None, "centroid", None)


@pytest.mark.parametrize(
    ("asked", "error", "match"),
    [
        ({"alpha": 10**400}, ValueError, "alpha=1000.* must be a finite number"),
        ({"alpha": "0.5"}, ValueError, "alpha='0.5' must be a finite number"),
        ({"alpha": 1e300}, ValueError, r"by up to .*e\+300, beyond the 1e\+15"),
        ({"z": [1e39, 0]}, ValueError, r"beyond the 1e\+15"),
        ({"z": {0: "a"}}, TypeError, r"z\[0\]='a' must be a finite number"),
        ({"z": ["a", "b"]}, TypeError, "must hold numbers"),
        ({"z": {0: 1e5}, "dtype": torch.float16}, ValueError, r"beyond the 6.6e\+04"),
        ({"alpha": 1e300, "method": "direction"}, ValueError, r"beyond the 1e\+15"),
        ({"alpha": 1.0, "component": SET, "z": 1e39 * SCORES, "method": "direction"}, ValueError, r"beyond the 1e\+15"),
    ],
)
def test_numbers_that_no_model_computes_with(asked: dict, error: type[Exception], match: str) -> None:
    given = {"component": 1, "alpha": None, "z": None, "method": "centroid", "source": None, **asked}
    with pytest.raises(error, match=match):
        Move(Mixture(as_mfa(make_params())), **given)


def test_activations_that_a_move_takes_too_far_are_refused() -> None:
    move = Move(Mixture(as_mfa(make_params())), 1, 0.5, None, "centroid", None)
    far = rows(3, torch.float32)
    far[1] = 1e17
    with pytest.raises(ValueError, match=r"moved beyond the 1e\+15 that it can compute with"):
        move(far, torch.zeros(3, dtype=torch.long))
    far[1] = torch.nan
    with pytest.raises(ValueError, match="are not finite where they are to be moved"):
        move(far, torch.zeros(3, dtype=torch.long))
