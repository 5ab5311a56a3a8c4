"""Checkpoints of the reference implementation, read without running anything."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from persistence_cases import dense_log_prob

from mfa_sklearn import MFA


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


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
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
        ({"psi_rho": torch.ones(4)}, {}, "shapes do not fit together"),
        ({"scale_rho": torch.ones(3)}, {}, r"scale_rho has shape \(3,\); expected \(3, 2\)"),
        ({"dir_raw": torch.ones(3, 5)}, {}, r"shapes do not fit together: .* dir_raw \(3, 5\)"),
        ({}, {"K": 7}, "says .*'K': 7.* but its tensors have K=3"),
        ({}, {"version": 2}, "version 2; this reader knows version 1"),
        ({"mu": torch.full((3, 5), torch.nan)}, {}, r"mfa\.pt is damaged: means holds NaN"),
        ({"dir_raw": torch.full((3, 5, 2), torch.nan)}, {}, r"mfa\.pt is damaged: loadings holds NaN"),
        ({"pi_logits": torch.full((3,), -torch.inf)}, {}, r"mfa\.pt is damaged: weights holds NaN"),
        ({"psi_rho": torch.full((5,), -1e6)}, {"eps_floor": 0}, r"mfa\.pt is damaged: noise_variance must be positive"),
        *(
            ({}, {"eps_floor": eps}, re.escape(f"eps_floor={eps!r} must be"))
            for eps in ("x", None, [1], -1.0, float("nan"), True)
        ),
        ({}, {"K": "3"}, "says .*'K': '3'"),
        ({}, {"q": torch.ones(3)}, "says .*'q': tensor"),
        ({}, {"version": torch.ones(3)}, "has version tensor"),
        ({"mu": torch.ones(3, 5, dtype=torch.int64)}, {}, "mu is a tensor of torch.int64"),
        ({"mu": torch.ones(3, 5, dtype=torch.complex64)}, {}, "mu is a tensor of torch.complex64"),
        ({"mu": torch.ones(3, 5).to_sparse()}, {}, "mu is a tensor of torch.float32, torch.sparse_coo"),
        ({"mu": torch.ones(3, 5, device="meta")}, {}, "mu is a tensor of torch.float32, torch.strided on meta"),
        ({f"name {i}": torch.ones(1) for i in range(50)} | {"mu": 3}, {}, r"it holds .* and \d+ more, expected"),
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


def archive(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return stream.getvalue()


ANYTHING = {
    "text": b"hello, world\n" * 30,
    "one letter": b"e",
    "a table": b"a,b\n1,2\n",
    "JSON": b'{"state_dict": {}}',
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "zeros": bytes(5000),
    "another encoding": "größer".encode("utf-16"),
    "an archive": archive(a=b"b"),
    "an archive like torch's": archive(**{"x/data.pkl": b"hello", "x/version": b"3\n", "x/byteorder": b"little"}),
    "a pickle": pickle.dumps({"a": 1}),
    "an old pickle": pickle.dumps([1, 2], protocol=0),
    "a pickle cut short": pickle.dumps({"a": list(range(1000))})[:-20],
    "a pickle of NumPy": pickle.dumps(np.ones(3)),
    "an array": b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8'}" + bytes(200),
    "a saved mixture": b"\x10\x00\x00\x00\x00\x00\x00\x00" + b'{"a":{}}        ',
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", ANYTHING.values(), ids=ANYTHING.keys())
def test_any_file_that_is_no_checkpoint_is_refused_by_name(tmp_path, content):
    (tmp_path / "mfa.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"mfa\.pt"):
        MFA.from_reference_checkpoint(tmp_path / "mfa.pt")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_random_bytes_and_changed_checkpoints(tmp_path):
    path = tmp_path / "mfa.pt"
    torch.save({"state_dict": reference_state(False), "meta": META}, path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for trial in range(300):
        content = bytearray(whole) if trial % 3 else bytearray(rng.bytes(int(rng.integers(1, 400))))
        for place in rng.integers(len(content), size=int(rng.integers(1, 9))):
            content[place] = int(rng.integers(256))
        path.write_bytes(bytes(content))
        try:
            mfa = MFA.from_reference_checkpoint(path)
        except ValueError as error:
            assert "mfa.pt" in str(error)
        else:
            assert mfa.means_.shape == (3, 5) and np.isfinite(mfa.means_).all()


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a file; give a checkpoint"):
        MFA.from_reference_checkpoint(tmp_path)
    with pytest.raises(TypeError, match="path=None must be a path"):
        MFA.from_reference_checkpoint(None)


def test_parameters_that_are_wrong_are_not_the_files_fault(tmp_path):
    torch.save({"state_dict": reference_state(False), "meta": META}, tmp_path / "mfa.pt")
    with pytest.raises(ValueError, match=r"^n_components=7, but the arrays given have n_components=3"):
        MFA.from_reference_checkpoint(tmp_path / "mfa.pt", n_components=7)


def test_other_objects_and_missing_files(tmp_path):
    torch.save(torch.ones(3), tmp_path / "tensor.pt")
    with pytest.raises(ValueError, match="it holds Tensor"):
        MFA.from_reference_checkpoint(tmp_path / "tensor.pt")
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt"):
        MFA.from_reference_checkpoint(tmp_path / "nothing.pt")
