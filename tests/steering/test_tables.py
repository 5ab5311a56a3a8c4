"""Which tokens were steered and how far, as arrays, tables and HTML."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from steerer_cases import ALPHA, Pair, make_mixture

from mfa_sklearn.steering import MFASteerer


def test_which_tokens_were_steered_as_a_table(llama: Pair) -> None:
    llama.steerer.logits(["The cat", "The"], component=1, alpha=1.0)
    assert llama.steerer.steered_ is not None
    table = llama.steerer.steered_.to_frame()
    distances = table.pop("distance")
    assert table.to_dict("list") == {
        "prompt": [0, 0, 0, 1, 1],
        "position": [0, 1, 2, 0, 1],
        "token": ["<s>", "The", " cat", "<s>", "The"],
        "steered": [False, True, True, False, True],
        "generated": [False] * 5,
    }
    assert ((distances > 0) == table["steered"]).all()


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
def test_distances_are_those_of_the_activations(llama: Pair, use_past_kv_cache: bool) -> None:
    """Every activation before and after the move, seen by hooks around it."""
    name, before, after = llama.steerer.hook_name, [], []
    steering = llama.steerer.steer(component=2, alpha=ALPHA, select="all", schedule=[1.0, 0.0, 2.0])
    look = llama.bridge.hooks(fwd_hooks=[(name, lambda x, hook: before.append(x.clone()))])
    look_again = llama.bridge.hooks(fwd_hooks=[(name, lambda x, hook: after.append(x.clone()))])
    options = {"do_sample": False, "stop_at_eos": False, "use_past_kv_cache": use_past_kv_cache}
    with look, steering as steered, look_again:
        llama.bridge.generate(llama.tokens("Two boats"), max_new_tokens=5, verbose=False, **options)
    lengths = [(b - a).norm(dim=-1) for b, a in zip(before, after, strict=True)]
    expected = torch.cat(lengths, dim=1) if use_past_kv_cache else lengths[-1]
    np.testing.assert_allclose(steered.distances, expected.detach(), atol=1e-4)
    table = steered.to_frame()
    n_prompt = llama.tokens("Two boats").shape[1]
    assert table["generated"].tolist() == [False] * n_prompt + [True] * 4
    assert table["distance"].to_numpy()[n_prompt + 1] == 0 and table["steered"].to_numpy()[n_prompt + 1]
    assert (table["distance"].to_numpy()[[*range(1, n_prompt + 1), -2, -1]] > 0).all()


def test_padding_has_no_line_and_no_distance(llama: Pair) -> None:
    steering = llama.steerer.steer(component=1, alpha=1.0, select="prompt")
    steering.generate(["The cat", "Two boats, three"], max_new_tokens=3, stop_at_eos=False, random_state=0)
    report = steering.report_
    assert report is not None and report.distances.shape == report.mask.shape == report.token_ids.shape
    assert ((report.distances > 0) == report.mask).all()
    table = report.to_frame()
    assert table.groupby("prompt")["generated"].sum().tolist() == [2, 2]
    assert table.loc[table["prompt"] == 0, "token"].tolist()[:3] == ["<s>", "The", " cat"]


def test_before_a_pass_there_is_nothing(llama: Pair) -> None:
    with llama.steerer.steer(component=1, alpha=1.0) as steered:
        assert steered.mask.shape == steered.distances.shape == (0, 0) and steered.token_ids is None
        assert steered.to_frame().columns.tolist() == [
            "prompt",
            "position",
            "token",
            "steered",
            "distance",
            "generated",
        ]
        assert len(steered.to_frame()) == 0 and "<script" not in steered.to_html()


def test_of_a_composed_steering_each_part_is_told(llama: Pair) -> None:
    late = MFASteerer(llama.bridge, make_mixture(), layer=2)
    both = llama.steerer.steer(2, 1.0, select="last").then(late.steer(1, 0.5, select=1))
    both.logits("The cat")
    report = both.report_
    assert report is not None and [part.mask.tolist() for part in report.parts] == [
        [[False, False, True]],
        [[False, True, False]],
    ]
    assert report.mask.tolist() == [[False, True, True]]
    np.testing.assert_allclose(report.distances, sum(part.distances for part in report.parts))
    with both as steered:  # a pass that ends before the second part
        llama.bridge(llama.tokens("The"), stop_at_layer=2)
        assert steered.mask.tolist() == [[False, True]]
        llama.bridge(llama.tokens("The"))


def test_a_token_of_markup_does_no_harm(llama: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with llama.steerer.steer(component=1, alpha=1.0) as steered:
        llama.bridge(llama.tokens("The cat"))
        monkeypatch.setattr(
            "mfa_sklearn.steering._tables.token_strings", lambda tokenizer, ids: ["<script>\n"] * len(ids)
        )
        html = steered._repr_html_()
    assert "<script" not in html and html.count("&lt;script&gt;\\n") == 3
    assert html.count("position 1: moved by") == 1 and html.count("position 0: not moved") == 1


def test_it_says_in_short_what_it_is(llama: Pair) -> None:
    llama.steerer.logits("The cat", component=1, alpha=1.0)
    assert repr(llama.steerer.steered_) == "SteeredTokens(2 of 3 tokens chosen, in 1 rows)"
