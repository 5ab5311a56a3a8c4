"""Configurations that contradict their arrays, or that no mixture can have, are refused; what is saved can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from persistence_cases import assert_same, fitted, random_numbers

from mfa_sklearn import MFA
from mfa_sklearn._base.stored import OWN, own_digest

REMOVED = object()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole")
    MFA.from_params(*random_numbers(shared=True), source={"layer": 3}).save_pretrained(path)
    return path


def changed(whole: Path, tmp_path: Path, own: str = "made again", **changes: Any) -> Path:
    """A copy whose configuration has other values, under a checksum that is right, or none."""
    config = json.loads((whole / "config.json").read_text())
    for name, value in changes.items():
        config["values"].pop(name, None)
        if value is not REMOVED:
            config["values"][name] = value
    config.pop(OWN)
    if own == "made again":
        config[OWN] = own_digest(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((whole / "model.safetensors").read_bytes())
    return tmp_path


CONTRADICTIONS = [
    ({"n_components_": 99}, "n_components_=99, but the arrays are of 3"),
    ({"n_factors_": 1}, "n_factors_=1, but the arrays are of 2"),
    ({"n_features_in_": 5}, "n_features_in_=5, but the arrays are of 4"),
    ({"n_features_in_": REMOVED}, "it has no n_features_in_"),
    ({"n_components_": REMOVED}, "it has no n_components_"),
    ({"n_components": 2}, "n_components=2, but the arrays have n_components=3"),
    ({"n_factors": 7}, "n_factors=7, but the arrays have n_factors=2"),
    ({"n_factors": [1, 1, 1]}, r"n_factors=\[1, 1, 1\], but the arrays have n_factors=2"),
    ({"n_factors": [2, 1, 2]}, "but the arrays have"),
    ({"n_factors": [2, 2]}, "n_factors gives 2 numbers for 3 components"),
    ({"noise": "component"}, "noise='component', but the arrays have noise='shared'"),
    ({"noise_form": "isotropic"}, "noise_form='isotropic', but the noise variances differ"),
    ({"loading_type": "common"}, "loading_type='common', but the loadings differ"),
    ({"feature_names_in_": ["a", "b"]}, "feature_names_in_ has 2 names of 4 features"),
    ({"component_tokens_": {"first": ["a"]}}, "component_tokens_=.* must be lists of strings by component, or null"),
    ({"component_tokens_": {"0": [1]}}, "component_tokens_=.* must be lists of strings by component, or null"),
    ({"n_samples_seen_": -1}, "n_samples_seen_=-1 must be a whole number"),
]
IMPOSSIBLE = [
    *({name: "zzz"} for name in ("noise", "noise_form", "loading_type", "solver", "init", "rotation", "dtype", "tol")),
    *({name: value} for name in ("max_iter", "n_init", "n_components", "batch_size") for value in (-1, "x", 1.5, [1])),
    *({name: "x"} for name in ("acceleration", "warm_start", "sparse_output", "early_stopping", "verbose")),
    {"random_state": "x"},
    {"noise_floor": 2}, {"annealing": 0}, {"validation_fraction": 1}, {"learning_rate": 0}, {"n_factors": "x"},
    *({name: value} for name in ("n_iter_", "n_reseeded_", "n_components_") for value in (None, -1, 1.0, True, "3")),
    {"converged_": 1}, {"converged_": "yes"}, {"lower_bound_": "high"}, {"lower_bound_": [1]}, {"lower_bounds_": 3},
    {"lower_bounds_": [1, None]}, {"source_": [1]}, {"source_": "layer 3"}, {"source_": 0},
    {"feature_names_in_": "abcd"}, {"feature_names_in_": [1, 2, 3, 4]}, {"feature_names_in_": ["a", "a", "b", "c"]},
    {"feature_names_in_": ["a", ["b"], "c", "d"]},
    {"dictionary_": 1}, {"means_": [[0.0] * 4] * 3}, {"weights": [1.0]}, {"predict_": 1}, {"zzz_": 1}, {"zzz": 1},
    {"self": 1}, {"__init__": 1}, {"_stream": 1}, {"": 1}, {"_": 1}, {"heywood_": True}, {"heywood_": [True] * 4},
]  # fmt: skip


@pytest.mark.parametrize("own", ["made again", "left out"])
@pytest.mark.parametrize(("changes", "message"), CONTRADICTIONS)
def test_contradictions_are_named(whole: Path, tmp_path: Path, changes: dict[str, Any], message: str, own: str) -> None:
    with pytest.raises(ValueError, match=rf"config\.json .*{message}"):
        MFA.from_pretrained(changed(whole, tmp_path, own, **changes))


@pytest.mark.parametrize("changes", IMPOSSIBLE, ids=str)
def test_values_that_no_mixture_has(whole: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"config\.json"):
        MFA.from_pretrained(changed(whole, tmp_path, **changes))


def test_any_value_in_any_place_is_used_as_it_is_or_refused(whole: Path, tmp_path: Path) -> None:
    values = [None, True, False, -1, 0, 1, 2, 10**400, 0.5, "", "x", "auto", [], [1], [[1.0]], {}, {"a": [1]}]
    names = json.loads((whole / "config.json").read_text())["values"]
    rows = np.random.default_rng(0).standard_normal((20, 4))
    expected = MFA.from_pretrained(whole).score_samples(rows)
    for name in [*names, "heywood_", "lower_bound_", "feature_names_in_"]:
        for value in values:
            try:
                mfa = MFA.from_pretrained(changed(whole, tmp_path, **{name: value}))
            except ValueError as error:
                assert "config.json" in str(error)
                continue
            assert name == "device" or getattr(mfa, name) == value
            np.testing.assert_array_equal(mfa.score_samples(rows), expected)


def test_a_configuration_that_was_changed_is_told_last(whole: Path, tmp_path: Path) -> None:
    folder = changed(whole, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["values"]["n_iter_"] = 12
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json' was changed after it was written.*remove its entry 'sha256'"):
        MFA.from_pretrained(folder)
    del config[OWN]
    (folder / "config.json").write_text(json.dumps(config))
    assert MFA.from_pretrained(folder).n_iter_ == 12


@pytest.mark.parametrize(
    "changes",
    [
        {"n_factors": 3},
        {"n_components": 4},
        {"noise": "component"},
        {"loading_type": "common"},
        {"noise_form": "isotropic"},
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    mfa = fitted().set_params(**changes)
    name, value = next(iter(changes.items()))
    with pytest.raises(
        ValueError, match=rf"{name}={value!r}, but .*set that back, or fit the mixture again, to save it"
    ):
        mfa.save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_parameters_that_the_arrays_do_not_depend_on_may_change(tmp_path: Path) -> None:
    mfa = fitted().set_params(max_iter=7, warm_start=True, solver="gradient", n_components=None, tol=0.5)
    mfa.save_pretrained(tmp_path)
    assert_same(mfa, MFA.from_pretrained(tmp_path))


def test_names_that_are_not_a_mixtures_are_left_out(tmp_path: Path) -> None:
    mfa = fitted()
    mfa.my_own_ = 3
    mfa.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["left_out"] == ["my_own_"]
    assert not hasattr(MFA.from_pretrained(tmp_path), "my_own_")
