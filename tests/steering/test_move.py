"""A move as it is asked for: precision, components per row, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from move_cases import D, Q, as_mfa, make_params, rows

from mfa_sklearn.steering import _operators as ops
from mfa_sklearn.steering import _transport
from mfa_sklearn.steering._move import Mixture, Move


@pytest.mark.parametrize(("method", "component"), [("centroid", 1), ("centroid", None), ("transport", 1)])
def test_nothing_asked_for_changes_no_bit(method: str, component: int | None) -> None:
    x = torch.cat([rows(dtype=torch.float32), torch.full((1, D), -0.0)])
    z = None if component is None else np.zeros(Q)
    move = Move(Mixture(as_mfa(make_params())), component, 0.0, z, method, None)
    moved = move(x, torch.arange(len(x)))
    assert moved.numpy().tobytes() == x.numpy().tobytes()
    assert move.is_nothing
    params = make_params()
    route = _transport.transport_map(params, 0, 1)
    for same in (ops.two_stage(x, params.means[1], 0.0, None), _transport.transport(x, route, 0.0)):
        assert same.numpy().tobytes() == x.numpy().tobytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["centroid", "transport"])
def test_moves_keep_the_precision_of_the_activations(dtype: torch.dtype, method: str) -> None:
    x, first = rows(dtype=dtype), torch.zeros(5, dtype=torch.long)
    move = Move(Mixture(as_mfa(make_params())), 2, 0.6, {1: 2.0}, method, 0 if method == "transport" else None)
    exact, moved = move(rows(), first), move(x, first)
    assert moved.dtype == dtype
    tolerance = {torch.float16: 2e-2, torch.bfloat16: 1.5e-1, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    torch.testing.assert_close(moved.double(), exact, atol=tolerance, rtol=tolerance)


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
    for component, method in [(1, "centroid"), (1, "transport"), (None, "centroid")]:
        Move(mixture, component, 0.25, None, method, None)(x, torch.zeros(3, dtype=torch.long)).sum().backward()
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
