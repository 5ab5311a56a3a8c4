"""What is refused before a model writes, and what is drawn when it does."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from steerer_cases import ALPHA, PROMPTS, Pair, make_mixture

from mfa_sklearn.steering import MFASteerer
from mfa_sklearn.steering._generation import known_options

MOVE = {"component": 2, "alpha": ALPHA}
REFUSED = [
    ({"temprature": 0.1}, TypeError, "no option 'temprature': did you mean 'temperature'"),
    ({"topk": 3}, TypeError, "no option 'topk': did you mean 'top_k'"),
    ({"max_tokens": 3}, TypeError, "no option 'max_tokens': did you mean 'max_new_tokens'"),
    ({"xyzzy": 3}, TypeError, "no option 'xyzzy': there are .*temperature"),
    ({"padding_side": "left"}, TypeError, "no 'padding_side' here: prompts are padded"),
    ({"return_cache": True}, TypeError, "no 'return_cache' here: call model.generate inside"),
    ({"max_new_tokens": 0}, ValueError, "max_new_tokens=0 must be at least 1"),
    ({"max_new_tokens": -5}, ValueError, "max_new_tokens=-5 must be at least 1"),
    ({"max_new_tokens": 2.5}, TypeError, "max_new_tokens=2.5 must be an integer"),
    ({"max_new_tokens": 62}, ValueError, "prompt 0 has 3 tokens and 62 new ones, .* context holds 64"),
    ({"temperature": -1}, ValueError, "temperature=-1 must be at least 0.001, or 0"),
    ({"temperature": 1e-9}, ValueError, "temperature=1e-09 must be at least"),
    ({"temperature": float("nan")}, TypeError, "temperature=nan must be a finite number"),
    ({"temperature": "warm"}, TypeError, "temperature='warm' must be"),
    ({"top_k": 0}, ValueError, "top_k=0 must be at least 1"),
    ({"top_k": 2.5}, TypeError, "top_k=2.5 must be an integer"),
    ({"top_p": 2}, ValueError, "top_p=2 must be above 0 and at most 1"),
    ({"top_p": 0}, ValueError, "top_p=0 must be above 0"),
    ({"top_k": 5, "top_p": 0.5}, ValueError, "give one of them"),
    ({"freq_penalty": -1.0}, ValueError, "freq_penalty=-1.0 must not be negative"),
    ({"repetition_penalty": 0}, ValueError, "repetition_penalty=0 must be positive"),
    ({"eos_token_id": "</s>"}, TypeError, "eos_token_id='</s>' must be a token id"),
    ({"return_type": "text"}, ValueError, "return_type='text' is unknown"),
    ({"random_state": "a"}, TypeError, "random_state='a' must be an integer"),
    ({"random_state": -1}, ValueError, "random_state=-1 must be at least 0"),
    ({"random_state": 2**70}, ValueError, r"random_state=\d+ must be below 2\*\*32"),
    ({"attention_mask": torch.ones(1, 3)}, TypeError, "attention_mask belongs to token ids"),
    ({"select": -4}, ValueError, "place -4, outside a prompt of 3 tokens"),
    ({"select": [30]}, ValueError, "place 30, which is never reached"),
    ({"component": [1, 2]}, ValueError, "2 components were given for a batch of 1"),
    ({"component": 99, "alpha": None}, ValueError, "component=99 is out of range"),
    ({"alpha": None}, ValueError, r"nothing to do: give alpha \(0.6 is usual\)"),
    ({"do_sample": "no"}, TypeError, "do_sample='no' must be True or False"),
    ({"prepend_bos": "no"}, TypeError, "prepend_bos='no' must be True or False"),
    ({"eos_token_id": 10**4}, ValueError, "eos_token_id=10000 holds 10000, which is no token"),
    ({"eos_token_id": [3, -1]}, ValueError, "holds -1, which is no token"),
]


@pytest.mark.parametrize(("options", "error", "match"), REFUSED)
def test_options_are_checked_before_the_model_runs(
    llama: Pair, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    ran: list[int] = []
    handle = llama.bridge.original_model.register_forward_pre_hook(lambda *args: ran.append(1))
    with pytest.raises(error, match=match):
        llama.steerer.generate("The cat", **{**MOVE, **options})
    handle.remove()
    assert not ran


def test_a_continuation_that_just_fits(llama: Pair) -> None:
    ids = llama.steerer.generate([1, 43, 50], **MOVE, max_new_tokens=61, stop_at_eos=False)
    assert ids.shape == (64,)


def test_options_reach_the_model(llama: Pair) -> None:
    greedy = llama.steerer.generate("The cat", **MOVE, max_new_tokens=4, do_sample=False, stop_at_eos=False)
    for options in ({"temperature": 0}, {"top_k": 1}, {"top_p": 1e-9}):
        found = llama.steerer.generate("The cat", **MOVE, max_new_tokens=4, stop_at_eos=False, **options)
        assert found == greedy
    ids = llama.steerer.generate(PROMPTS, **MOVE, max_new_tokens=2, return_type="tokens", stop_at_eos=False)
    assert ids.shape == (3, ids.shape[1])
    text = llama.steerer.generate([1, 43, 50], **MOVE, max_new_tokens=2, do_sample=False, return_type="str")
    assert isinstance(text, str)
    with_bos, without = (
        llama.steerer.generate("The cat", **MOVE, max_new_tokens=1, return_type="tokens", prepend_bos=prepend)
        for prepend in (True, False)
    )
    assert with_bos.shape[1] == without.shape[1] + 1


def test_ids_padded_by_the_user_come_with_their_mask(pair: Pair) -> None:
    ids = pair.tokens("Two boats, three")[0]
    padded = torch.cat([torch.zeros(3, dtype=torch.long), ids])[None]
    mask = torch.cat([torch.zeros(3, dtype=torch.long), torch.ones_like(ids)])[None]
    options = {**MOVE, "max_new_tokens": 4, "do_sample": False, "stop_at_eos": False}
    expected = pair.steerer.generate(ids, **options)
    found = pair.steerer.generate(padded, attention_mask=mask, **options)
    assert found[0, 3:].tolist() == expected.tolist()
    with pytest.raises(ValueError, match=r"attention_mask must be a tensor of shape \(1, \d+\), got \(1, 2\)"):
        pair.steerer.generate(padded, attention_mask=mask[:, :2], **options)


def test_a_chat_template_is_continued_from_one_beginning(llama: Pair) -> None:
    options = {**MOVE, "max_new_tokens": 4, "do_sample": False}
    assert llama.steerer.generate("<s>The cat", **options) == llama.steerer.generate("The cat", **options)


class Older:
    """A model whose `generate` pads strings by itself and takes no mask, as TransformerLens had it."""

    def __init__(self, bridge: Any) -> None:
        self.bridge, self.asked = bridge, []
        self.cfg, self.tokenizer, self.hooks, self.parameters = (
            bridge.cfg,
            bridge.tokenizer,
            bridge.hooks,
            bridge.parameters,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.bridge(*args, **kwargs)

    def generate(
        self,
        input: Any,
        max_new_tokens: int = 10,
        prepend_bos: bool | None = None,
        return_type: str = "input",
        do_sample: bool = True,
        verbose: bool = True,
    ) -> Any:
        self.asked.append(input)
        options = {"max_new_tokens": max_new_tokens, "return_type": return_type, "do_sample": do_sample}
        return self.bridge.generate(input, prepend_bos=prepend_bos, verbose=verbose, stop_at_eos=False, **options)


def test_older_models_pad_by_themselves(llama: Pair) -> None:
    older = Older(llama.bridge)
    steerer = MFASteerer(older, make_mixture(), layer=1)
    options = {**MOVE, "max_new_tokens": 3, "do_sample": False}
    expected = llama.steerer.generate(PROMPTS, **options, stop_at_eos=False)
    assert steerer.generate(PROMPTS, **options) == expected and older.asked == [PROMPTS]
    assert steerer.generate(PROMPTS[0], **options) == expected[0] and isinstance(older.asked[1], torch.Tensor)
    with pytest.raises(ValueError, match="takes no attention_mask: give prompts of one length"):
        steerer.generate([[1, 43], [1, 43, 50]], **options)
    with pytest.raises(TypeError, match="no option 'temperature'"):
        steerer.generate("The cat", **options, temperature=0.5)


# --- draws


def test_a_seed_gives_what_torchs_seed_gives_and_leaves_that_alone(llama: Pair) -> None:
    options = {**MOVE, "max_new_tokens": 8, "stop_at_eos": False}
    torch.manual_seed(3)
    expected = llama.steerer.generate("The cat", **options)
    state = torch.random.get_rng_state()
    assert llama.steerer.generate("The cat", **options, random_state=np.int64(3)) == expected
    assert torch.equal(torch.random.get_rng_state(), state)
    assert llama.steerer.generate("The cat", **options, random_state=4) != expected


def test_a_seed_holds_while_other_threads_draw(pair: Pair) -> None:
    options = {**MOVE, "max_new_tokens": 6, "random_state": 0, "stop_at_eos": False}
    expected, done = pair.steerer.generate(PROMPTS, **options), threading.Event()

    def draw() -> None:
        while not done.is_set():
            torch.rand(3)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        assert [pair.steerer.generate(PROMPTS, **options) for _ in range(3)] == [expected] * 3
    finally:
        done.set()
        thread.join()


# --- moves that leave what a model can compute with


@pytest.mark.parametrize("method", ["logits", "logit_diff", "generate", "steer"])
@pytest.mark.parametrize("move", [{"z": {0: 1e39}}, {"z": {0: 10**400}}, {"alpha": 1e300}, {"alpha": -1e20}])
def test_moves_beyond_all_numbers_are_refused_at_once(llama: Pair, method: str, move: dict[str, Any]) -> None:
    prompts = () if method == "steer" else ("The cat",)
    with pytest.raises(ValueError, match=r"beyond the 1e\+15 that the model|holds NaN or infinity"):
        getattr(llama.steerer, method)(*prompts, component=1, **move)


@pytest.mark.filterwarnings("ignore:alpha=")
def test_a_large_move_gives_numbers_or_an_error(llama: Pair) -> None:
    for scale in (1e3, 1e10, 1e14):
        for move in ({"z": {0: scale}}, {"alpha": scale}):
            try:
                logits = llama.steerer.logits("The cat", component=1, **move)
            except ValueError as error:
                assert "beyond the 1e+15" in str(error)
            else:
                assert logits.isfinite().all()


def test_half_precision_ends_sooner(llama: Pair) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    half = TransformerBridge.boot_transformers(llama.path, device="cpu", dtype=torch.float16)
    steerer = MFASteerer(half, make_mixture(), layer=1)
    with pytest.raises(ValueError, match=r"beyond the 6.6e\+04 that"):
        steerer.logits("The cat", component=1, z={0: 1e5})


def test_a_model_that_is_broken_is_told_from_a_move_that_is(llama: Pair, tmp_path: Any) -> None:
    broken = Pair(tmp_path, "llama")
    with torch.no_grad():
        broken.bridge.original_model.model.norm.weight.fill_(float("nan"))
    for method in ("logits", "logit_diff", "generate"):
        with pytest.raises(ValueError, match=r"the logits hold NaN.* if alpha=0 gives the same"):
            getattr(broken.steerer, method)("The cat", component=1, alpha=0.5)
    with torch.no_grad():
        broken.bridge.original_model.model.embed_tokens.weight.fill_(float("inf"))
    with pytest.raises(ValueError, match="activations are not finite where they are to be moved"):
        broken.steerer.logits("The cat", component=1, alpha=0.5)


def test_options_are_those_of_the_function_in_hand() -> None:
    """They are looked up once for each function, and with it forgotten."""

    class Own:
        def generate(self, input: Any, top_k: int = 1) -> None:
            """Writes."""

    one, other = Own(), Own()
    other.generate = lambda input, top_p=0.5: None  # type: ignore[method-assign,assignment,misc]
    for _ in range(2):
        assert known_options(one) == {"input", "top_k", "return_type"}
        assert known_options(other) == {"input", "top_p", "return_type"}
    assert known_options(SimpleNamespace(generate=lambda **options: None)) is None
    assert known_options(SimpleNamespace()) is None
