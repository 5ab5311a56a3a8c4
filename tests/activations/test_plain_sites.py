"""Sites of plain models are those of TransformerLens' bridges and of transformers' own hidden states."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plain_cases import IDS, bridge_of, read, tiny_model, write

from mfa_sklearn._base.sites import SITES
from mfa_sklearn.activations import PlainModel
from mfa_sklearn.activations._plain_sites import LAYOUTS, HookSite, find_sites

# TransformerLens has no adapter for these: their modules are those of another.
NO_BRIDGE = {"xlm-roberta": "roberta"}
CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # some norms compute in single precision


@pytest.mark.parametrize("model_type", sorted(LAYOUTS))
def test_sites_are_those_of_a_bridge_to_read_and_to_write(model_type: str) -> None:
    model = tiny_model(model_type)
    other = model
    if model_type in NO_BRIDGE:
        other = tiny_model(NO_BRIDGE[model_type])
        other.load_state_dict(model.state_dict())
    plain, bridge = PlainModel(model), bridge_of(other)
    for site in SITES.values():
        for layer in (0, 1):
            name = site.format(layer=layer)
            if model_type == "opt" and "mlp" in name:
                assert name not in plain.hook_dict
                continue
            for mine, theirs in zip(read(plain, name), read(bridge, name), strict=True):
                torch.testing.assert_close(mine, theirs, **CLOSE)
            moved = write(plain, name)
            torch.testing.assert_close(moved, write(bridge, name), **CLOSE)
            with torch.no_grad():
                assert not torch.equal(moved, plain(IDS))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("model_type", ["granite", "modernbert", "distilbert", "llama4_text"])
def test_of_an_unknown_architecture_the_residual_stream_alone_is_found(model_type: str) -> None:
    options = {"granite": {"residual_multiplier": 0.3}, "llama4_text": {"num_local_experts": 2}}
    model = tiny_model(model_type, **options.get(model_type, {}))
    plain = PlainModel(model)
    assert set(plain.hook_dict) == {f"blocks.{layer}.hook_resid_{end}" for layer in (0, 1) for end in ("pre", "post")}
    with torch.no_grad():
        states = model(IDS, output_hidden_states=True).hidden_states
    torch.testing.assert_close(read(plain, "blocks.0.hook_resid_pre")[0], states[0], rtol=0, atol=0)
    torch.testing.assert_close(read(plain, "blocks.0.hook_resid_post")[0], states[1], rtol=0, atol=0)
    torch.testing.assert_close(read(plain, "blocks.1.hook_resid_pre")[0], states[1], rtol=0, atol=0)


def test_where_the_layers_are_is_not_guessed() -> None:
    """ALBERT has one layer for all numbers, and a model may have two lists of as many modules."""
    from transformers import AlbertConfig, AlbertForMaskedLM

    shape = {"vocab_size": 96, "embedding_size": 8, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 8}
    assert find_sites(AlbertForMaskedLM(AlbertConfig(num_hidden_layers=3, **shape))) == {}
    model = tiny_model("llama")
    model.model.others = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(2))
    assert find_sites(model) == {}


def test_experts_of_as_many_as_layers_are_no_layers() -> None:
    model = tiny_model("llama")
    for layer in model.model.layers:
        layer.experts = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(2))
    assert find_sites(model)["blocks.1.hook_resid_post"].module is model.model.layers[1]


def test_the_hidden_units_of_experts_are_their_output_by_another_name() -> None:
    sites = find_sites(tiny_model("qwen2_moe"))
    assert sites["blocks.1.mlp.hook_post"] is sites["blocks.1.mlp.hook_out"]
    assert sites["blocks.0.mlp.hook_post"] is not sites["blocks.0.mlp.hook_out"]


@pytest.mark.parametrize("reads_input", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_an_activation_may_come_alone_in_a_tuple_or_by_name(reads_input: bool, named: bool) -> None:
    class Block(torch.nn.Module):
        def forward(self, hidden_states: Any, more: Any = None) -> Any:
            return (hidden_states * 2, more) if more else hidden_states * 2

    block, seen = Block(), []
    site = HookSite("here", block, reads_input)

    def add(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        seen.append(hook.name)
        return activation + 1

    call = (
        (lambda **more: block(hidden_states=torch.ones(2), **more))
        if named
        else (lambda **more: block(torch.ones(2), **more))
    )
    handle = site.attach(add)
    expected = torch.full((2,), 4.0 if reads_input else 3.0)
    assert torch.equal(call(), expected)
    output = call(more="kept")
    assert torch.equal(output[0], expected) and output[1] == "kept"
    handle.remove()
    assert torch.equal(call(), torch.full((2,), 2.0)) and seen == ["here", "here"]
