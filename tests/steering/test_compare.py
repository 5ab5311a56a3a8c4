"""Texts side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from steerer_cases import ALPHA, PROMPTS, Pair

from mfa_sklearn.steering import Comparison, compare
from mfa_sklearn.steering._compare import _Text


def test_texts_are_those_of_generate_with_the_same_draws(pair: Pair) -> None:
    weak, strong = (pair.steerer.steer(2, alpha, select="prompt") for alpha in (0.0, 1.0))
    found = compare(PROMPTS, {"weak": weak, "strong": strong}, 6, random_state=3, temperature=0.8).to_frame()
    assert found["prompt"].tolist() == [prompt for prompt in PROMPTS for _ in range(3)]
    assert found["steering"].tolist() == ["not steered", "weak", "strong"] * 3
    np.testing.assert_array_equal(found["alpha"], [np.nan, 0.0, 1.0] * 3)
    for steering, name in ((weak, "not steered"), (weak, "weak"), (strong, "strong")):
        texts = found.loc[found["steering"] == name, "text"].tolist()
        assert texts == steering.generate(PROMPTS, 6, random_state=3, temperature=0.8)
    assert (found["prompt"] + found["new_text"] == found["text"]).all()


def test_several_strengths_of_one_move(llama: Pair) -> None:
    found = llama.steerer.compare("The cat", component=2, alphas=(0.2, 0.8), select="prompt", max_new_tokens=4)
    assert repr(found) == "Comparison(1 prompt, 2 steerings)"
    assert found.steerings == ["not steered", "alpha 0.2", "alpha 0.8"] and found.prompts == ["The cat"]
    table = found.to_frame().set_index("steering")
    expected = llama.steerer.generate("The cat", 2, 0.8, select="prompt", max_new_tokens=4, random_state=0)
    assert table.loc["alpha 0.8", "text"] == expected and table.loc["alpha 0.8", "alpha"] == 0.8


def test_steerings_without_names_are_called_by_their_own_words(llama: Pair) -> None:
    first, second = llama.steerer.steer(2, ALPHA), llama.steerer.steer(3, z={0: 1.0})
    found = compare("The cat", [first, second, first.then(second)], 2)
    assert found.steerings[1:] == [
        "component 2, alpha 0.6",
        "component 3, z {0: 1.0}",
        f"{first._label}, then {second._label}",
    ]
    assert compare("The cat", [first, first], 2).steerings[1:] == [f"{n}: component 2, alpha 0.6" for n in range(2)]
    assert compare("The cat", first, 2).steerings[1:] == ["component 2, alpha 0.6"]


def test_ids_are_compared_as_texts(llama: Pair) -> None:
    ids = llama.tokens("The cat")
    steering = llama.steerer.steer(2, ALPHA)
    assert (
        compare(ids, steering, 3).to_frame()["text"].tolist()
        == compare("The cat", steering, 3).to_frame()["text"].tolist()
    )


def test_without_a_seed_all_columns_have_the_same_draws(llama: Pair) -> None:
    nothing = llama.steerer.steer(2, 0.0)
    state = torch.random.get_rng_state()
    found = [compare("The cat", nothing, 8, random_state=None).to_frame()["text"] for _ in range(2)]
    assert found[0][0] == found[0][1] and found[1][0] == found[1][1] and found[0][0] != found[1][0]
    assert not torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("steerings", "options", "error", "match"),
    [
        ([], {}, ValueError, "no steering was given: give at least one"),
        (3, {}, TypeError, "steerings=3 must be a dict of name to steering"),
        ("ab", {}, TypeError, "steerings='ab' must be"),
        ([3], {}, TypeError, r"steerings\[0\] must be a Steering, such as"),
        ({"not steered": None}, {}, TypeError, r"steerings\['not steered'\] must be a Steering"),
        (None, {"return_type": "tokens"}, TypeError, "compare takes no 'return_type'"),
        (None, {"temprature": 1}, TypeError, "did you mean 'temperature'"),
        (None, {"random_state": -1}, ValueError, "random_state=-1"),
        (None, {"max_new_tokens": 0}, ValueError, "max_new_tokens=0"),
    ],
)
def test_bad_comparisons_are_refused(
    llama: Pair, steerings: Any, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    given = [llama.steerer.steer(2, ALPHA)] if steerings is None else steerings
    with pytest.raises(error, match=match):
        compare("The cat", given, **options)


def test_all_is_checked_before_anything_is_written(llama: Pair, tmp_path: Any) -> None:
    ran: list[int] = []
    handle = llama.bridge.original_model.register_forward_pre_hook(lambda *args: ran.append(1))
    fine = llama.steerer.steer(2, ALPHA)
    with pytest.raises(ValueError, match="2 components were given for a batch of 3"):
        compare(PROMPTS, [fine, llama.steerer.steer([1, 2], ALPHA)])
    with pytest.raises(ValueError, match="called 'not steered', as the first column is"):
        compare(PROMPTS, {"not steered": fine})
    with pytest.raises(ValueError, match="of different models"):
        compare(PROMPTS, [fine, Pair(tmp_path, "llama").steerer.steer(2, ALPHA)])
    with pytest.raises(TypeError, match=r"alphas=0.5 must be a list of strengths: pass \[0.5\]"):
        llama.steerer.compare("The cat", 2, alphas=0.5)
    handle.remove()
    assert not ran


def test_shown_to_people_every_string_is_harmless() -> None:
    nasty = _Text("<b>\x1b[0m", "<script>alert(1)</script>\n")
    found = Comparison({"not steered": (None, [nasty]), "<i>": (0.5, [nasty])})
    html = found._repr_html_()
    assert "<script" not in html and "<b>" not in html and "<i>" not in html and html == found.to_html()
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;\\n") == 2 and html.count("<td") == 2
    lines = str(found).split("\n")
    assert lines == [
        "<b>\\x1b[0m",
        "  not steered  <script>alert(1)</script>\\n",
        "  <i>          <script>alert(1)</script>\\n",
    ]
    assert found.to_frame()["text"][0] == "<b>\x1b[0m<script>alert(1)</script>\n"
