"""Moves of rows that lie on an accelerator: they stay there, and end where they do on the processor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerator_cases import Place, assert_alike
from move_cases import D, K, Q, as_mfa, draws, make_params

from mfa_sklearn import steering
from mfa_sklearn.mixture._model.params import MFAParams
from mfa_sklearn.steering import Gate
from mfa_sklearn.steering._custom_move import CustomMove
from mfa_sklearn.steering._move import Mixture, Move

SCORES = np.random.default_rng(3).normal(size=(K, Q))
SET = {1: 0.6, 3: 0.4}
COMPONENTS = [0, 1, 2, 3, 0, 2]
IS_CONCEPT = np.array([True, False, True, False, True, True])


def on(params: MFAParams, like: torch.Tensor) -> MFAParams:
    """The mixture, on the device of rows."""
    return params.to(device=like.device)


def affine(x: torch.Tensor, p: MFAParams, folder: Path) -> list[torch.Tensor]:
    maps = [
        steering.affine_map(as_mfa(p), 1, 0.5, z={0: 1.0}),
        steering.affine_map(as_mfa(p), SET, 0.5, method="direction"),
        steering.affine_map(as_mfa(p), 1, 0.5, method="transport", source=0),
    ]
    steering.save_affine(folder / "maps.safetensors", dict(enumerate(maps)))
    loaded = steering.load_affine(folder / "maps.safetensors").maps
    return [move(x) for move in maps] + [move.to(x)(x) for move in loaded.values()]


Case = Callable[[torch.Tensor, MFAParams, Path], Any]
OPERATORS: dict[str, Case] = {
    "AffineMap": affine,
    "affine_map": affine,
    "load_affine": affine,
    "save_affine": affine,
    "SavedMaps": affine,
    "add_direction": lambda x, p, _: [
        steering.add_direction(x, d, 0.5) for d in (SCORES[0, 0] * np.ones(D), p.means[0], on(p, x).means[0])
    ],
    "difference_of_means": lambda x, p, _: steering.difference_of_means(x, IS_CONCEPT),
    "interpolate": lambda x, p, _: [steering.interpolate(x, q.means[1], 0.6) for q in (p, on(p, x))],
    "keep_norm": lambda x, p, _: steering.keep_norm(2 * x + 1, x),
    "opens": lambda x, p, _: [
        steering.opens(mfa, x, Gate({0: 1.0, 2: 0.5}, at_least=0.3, below=0.9)) for mfa in (as_mfa(p), on(p, x))
    ],
    "Gate": lambda x, p, _: steering.opens(as_mfa(p), x, Gate(1, below=0.5)),
    "principal_direction": lambda x, p, _: steering.principal_direction(x, IS_CONCEPT),
    "probe_direction": lambda x, p, _: steering.probe_direction(x, IS_CONCEPT),
    "random_direction": lambda x, p, _: steering.random_direction(p.means[0].numpy(), random_state=0),
    "region_direction": lambda x, p, _: [
        steering.region_direction(mfa, weights, SCORES)
        for mfa, weights in ((as_mfa(p), SET), (on(p, x), SET), (on(p, x), torch.ones(K, device=x.device)))
    ],
    "shift": lambda x, p, _: [steering.shift(x, None), steering.shift(x, p.means[0])],
    "subspace_offset": lambda x, p, _: steering.subspace_offset(on(p, x).loadings, torch.tensor(SCORES[0])),
    "transport": lambda x, p, _: steering.transport(x, steering.transport_map(on(p, x), 0, 2), 0.5),
    "transport_map": lambda x, p, _: [steering.transport_map(mfa, 1, 3) for mfa in (as_mfa(p), on(p, x))],
    "TransportMap": lambda x, p, _: steering.transport_map(p, 0, 2).to(x),
    "two_stage": lambda x, p, _: steering.two_stage(x, p.means[1], 0.6, p.means[0]),
    "weighted_centroid": lambda x, p, _: [steering.weighted_centroid(mfa, x) for mfa in (as_mfa(p), on(p, x))],
}
# What needs a language model, and tables of what one did; of labeled rows; of settings alone.
OF_MODELS = {
    *("NEUTRAL_PROMPTS", "Arm", "Comparison", "MFASteerer", "SteeredTokens", "Steering", "SteeringDisplay"),
    *("baseline_arms", "compare", "evaluate_steering", "steer_with", "steering_at_cost", "summarize_steering"),
}
OF_LABELS = {"balanced_halves", "concept_regions", "concept_scores", "save_control_vector"}


def test_every_operator_has_a_case() -> None:
    assert set(steering.__all__) - OF_MODELS - OF_LABELS == set(OPERATORS)


def back(found: Any, place: Place) -> Any:
    """A result on the processor; what is made of rows of a device lies there until then."""
    if isinstance(found, torch.Tensor):
        return found.cpu()
    return [back(one, place) for one in found] if isinstance(found, list | tuple) else found


@pytest.mark.parametrize("noise", ["shared", "component"])
@pytest.mark.parametrize("name", OPERATORS)
def test_operators(name: str, noise: str, place: Place, tmp_path: Path) -> None:
    params = make_params(noise)
    x = draws(params, COMPONENTS)
    expected = OPERATORS[name](x, params, tmp_path)
    found = OPERATORS[name](x.to(place.device), params, tmp_path)
    assert_alike(back(found, place), back(expected, place), place.tolerance)


@pytest.mark.parametrize("name", ["interpolate", "two_stage", "weighted_centroid", "keep_norm", "opens", "transport"])
def test_what_is_made_of_rows_stays_with_them(name: str, place: Place, tmp_path: Path) -> None:
    x = draws(make_params(), COMPONENTS).to(place.device)
    found = OPERATORS[name](x, make_params(), tmp_path)
    for one in found if isinstance(found, list) else [found]:
        assert one.device == x.device


MOVES: dict[str, dict[str, Any]] = {
    "centroid": {"component": 1},
    "centroid and step": {"component": 1, "z": {0: 2.0}},
    "centroid by prompt": {"component": [1, 2, 0]},
    "weighted centroid": {"component": None},
    "direction": {"component": 1, "method": "direction"},
    "direction by prompt": {"component": [1, 2, 0], "method": "direction", "z": {1: 1.0}},
    "direction into a set": {"component": SET, "method": "direction", "z": SCORES},
    "transport": {"component": 1, "method": "transport"},
    "transport by prompt": {"component": [1, 2, 0], "method": "transport", "source": 3},
}


@pytest.mark.parametrize("gate", [None, Gate([0, 2], at_least=0.5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", MOVES)
def test_moves(name: str, dtype: torch.dtype, gate: Gate | None, place: Place) -> None:
    params, options = make_params(), {"z": None, "method": "centroid", "source": None} | MOVES[name]
    move = Move(Mixture(as_mfa(params)), alpha=0.6, **options, gate=gate, keep_norm=gate is not None)
    x, prompts = draws(params, COMPONENTS).to(dtype), torch.tensor([0, 0, 1, 1, 2, 2])
    found = move(x.to(place.device), prompts.to(place.device))
    assert found.device == torch.device(place.device) and found.dtype == dtype
    assert_alike(found.double().cpu(), move(x, prompts).double(), place.tolerance)


def test_moves_of_ones_own(place: Place) -> None:
    x = draws(make_params(), COMPONENTS)
    move = CustomMove(lambda rows: rows * 2)
    found = move(x.to(place.device), torch.zeros(len(x), dtype=torch.long, device=place.device))
    assert_alike(found.cpu(), 2 * x, place.tolerance)
