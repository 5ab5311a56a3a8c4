"""Moves as affine maps, against dense formulas and the moves themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from move_cases import D, K, Q, as_mfa, make_params, rows

from mfa_sklearn.mixture._model.params import MFAParams
from mfa_sklearn.steering import AffineMap, affine_map, region_direction
from mfa_sklearn.steering._move import Mixture, Move


def covariance(params: MFAParams, k: int) -> torch.Tensor:
    noise = params.noise_variance[k if len(params.noise_variance) > 1 else 0]
    return params.loadings[k] @ params.loadings[k].T + noise.diag()


SETTINGS: list[dict[str, Any]] = [
    {"alpha": 0.6},
    {"z": {1: -2.5}},
    {"alpha": 0.3, "z": [1.0, 2.0]},
    {"alpha": 0.7, "method": "transport", "source": 0},
    {"alpha": 1.0, "method": "transport", "source": 0, "z": {0: 3.0}},
    {"alpha": 0.4, "method": "transport", "source": 2},
    {"alpha": 2.5, "method": "direction"},
    {"alpha": 0.5, "method": "direction", "z": {1: 2.0}},
    {"component": {1: 0.5, 2: 1.5}, "alpha": 0.5, "method": "direction"},
    {"component": {1: 0.5, 2: 1.5}, "alpha": 2.0, "method": "direction", "z": np.ones((K, Q))},
]


@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_map_is_the_move(noise: str, setting: dict[str, Any]) -> None:
    params, x = make_params(noise), rows()
    mfa = as_mfa(params)
    full = {"component": 2, "alpha": None, "z": None, "method": "centroid", "source": None} | setting
    found = affine_map(mfa, **full)
    move = Move(Mixture(mfa), *full.values(), dtype=torch.float64)
    expected = move(x, torch.zeros(len(x), dtype=torch.long))
    torch.testing.assert_close(found(x), expected, rtol=1e-9, atol=1e-9)
    assert found.bias.shape == (D,) and found.bias.dtype == torch.float64


def test_the_centroid_move_shrinks_around_the_mean() -> None:
    params = make_params()
    weight, bias, settings = affine_map(as_mfa(params), np.int64(1), 0.6, [2.0, 0.0])
    np.testing.assert_allclose(weight, 0.4 * np.eye(D), atol=1e-15)
    np.testing.assert_allclose(bias, 0.6 * params.means[1] + 2 * params.loadings[1][:, 0], atol=1e-14)
    assert settings == {"method": "centroid", "component": 1, "alpha": 0.6, "z": [2.0, 0.0], "source": None}


def test_a_direction_is_a_bias_alone() -> None:
    params = make_params()
    weight, bias, settings = affine_map(as_mfa(params), {3: 1, 1: 3}, 2, method="direction")
    assert weight is None and settings["component"] == {"3": 1.0, "1": 3.0}
    torch.testing.assert_close(bias, 2 * region_direction(params, {3: 1, 1: 3}))


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_transport_takes_one_gaussian_to_the_other(noise: str) -> None:
    """Without any formula of the map: mean and covariance of what it makes of the source are the target's."""
    params = make_params(noise)
    weight, bias, settings = affine_map(as_mfa(params), 2, 1.0, method="transport", source=0)
    assert weight is not None and settings["source"] == 0
    torch.testing.assert_close(weight @ params.means[0] + bias, params.means[2])
    torch.testing.assert_close(weight @ covariance(params, 0) @ weight.T, covariance(params, 2), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("setting", [{"alpha": 0}, {"z": {}}, {"alpha": 0.0, "method": "transport", "source": 1}])
def test_nothing_changes_to_the_bit(setting: dict[str, Any]) -> None:
    found, x = affine_map(as_mfa(make_params()), 0, **setting), rows()
    x[0, 0] = -0.0
    assert found.weight is None
    assert found(x).numpy().tobytes() == x.numpy().tobytes()


def test_an_offset_alone_has_no_weight_and_rows_keep_their_precision() -> None:
    params, x = make_params(), rows().to(torch.bfloat16)
    found = affine_map(as_mfa(params), 0, z={0: 1.0})
    assert found.weight is None
    torch.testing.assert_close(found.bias, params.loadings[0][:, 0])
    assert found(x).dtype == torch.bfloat16
    assert affine_map(as_mfa(params), 0, 0.5)(x[None]).shape == (1, *x.shape)


def test_a_map_can_be_cast_once() -> None:
    found, x = affine_map(as_mfa(make_params()), 0, 0.5), rows().float()
    cast = found.to(x)
    assert cast.weight is not None and cast.weight.dtype == cast.bias.dtype == torch.float32
    assert torch.equal(cast(x), found(x)) and cast.settings == found.settings
    assert AffineMap(None, torch.ones(D)).to(x).weight is None


def test_a_map_can_be_made_by_hand() -> None:
    x = rows()
    assert torch.equal(AffineMap(None, torch.ones(D))(x), x + 1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"component": None, "alpha": 0.5}, "weighted by each activation's responsibilities"),
        ({"component": {0: 1.0}, "alpha": 0.5}, r"component=\{0: 1.0\} is a set of regions"),
        ({"component": [0, 1], "alpha": 0.5}, r"component=\[0, 1\] has one for each prompt"),
        ({"alpha": 0.5, "method": "other"}, "method='other' is not one affine map.* exported can be method='centroid'"),
        ({"alpha": 0.5, "method": "transport"}, "without source= starts from each activation's own component"),
        ({"alpha": 0.5, "gate": (0,)}, r"gate=\(0,\) lets the responsibilities"),
        ({"alpha": 0.5, "keep_norm": True}, "keep_norm=True rescales each activation"),
        ({}, "nothing to do"),
        ({"component": K, "alpha": 0.5}, f"component={K} is out of range"),
        ({"alpha": 0.5, "source": 1}, "source= belongs to method='transport'"),
        ({"alpha": 1.5, "method": "transport", "source": 1}, "where transport is defined"),
        ({"z": [1.0] * (Q + 1)}, f"the mixture has {Q} factors"),
    ],
)
def test_what_is_no_affine_map_is_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        affine_map(as_mfa(make_params()), **({"component": 1} | setting))


@pytest.mark.parametrize("component", ["1", 1.0, True])
def test_a_component_is_an_integer(component: Any) -> None:
    with pytest.raises(TypeError, match=f"component={component!r} must be an integer from 0 to {K - 1}"):
        affine_map(as_mfa(make_params()), component, 0.5)
