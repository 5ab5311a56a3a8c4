"""Requests that vLLM saved are rows that know their tokens; files that are none are told by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from foreign_cases import Tokenizer
from safetensors.torch import save_file

from mfa_sklearn import MFA, ActivationArray, import_vllm

LENGTHS = (3, 1, 4)
NAMES = ("cmpl-2-0", "cmpl-10-0", "cmpl-11-0")
RNG = np.random.default_rng(0)
STATES = [torch.from_numpy(RNG.standard_normal((n, 2, 6)).astype(np.float32)).to(torch.bfloat16) for n in LENGTHS]
IDS = [torch.from_numpy(RNG.integers(0, 9, n)) for n in LENGTHS]
MODEL = {"model": "Qwen/Qwen3-8B", "site": "residual"}


@pytest.fixture
def folder(tmp_path):
    for name, states, ids in zip(NAMES, STATES, IDS, strict=True):
        save_file({"hidden_states": states, "token_ids": ids}, tmp_path / f"{name}.safetensors")
        (tmp_path / f"{name}.safetensors.lock").write_bytes(b"")
    return tmp_path


def test_a_token_is_a_row_that_knows_its_request(folder):
    opened = import_vllm(folder, layers=[3, 11], source=MODEL)
    assert opened.layers == (3, 11)
    rows = opened[11]
    expected = torch.cat([states[:, 1] for states in STATES]).float().numpy()
    np.testing.assert_array_equal(np.asarray(rows), expected)
    assert rows.text_index.tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    assert rows.positions.tolist() == [0, 1, 2, 0, 0, 1, 2, 3]
    assert rows.token_ids.tolist() == torch.cat(IDS).tolist()
    found = rows[[6, 2]]
    assert isinstance(found, ActivationArray) and found.positions.tolist() == [2, 2]
    assert rows.source == MODEL | {"layer": 11, "hooks": ["blocks.11.hook_resid_post"]}
    assert rows.texts is None
    assert import_vllm(folder).layers == (0, 1)
    np.testing.assert_array_equal(np.asarray(import_vllm(folder, 1)), expected)
    assert MFA(2, 1, max_iter=2, tol=0).fit(rows).source_["layer"] == 11


def test_tokens_and_texts(folder):
    rows = import_vllm(folder, 0, tokenizer=Tokenizer())
    assert rows[:1].tokens.tolist() == [f" t{int(IDS[0][0])}"]
    decoded = ["".join(f" t{number}" for number in ids.tolist()) for ids in IDS]
    assert list(rows.texts) == decoded and rows.texts[1:] == (*decoded[1:],) and len(rows.texts) == 3
    assert import_vllm(folder, 0, texts=["a", "b", "c"]).texts == ("a", "b", "c")
    with pytest.raises(ValueError, match="there are 2 texts for 3 requests"):
        import_vllm(folder, 0, texts=["a", "b"])


WRONG = [
    ({"hidden_states": STATES[0], "token_ids": IDS[2]}, "has 4 tokens and hidden states of 3.*enable_chunked_prefill"),
    ({"hidden_states": STATES[0]}, "has no 'token_ids', as vLLM's connector writes it: there are"),
    ({"token_ids": IDS[0]}, "has no 'hidden_states'"),
    ({"hidden_states": STATES[0][:, 0].clone(), "token_ids": IDS[0]}, r"shape \(3, 6\), not \(tokens, layers, width\)"),
    ({"hidden_states": STATES[0], "token_ids": IDS[0].float()}, "holds float32 of shape .*, not an id per token"),
    ({"hidden_states": STATES[0][:, :1].clone(), "token_ids": IDS[0]}, r"of \(layers, width\) \(1, 6\), and .*import"),
    ({"hidden_states": STATES[0][:, :, :5].clone(), "token_ids": IDS[0]}, r"\(2, 5\), and .* of \(2, 6\)"),
    ({"hidden_states": STATES[0].double(), "token_ids": IDS[0]}, "holds float64 of .*float32 of"),
]


@pytest.mark.parametrize(("tensors", "match"), WRONG)
def test_files_that_are_no_requests_of_these(tensors, match, folder):
    save_file(tensors, folder / "cmpl-99-0.safetensors")
    with pytest.raises(ValueError, match=rf"cmpl-99-0.safetensors'.*{match}"):
        import_vllm(folder)


def test_arguments_and_folders_that_do_not_fit(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    with pytest.raises(ValueError, match=r"has 2 layers, and layers=\[1\]"):
        import_vllm(folder, layers=[1])
    with pytest.raises(ValueError, match=r"layer 5 is not in .*which has \[0, 1\]"):
        import_vllm(folder, 5)
    np.save(other / "x.npy", np.eye(3))
    with pytest.raises(ValueError, match=r"x.npy' is no .safetensors file"):
        import_vllm(other)
    content = (folder / f"{NAMES[0]}.safetensors").read_bytes()
    (folder / f"{NAMES[0]}.safetensors").write_bytes(content[:-7])
    with pytest.raises(ValueError, match=r"cmpl-2-0.safetensors' cannot be read as a safetensors file"):
        import_vllm(folder)
