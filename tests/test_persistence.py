"""Mixtures from numbers, from and to files, and from checkpoints of the reference implementation."""

from __future__ import annotations

import hashlib
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
import safetensors
import safetensors.numpy
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine

from mfa_sklearn import MFA
from mfa_sklearn._base.annotated import annotate

X = load_wine().data
STRUCTURES = [
    {"noise": noise, "noise_form": form, "loading_type": loadings}
    for noise in ("shared", "component")
    for form in ("diagonal", "isotropic")
    for loadings in ("component", "common")
]
LEARNED = ["weights_", "means_", "loadings_", "noise_variance_"]


def fitted(**params) -> MFA:
    settings = {"n_components": 2, "n_factors": 2, "tol": 0, "max_iter": 4, "random_state": 0}
    return MFA(**(settings | params)).fit(X)


def random_numbers(shared: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0.5, 2.0, 4 if shared else (3, 4))
    return rng.dirichlet(np.ones(3)), rng.standard_normal((3, 4)), rng.standard_normal((3, 4, 2)), noise


def dense_log_prob(rows, weights, means, loadings, noise) -> np.ndarray:
    noise = np.broadcast_to(noise, means.shape)
    parts = [
        np.log(w) + multivariate_normal(m, L @ L.T + np.diag(p)).logpdf(rows)
        for w, m, L, p in zip(weights, means, loadings, noise, strict=True)
    ]
    return logsumexp(parts, axis=0)


def assert_same(a: MFA, b: MFA) -> None:
    assert vars(a).keys() - {"_stream"} == vars(b).keys() - {"_stream"}
    for name, value in vars(a).items():
        if name == "_stream":  # what a stream remembers belongs to the running process
            continue
        other = getattr(b, name)
        if isinstance(value, np.ndarray):
            assert value.dtype == other.dtype and np.array_equal(value, other), name
        else:
            assert value == other and type(value) is type(other), name


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize("structure", STRUCTURES)
def test_round_trip_is_exact(tmp_path, structure):
    mfa = fitted(**structure)
    mfa.save_pretrained(tmp_path / "new" / "folder")
    loaded = MFA.from_pretrained(tmp_path / "new" / "folder")
    assert_same(mfa, loaded)
    np.testing.assert_allclose(loaded.score_samples(X), mfa.score_samples(X), rtol=1e-12)
    assert loaded.bic(X) == pytest.approx(mfa.bic(X), rel=1e-12)


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
    fitted(init=KMeans(2, n_init=1), random_state=np.random.RandomState(0)).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["left_out"] == ["init", "random_state"]


def test_device_is_that_of_the_reader(tmp_path):
    mfa = fitted()
    mfa.device = "cuda"
    mfa.save_pretrained(tmp_path)
    assert MFA.from_pretrained(tmp_path).device == "auto"
    assert MFA.from_pretrained(tmp_path, device="cpu").device == "cpu"


def test_loaded_mixture_goes_on_learning(tmp_path):
    fitted().save_pretrained(tmp_path)
    loaded = MFA.from_pretrained(tmp_path)
    before = loaded.score(X)
    loaded.partial_fit(X)
    assert loaded.score(X) > before
    warm = MFA.from_pretrained(tmp_path).set_params(warm_start=True).fit(X)
    assert warm.lower_bounds_[0] == pytest.approx(before, abs=1e-9)


def test_unfitted_mixture_is_not_saved(tmp_path):
    with pytest.raises(Exception, match="not fitted"):
        MFA().save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_saved_mixture_is_replaced_and_its_neighbors_stay(tmp_path):
    fitted().save_pretrained(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    other = fitted(n_factors=3)
    other.save_pretrained(tmp_path)
    assert_same(other, MFA.from_pretrained(tmp_path))
    assert (tmp_path / "README.md").read_text() == "mine"


def test_attribute_that_no_file_can_hold_is_named(tmp_path):
    mfa = fitted()
    mfa.source_ = {"model": object()}
    with pytest.raises(TypeError, match="source_ cannot be saved"):
        mfa.save_pretrained(tmp_path)
    assert os.listdir(tmp_path) == []


def test_foreign_folder_is_not_written_into(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(FileExistsError, match=r"holds other things .*config\.json.*format is None"):
        fitted().save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        fitted().save_pretrained(tmp_path)
    with pytest.raises(FileExistsError, match="is a file"):
        fitted().save_pretrained(tmp_path / "notes.txt")
    assert os.listdir(tmp_path) == ["notes.txt"] and (tmp_path / "notes.txt").read_text() == "mine"


def test_failed_writing_leaves_the_old_mixture(tmp_path, monkeypatch):
    old = fitted()
    old.save_pretrained(tmp_path)
    new = fitted(n_factors=1)

    def full(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(OSError, match="no space"):
            new.save_pretrained(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]
    assert_same(old, MFA.from_pretrained(tmp_path))


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def flip_a_bit(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def truncate_config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text()[:-40])


def edit(**changes):
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return damage


def edit_value(name: str, value):
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config["values"][name] = value
        path.write_text(json.dumps(config))

    return damage


def other_arrays(content: bytes):
    """Arrays that are not a mixture's, under a checksum that is right."""

    def damage(folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(content)
        entry = {"file": "model.safetensors", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        edit(arrays=entry)(folder)

    return damage


def arrays_with(**changes) -> bytes:
    weights, means, loadings, noise = random_numbers(shared=True)
    arrays = {"weights_": weights, "means_": means, "loadings_": loadings, "noise_variance_": noise}
    return safetensors.numpy.save({**arrays, **changes})


@pytest.mark.parametrize(
    "damage, message",
    [
        (truncate, "model.safetensors is not the file that config.json describes: it has .* bytes and SHA-256"),
        (flip_a_bit, "model.safetensors is not the file that config.json describes"),
        (truncate_config, "config.json is not JSON"),
        (edit(format="other"), "config.json is not of a saved mixture: its format is 'other'"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "its format is 'list'"),
        (edit(format_version=2), "format_version 2, but this version .* reads up to 1; upgrade"),
        (edit(format_version="1"), "format_version '1'"),
        (edit(values=None), "lacks 'values' or 'arrays'"),
        (edit(arrays=3), "lacks 'values' or 'arrays'"),
        (edit_value("future_parameter", 1), "written by .*future_parameter"),
        (edit_value("__class___", 1), "'__class___' is not the name of a learned attribute"),
        (other_arrays(b"nonsense"), "model.safetensors is not a safetensors file"),
        (other_arrays(safetensors.numpy.save({"a": np.ones(3)})), r"weights must be an array"),
        (other_arrays(arrays_with(means_=np.full((3, 4), np.nan))), "means holds NaN"),
        (other_arrays(arrays_with(means_=np.ones((3, 5)))), "shapes do not fit together"),
        (other_arrays(arrays_with(noise_variance_=np.zeros(4))), "noise_variance must be positive"),
    ],
)
def test_damaged_and_foreign_files_are_refused(tmp_path, damage, message):
    fitted().save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        MFA.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file_is_named(tmp_path, name):
    fitted().save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        MFA.from_pretrained(tmp_path)


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
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", READER, str(tmp_path)], check=True, env=environment, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "answers.npy"), [mfa.score_samples(X)] * 3, rtol=1e-12)


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
        ({0: np.ones((3, 1)) / 3}, {}, r"weights must be an array of \(1,\) dimensions, got shape \(3, 1\)"),
        ({0: np.ones(2) / 2}, {}, r"shapes do not fit together: weights \(2,\)"),
        ({2: np.ones((3, 5, 2))}, {}, "shapes do not fit together"),
        ({2: np.ones((3, 4))}, {}, "loadings must be an array"),
        ({2: np.full((3, 4, 2), np.inf)}, {}, "loadings holds NaN or infinity"),
        ({3: np.ones(3)}, {}, r"noise_variance has shape \(3,\); expected \(4,\) or \(3, 4\)"),
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


# ---------------------------------------------------------------- the reference's checkpoints


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x))


def reference_state(per_component: bool, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    shapes = {"mu": (3, 5), "dir_raw": (3, 5, 2), "scale_rho": (3, 2), "psi_rho": (3, 5) if per_component else (5,)}
    state = {name: torch.tensor(rng.standard_normal(shape), dtype=torch.float32) for name, shape in shapes.items()}
    buffers = {name: torch.eye(2).repeat(3, 1, 1) for name in ("_rot_T", "_rot_inv_Tt")}
    return state | {"pi_logits": torch.tensor([0.3, -1.0, 0.5])} | buffers


META = {
    "K": 3,
    "D": 5,
    "q": 2,
    "psi_per_component": False,
    "eps_floor": 0.01,
    "dtype": "torch.float32",
    "version": 1,
    "rotation_on": False,
    "rotation_kind": None,
    "rotation_params": {},
}


def reference_numbers(state: dict[str, torch.Tensor], eps: float) -> list[np.ndarray]:
    """What the state stands for, component by component and column by column."""
    s = {name: value.numpy().astype(float) for name, value in state.items()}
    weights = np.exp(s["pi_logits"]) / np.exp(s["pi_logits"]).sum()
    loadings = np.empty((3, 5, 2))
    for k in range(3):
        for j in range(2):
            column = s["dir_raw"][k, :, j]
            loadings[k, :, j] = softplus(s["scale_rho"][k, j]) * column / max(np.sqrt((column**2).sum()), eps)
    return [weights, s["mu"], loadings, softplus(s["psi_rho"]) + eps]


@pytest.mark.parametrize("per_component", [False, True])
def test_reference_checkpoint_has_its_density(tmp_path, per_component):
    state = reference_state(per_component)
    torch.save({"state_dict": state, "meta": META | {"psi_per_component": per_component}}, tmp_path / "mfa.pt")
    mfa = MFA.from_reference_checkpoint(tmp_path / "mfa.pt", source={"layer": 4})
    rows = np.random.default_rng(2).standard_normal((30, 5)) * 2
    expected = reference_numbers(state, eps=0.01)
    np.testing.assert_allclose(mfa.score_samples(rows), dense_log_prob(rows, *expected), rtol=1e-10)
    np.testing.assert_allclose(mfa.loadings_, expected[2], rtol=1e-12)
    assert mfa.noise == ("component" if per_component else "shared") and mfa.source_ == {"layer": 4}


def test_reference_state_dict_alone(tmp_path):
    state = reference_state(False)
    torch.save(state, tmp_path / "mfa.pt")
    mfa = MFA.from_reference_checkpoint(str(tmp_path / "mfa.pt"))
    np.testing.assert_allclose(mfa.noise_variance_, softplus(state["psi_rho"].double().numpy()) + 1e-8, rtol=1e-12)


def test_direction_of_no_length_is_left_short(tmp_path):
    state = reference_state(False)
    state["dir_raw"][0, :, 0] = 0
    state["dir_raw"][0, 0, 0] = 0.001  # below eps_floor, so it is divided by that
    torch.save({"state_dict": state, "meta": META}, tmp_path / "mfa.pt")
    loadings = MFA.from_reference_checkpoint(tmp_path / "mfa.pt").loadings_
    np.testing.assert_allclose(loadings[0, 0, 0], 0.1 * softplus(float(state["scale_rho"][0, 0])), rtol=1e-6)


def test_oblique_view_is_left_out_and_said_so(tmp_path):
    meta = META | {"rotation_on": True, "rotation_kind": "oblimin"}
    torch.save({"state_dict": reference_state(False), "meta": meta}, tmp_path / "mfa.pt")
    with pytest.warns(UserWarning, match="oblique rotation .'oblimin'."):
        mfa = MFA.from_reference_checkpoint(tmp_path / "mfa.pt")
    np.testing.assert_allclose(mfa.loadings_, reference_numbers(reference_state(False), 0.01)[2], rtol=1e-12)


class Runs:
    """A pickle that would write a file when read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "ran")


def test_reading_a_checkpoint_runs_nothing(tmp_path):
    victim = tmp_path / "victim"
    meta = META | {"extra": Runs(victim)}
    torch.save({"state_dict": reference_state(False), "meta": meta}, tmp_path / "mfa.pt")
    with pytest.raises(ValueError, match=r"mfa\.pt .*reading them could run code"):
        MFA.from_reference_checkpoint(tmp_path / "mfa.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Runs(victim)))
    with pytest.raises(ValueError, match=r"bare\.pt"):
        MFA.from_reference_checkpoint(tmp_path / "bare.pt")
    assert not victim.exists()


@pytest.mark.parametrize(
    "state, meta, message",
    [
        ({"mu": None}, {}, "is not a checkpoint of the reference: it holds .*expected tensors"),
        ({"psi_rho": torch.ones(4)}, {}, "shapes that do not fit together"),
        ({"scale_rho": torch.ones(3)}, {}, "shapes that do not fit together"),
        ({"dir_raw": torch.ones(3, 5)}, {}, r"dir_raw of shape \(3, 5\)"),
        ({}, {"K": 7}, "says .*'K': 7.* but its tensors have K=3"),
        ({}, {"version": 2}, "version 2; this reader knows version 1"),
        ({"mu": torch.full((3, 5), torch.nan)}, {}, "means holds NaN"),
    ],
)
def test_checkpoints_that_are_none_are_refused(tmp_path, state, meta, message):
    content = {"state_dict": reference_state(False) | state, "meta": META | meta}
    torch.save(content, tmp_path / "mfa.pt")
    with pytest.raises(ValueError, match=message):
        MFA.from_reference_checkpoint(tmp_path / "mfa.pt")


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_truncated_checkpoint_is_refused(tmp_path, size):
    path = tmp_path / "mfa.pt"
    torch.save({"state_dict": reference_state(False), "meta": META}, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"mfa\.pt"):
        MFA.from_reference_checkpoint(path)


def test_other_objects_and_missing_files(tmp_path):
    torch.save(torch.ones(3), tmp_path / "tensor.pt")
    with pytest.raises(ValueError, match="it holds Tensor"):
        MFA.from_reference_checkpoint(tmp_path / "tensor.pt")
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt"):
        MFA.from_reference_checkpoint(tmp_path / "nothing.pt")
