"""Mixtures from numbers, from and to files, and in other processes."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch
from mixture_cases import X_MADE, quick
from persistence_cases import X, assert_same, dense_log_prob, fitted, random_numbers
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import annotate

STRUCTURES = [
    {"noise": noise, "noise_form": form, "loading_type": loadings}
    for noise in ("shared", "component")
    for form in ("diagonal", "isotropic")
    for loadings in ("component", "common")
]
LEARNED = ["weights_", "means_", "loadings_", "noise_variance_"]


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.filterwarnings("ignore:the noise variance of features")
def test_round_trip_is_exact(tmp_path, structure):
    mfa = fitted(**structure)
    mfa.save_pretrained(tmp_path / "new" / "folder")
    loaded = MFA.from_pretrained(tmp_path / "new" / "folder")
    assert_same(mfa, loaded)
    np.testing.assert_allclose(loaded.score_samples(X), mfa.score_samples(X), rtol=1e-12)
    assert loaded.bic(X) == pytest.approx(mfa.bic(X), rel=1e-12)


@pytest.mark.parametrize("kind", ["component", "common"])
def test_mixtures_saved_when_the_parameter_was_called_loadings_are_read(tmp_path, kind):
    mfa = fitted(loading_type=kind)
    mfa.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["sha256"]  # which earlier versions did not write
    config["values"]["loadings"] = config["values"].pop("loading_type")
    path.write_text(json.dumps(config))
    assert_same(mfa, MFA.from_pretrained(tmp_path))
    config["values"]["loading_type"] = kind
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="unexpected keyword argument 'loadings'"):
        MFA.from_pretrained(tmp_path)


def test_gradient_solver_and_no_factors(tmp_path):
    mfa = fitted(solver="gradient", max_iter=1, n_factors=0)
    mfa.save_pretrained(tmp_path)
    assert_same(mfa, MFA.from_pretrained(tmp_path))


def test_a_number_of_factors_per_component(tmp_path):
    mfa = fitted(n_factors=[1, 3])
    mfa.save_pretrained(tmp_path)
    loaded = MFA.from_pretrained(tmp_path)
    assert_same(mfa, loaded)
    given = MFA.from_params(mfa.weights_, mfa.means_, mfa.loadings_, mfa.noise_variance_, n_factors=[1, 3])
    assert given.bic(X) == pytest.approx(mfa.bic(X), rel=1e-9) == loaded.bic(X)


def test_what_is_recorded(tmp_path):
    source = {"model": "gpt2", "layer": 4, "site": "residual", "processing": "raw", "dtype": "float32", "hooks": ["h"]}
    mfa = MFA(n_components=2, random_state=0, tol=0, max_iter=2).fit(annotate(X, source=source))
    mfa.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["format"] == "mfa-sklearn.MFA" and config["format_version"] == 1
    assert set(config["versions"]) == {"mfa-sklearn", "numpy", "scikit-learn", "torch"}
    assert config["values"]["source_"] == source == MFA.from_pretrained(tmp_path).source_
    assert config["values"]["n_components"] == 2 and config["values"]["noise"] == "shared"
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]
    with safetensors.safe_open(tmp_path / "model.safetensors", "np") as file:
        assert set(LEARNED) <= set(file.keys())
        np.testing.assert_array_equal(file.get_tensor("means_"), mfa.means_)


def test_names_of_features_are_kept(tmp_path):
    frame = pd.DataFrame(X, columns=load_wine().feature_names)
    mfa = MFA(n_components=2, random_state=0, tol=0, max_iter=2).fit(frame)
    mfa.save_pretrained(tmp_path)
    loaded = MFA.from_pretrained(tmp_path)
    assert_same(mfa, loaded)
    np.testing.assert_allclose(loaded.score_samples(frame), mfa.score_samples(frame), rtol=1e-12)
    with pytest.raises(ValueError, match="feature names"):
        loaded.score_samples(frame.rename(columns={"alcohol": "ethanol"}))


@pytest.mark.parametrize(
    "given, kept",
    [
        ({"init": X[:2]}, {"init": X[:2]}),
        ({"init": np.arange(len(X)) % 2}, {"init": np.arange(len(X)) % 2}),
        ({"init": KMeans(2, n_init=1)}, {"init": "auto"}),
        ({"random_state": np.random.RandomState(0)}, {"random_state": None}),
        ({"random_state": np.int64(3)}, {"random_state": 3}),
        ({"dtype": torch.float32}, {"dtype": "float32"}),
        ({"dtype": np.float32}, {"dtype": "float32"}),
        ({"dtype": np.dtype("float64")}, {"dtype": "float64"}),
        ({"device": torch.device("cpu")}, {"device": "auto"}),
    ],
)
def test_parameters_that_are_no_plain_values(tmp_path, given, kept):
    fitted(**given).save_pretrained(tmp_path)
    loaded = MFA.from_pretrained(tmp_path)
    for name, value in kept.items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    clone(loaded).fit(X)


def test_parameters_left_out_are_listed(tmp_path):
    """Those that JSON cannot hold, and a place on this machine."""
    own = {
        "init": KMeans(2, n_init=1),
        "random_state": np.random.RandomState(0),
        "checkpoint": str(tmp_path / "secret"),
    }
    fitted(**own).save_pretrained(tmp_path / "mix")
    text = (tmp_path / "mix" / "config.json").read_text()
    assert sorted(json.loads(text)["left_out"]) == ["checkpoint", "init", "random_state"] and "secret" not in text


def test_device_is_that_of_the_reader(tmp_path):
    mfa = fitted()
    mfa.device = "cuda"
    mfa.save_pretrained(tmp_path)
    assert MFA.from_pretrained(tmp_path).device == "auto"
    assert MFA.from_pretrained(tmp_path, device="cpu").device == "cpu"


def test_the_group_that_fitted_it_is_no_part_of_a_mixture(tmp_path):
    mfa = fitted()
    mfa.set_params(distributed=True).save_pretrained(tmp_path)
    assert MFA.from_pretrained(tmp_path).fit(X).distributed is False and mfa.distributed


def test_loaded_mixture_goes_on_learning(tmp_path):
    fitted().save_pretrained(tmp_path)
    loaded = MFA.from_pretrained(tmp_path)
    before = loaded.score(X)
    loaded.partial_fit(X)
    assert loaded.score(X) > before
    warm = MFA.from_pretrained(tmp_path).set_params(warm_start=True, noise_prior=None).fit(X)
    assert warm.lower_bounds_[0] == pytest.approx(before, abs=1e-9)


def test_unfitted_mixture_is_not_saved(tmp_path):
    with pytest.raises(Exception, match="not fitted"):
        MFA().save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


READER = """
import pickle, sys, joblib, numpy as np
from mfa_sklearn import MFA
folder = sys.argv[1]
X = np.load(folder + "/X.npy")
with open(folder + "/mfa.pickle", "rb") as file:
    pickled = pickle.load(file)
readers = [MFA.from_pretrained(folder + "/saved"), joblib.load(folder + "/mfa.joblib"), pickled]
np.save(folder + "/answers.npy", [mfa.score_samples(X) for mfa in readers])
"""


def test_other_processes_read_it(tmp_path):
    mfa = fitted(noise="component").partial_fit(X)
    np.save(tmp_path / "X.npy", X)
    mfa.save_pretrained(tmp_path / "saved")
    joblib.dump(mfa, tmp_path / "mfa.joblib")
    (tmp_path / "mfa.pickle").write_bytes(pickle.dumps(mfa))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", READER, str(tmp_path)], check=True, env=environment, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), [mfa.score_samples(X)] * 3, rtol=1e-12)


def test_survives_pickle_and_joblib(tmp_path):
    mfa = quick()
    joblib.dump(mfa, tmp_path / "mfa.joblib")
    for other in (pickle.loads(pickle.dumps(mfa)), joblib.load(tmp_path / "mfa.joblib")):
        np.testing.assert_array_equal(other.score_samples(X_MADE), mfa.score_samples(X_MADE))
        assert joblib.hash(clone(other)) == joblib.hash(clone(mfa))


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("shared", [True, False])
def test_density_of_given_numbers(shared):
    numbers = random_numbers(shared)
    mfa = MFA.from_params(*[value.tolist() for value in numbers], source={"layer": 3})
    rows = np.random.default_rng(1).standard_normal((20, 4)) * 2
    np.testing.assert_allclose(mfa.score_samples(rows), dense_log_prob(rows, *numbers), rtol=1e-11)
    np.testing.assert_array_equal(mfa.loadings_, numbers[2])
    assert (mfa.n_components, mfa.n_factors, mfa.noise) == (3, 2, "shared" if shared else "component")
    assert (mfa.n_components_, mfa.n_factors_, mfa.n_features_in_, mfa.source_) == (3, 2, 4, {"layer": 3})
    assert not hasattr(mfa, "lower_bound_")
    assert mfa.sample(5)[0].shape == (5, 4)
    assert clone(mfa).get_params() == mfa.get_params()


def test_given_arrays_are_copied():
    numbers = random_numbers(shared=True)
    mfa = MFA.from_params(*numbers)
    numbers[1][:] = 0
    assert mfa.means_.any()


def test_given_numbers_can_be_rotated_saved_and_learned_from(tmp_path):
    numbers = random_numbers(shared=True)
    plain, rotated = MFA.from_params(*numbers), MFA.from_params(*numbers, rotation="varimax", max_iter=5, tol=0)
    rows = plain.sample(200)[0]
    assert not np.allclose(plain.loadings_, rotated.loadings_)
    np.testing.assert_allclose(rotated.score_samples(rows), plain.score_samples(rows), rtol=1e-11)
    rotated.save_pretrained(tmp_path)
    assert_same(rotated, MFA.from_pretrained(tmp_path))
    before = rotated.score(rows)
    assert rotated.partial_fit(rows).score(rows) > before


def test_weights_are_normalized_to_rounding():
    weights, *rest = random_numbers(shared=True)
    assert MFA.from_params(weights.astype(np.float32), *rest).weights_.sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    "changes, params, message",
    [
        ({0: np.ones(3)}, {}, "weights must not be negative and sum to one.* sum of 3"),
        ({0: np.array([1.5, -0.5, 0])}, {}, "weights must not be negative"),
        ({0: np.ones((3, 1)) / 3}, {}, r"shapes do not fit together: weights \(3, 1\)"),
        ({0: np.ones(2) / 2}, {}, r"shapes do not fit together: weights \(2,\)"),
        ({2: np.ones((3, 5, 2))}, {}, "shapes do not fit together"),
        ({2: np.ones((3, 4))}, {}, r"shapes do not fit together: .* loadings \(3, 4\)"),
        ({2: np.full((3, 4, 2), np.inf)}, {}, "loadings holds NaN or infinity"),
        ({3: np.ones(3)}, {}, r"noise_variance \(3,\); expected .* and \(D,\) or \(K, D\)"),
        ({3: np.array([1, 1, 0, 1])}, {}, "noise_variance must be positive; the least is 0.0"),
        ({}, {"n_components": 2}, "n_components=2, but the arrays given have n_components=3"),
        ({}, {"n_factors": [2, 2]}, "n_factors"),
        ({}, {"n_factors": [2, 1, 2]}, r"n_factors=\[2, 1, 2\], but a component's loadings go on beyond its factors"),
        ({}, {"n_factors": 5}, "n_factors=5, but the arrays given have n_factors=2"),
        ({}, {"noise": "component"}, "noise='component', but the arrays given have noise='shared'"),
        ({}, {"noise_form": "isotropic"}, "noise variances given differ between features"),
        ({}, {"solver": "newton"}, "'solver' parameter"),
    ],
)
def test_numbers_that_are_no_mixture_are_refused(changes, params, message):
    numbers = list(random_numbers(shared=True))
    for place, value in changes.items():
        numbers[place] = value
    with pytest.raises(ValueError, match=message):
        MFA.from_params(*numbers, **params)


def test_tied_numbers_are_accepted_as_such():
    weights, means, loadings, _ = random_numbers(shared=True)
    common = np.broadcast_to(loadings[:1], loadings.shape)
    mfa = MFA.from_params(weights, means, common, np.full(4, 2.0), noise_form="isotropic")
    assert mfa.loading_type == "common"
    assert mfa._n_parameters() == 2 + 12 + (8 - 1) + 1


def test_the_senders_folders_are_not_saved(tmp_path):
    source = {"model": "/home/ann/secret/lm", "revision": "sha256:0a1b", "layer": 4}
    mfa = MFA.from_params([1.0], [[0.0, 2.0]], [[[1.0], [1.0]]], [0.5, 0.5], source=source)
    mfa.save_pretrained(tmp_path)
    assert not any(b"secret" in file.read_bytes() for file in tmp_path.iterdir())
    assert MFA.from_pretrained(tmp_path).source_ == {"model": "lm", "revision": "sha256:0a1b", "layer": 4}
    assert mfa.source_ == source
