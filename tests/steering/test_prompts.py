"""Prompts together, padded, are steered as each alone."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from chat_cases import TEMPLATE
from steerer_cases import ALPHA, PROMPTS, Pair, make_mixture, odd

from mfa_sklearn import TokenSelection
from mfa_sklearn.steering import MFASteerer
from mfa_sklearn.steering._prompts import encode

SELECTIONS = [
    *("all", "prompt", "generated", "last", [-1, 7], odd),
    TokenSelection(last=2) | TokenSelection(phase="generated", first=2),
    TokenSelection(special=True) - TokenSelection(predicate=odd),
]


@pytest.mark.parametrize("use_past_kv_cache", [True, False])
@pytest.mark.parametrize("select", SELECTIONS, ids=[f"selection{i}" for i in range(len(SELECTIONS))])
def test_prompts_generated_together_are_those_generated_alone(pair: Pair, select: Any, use_past_kv_cache: bool) -> None:
    options = {"max_new_tokens": 5, "do_sample": False, "stop_at_eos": False, "use_past_kv_cache": use_past_kv_cache}
    move = {"alpha": ALPHA, "select": select}
    components = [2, 0, 4]
    together = pair.steerer.generate(PROMPTS, component=components, **move, **options)
    alone = [
        pair.steerer.generate(prompt, component=k, **move, **options)
        for prompt, k in zip(PROMPTS, components, strict=True)
    ]
    assert together == alone
    assert together != pair.bridge.generate(PROMPTS, verbose=False, **options)


@pytest.mark.parametrize("select", ["all", "prompt", "last", -1])
def test_logits_of_padded_prompts_are_those_of_each_alone(pair: Pair, select: Any) -> None:
    together = pair.steerer.logits(PROMPTS, component=[2, 0, 4], alpha=ALPHA, select=select)
    for row, (prompt, k) in enumerate(zip(PROMPTS, [2, 0, 4], strict=True)):
        alone = pair.steerer.logits(prompt, component=k, alpha=ALPHA, select=select)
        torch.testing.assert_close(together[row], alone[0], atol=2e-5, rtol=1e-5)


def test_a_text_may_end_in_the_padding_token(llama: Pair) -> None:
    assert llama.bridge.tokenizer.pad_token == "</s>"
    together = llama.steerer.logits([PROMPTS[0], "The</s>"], component=2, alpha=ALPHA)
    alone = llama.steerer.logits("The</s>", component=2, alpha=ALPHA)
    torch.testing.assert_close(together[1], alone[0], atol=2e-5, rtol=1e-5)


FORMS: dict[str, Any] = {
    "tuple": tuple,
    "array": np.array,
    "array of objects": lambda prompts: np.array(prompts, dtype=object),
    "series": pd.Series,
    "index": pd.Index,
    "generator": iter,
    "strings of numpy": lambda prompts: [np.str_(prompt) for prompt in prompts],
}


@pytest.mark.parametrize("form", FORMS)
def test_strings_come_in_any_column(pair: Pair, form: str) -> None:
    move = {"component": 2, "alpha": ALPHA}
    make, options = FORMS[form], {"max_new_tokens": 3, "do_sample": False}
    expected = pair.steerer.generate(PROMPTS, **move, **options)
    assert pair.steerer.generate(make(PROMPTS), **move, **options) == expected
    torch.testing.assert_close(
        pair.steerer.logits(make(PROMPTS), **move), pair.steerer.logits(PROMPTS, **move), atol=0, rtol=0
    )
    assert len(pair.steerer.logit_diff(make(PROMPTS), **move, top_k=1)) == 6


IDS: dict[str, Any] = {
    "tensor": torch.tensor,
    "array": np.array,
    "small array": lambda ids: np.array(ids, dtype=np.uint16),
    "lists": lambda ids: ids,
    "tuples": lambda ids: tuple(map(tuple, ids)),
    "list of tensors": lambda ids: [torch.tensor(row) for row in ids],
    "list of arrays": lambda ids: list(np.array(ids)),
}


@pytest.mark.parametrize("form", IDS)
def test_token_ids_come_in_any_container(llama: Pair, form: str) -> None:
    move, ids = {"component": 2, "alpha": ALPHA}, [[1, 43, 50], [1, 60, 70]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = IDS[form](ids)
        written = llama.steerer.generate(given, **move, max_new_tokens=2, do_sample=False)
        logits = llama.steerer.logits(given, **move)
        single = llama.steerer.generate(IDS[form](ids)[0], **move, max_new_tokens=2, do_sample=False)
    assert written.shape == (2, 5) and written[:, :3].tolist() == ids
    assert torch.equal(written[0], single) and logits.shape[0] == 2
    assert torch.equal(written[:, 3], logits.argmax(-1))


def test_an_array_that_must_not_be_written_to_is_no_matter(llama: Pair) -> None:
    ids = np.array([1, 43, 50])
    ids.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        llama.steerer.logits(ids, component=2, alpha=ALPHA)


def test_token_ids_of_different_length(pair: Pair) -> None:
    ids = [pair.tokens(prompt)[0].tolist() for prompt in PROMPTS]
    move = {"component": [2, 0, 4], "alpha": ALPHA}
    torch.testing.assert_close(pair.steerer.logits(ids, **move), pair.steerer.logits(PROMPTS, **move))
    written = pair.steerer.generate(ids, **move, max_new_tokens=3, do_sample=False, stop_at_eos=False)
    texts = pair.steerer.generate(PROMPTS, **move, max_new_tokens=3, do_sample=False, stop_at_eos=False)
    decode = pair.bridge.tokenizer.decode
    assert [decode(row, skip_special_tokens=True) for row in written] == texts
    assert [row[: len(own)].tolist() for row, own in zip(written, ids, strict=True)] == ids


def test_prompts_of_one_length_may_end_in_the_padding_token(llama: Pair) -> None:
    """Told from padding by their mask: else the last token would not be steered."""
    pad = llama.bridge.tokenizer.pad_token_id
    ids = [[1, 43, pad], [1, 60, 70]]
    for select in ("all", "last", -1):
        move = {"alpha": ALPHA, "select": select}
        together = llama.steerer.logits(ids, component=2, **move)
        alone = [llama.steerer.logits(row, component=2, **move)[0] for row in ids]
        torch.testing.assert_close(together, torch.stack(alone), atol=2e-5, rtol=1e-5)


def test_prompts_are_read_as_the_extractor_reads_texts(pair: Pair) -> None:
    from mfa_sklearn import ActivationExtractor, TokenSelection

    texts = [*PROMPTS, "The</s>", "a <|endoftext|> b"]
    extractor = ActivationExtractor(pair.path, layer=0, select=TokenSelection(special=True), device="cpu")
    bos = pair.bridge.tokenizer.bos_token
    if pair.architecture != "qwen2":
        texts.append(f"{bos}The cat")  # as chat templates write it
    X = extractor.transform(texts)
    encoded = encode(pair.bridge, texts, None)
    for number, (row, length) in enumerate(zip(encoded.ids, encoded.lengths, strict=True)):
        assert row[:length].tolist() == X[X.text_index == number].token_ids.tolist()


WRONG = [
    ([], ValueError, "no prompt was given"),
    ((), ValueError, "no prompt was given"),
    (np.zeros((0, 3), dtype=int), ValueError, "no prompt was given"),
    ("", ValueError, "prompt 0 is empty"),
    (["The cat", ""], ValueError, "prompt 1 is empty"),
    ("<s>", ValueError, "prompt 0 is empty: '<s>' has no token of its own"),
    (np.zeros(0, dtype=int), ValueError, "prompt 0 is empty"),
    ([[1, 2], []], ValueError, "prompt 1 is empty"),
    (["The cat", None], TypeError, r"prompts\[1\] must be a string like others, got None"),
    ([None, "The cat"], TypeError, r"prompts\[0\] must be a string like others, got None"),
    (["The cat", 3], TypeError, r"prompts\[1\] must be a string"),
    (pd.Series(["The cat", pd.NA]), TypeError, r"prompts\[1\] must be a string"),
    (b"The cat", TypeError, "prompts must be a string, .* got bytes"),
    ({"a": "b"}, TypeError, "got dict"),
    ({"The cat"}, TypeError, "got set"),
    (pd.DataFrame({"text": ["The cat"]}), TypeError, "got DataFrame"),
    (None, TypeError, "got NoneType"),
    (3, TypeError, "got int"),
    (1.5, TypeError, "got float"),
    ([1.5, 2.5], TypeError, "prompts must be a string"),
    (np.array([[1.0, 2.0]]), TypeError, "prompts must be a string"),
    (torch.tensor([1.0, 2.0]), TypeError, "prompts must be a string"),
    (torch.tensor([1.0, 2.0], dtype=torch.bfloat16), TypeError, "prompts must be a string"),
    (np.array([True, False]), TypeError, "prompts must be a string"),
    (np.array([["The", "cat"]]), TypeError, "prompts must be a string"),
    (np.zeros((1, 2, 3), dtype=int), TypeError, "prompts must be a string"),
    (np.array([10**6]), ValueError, "prompt 0 holds the token id 1000000: ids are 0 to "),
    ([[1, 2], [3, -1]], ValueError, "prompt 1 holds the token id -1"),
    ("The cat " * 60, ValueError, "prompt 0 has .* the model's context holds 64: shorten it"),
    (np.ones(65, dtype=int), ValueError, "prompt 0 has 65 tokens"),
]


@pytest.mark.parametrize(("prompts", "error", "match"), WRONG)
@pytest.mark.parametrize("method", ["logits", "logit_diff", "generate"])
def test_every_method_refuses_the_same(
    llama: Pair, method: str, prompts: Any, error: type[Exception], match: str
) -> None:
    ran: list[int] = []
    handle = llama.bridge.original_model.register_forward_pre_hook(lambda *args: ran.append(1))
    with pytest.raises(error, match=match):
        getattr(llama.steerer, method)(prompts, component=1, alpha=0.5)
    handle.remove()
    assert not ran


def test_a_model_without_a_tokenizer_reads_ids_alone(llama: Pair) -> None:
    from transformer_lens import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    config = TransformerBridgeConfig(
        d_model=8, d_head=4, n_layers=2, n_ctx=16, d_vocab=20, n_heads=2, act_fn="gelu", seed=0
    )
    steerer = MFASteerer(TransformerBridge.boot_native(config), make_mixture(8), layer=1)
    with pytest.raises(ValueError, match="no tokenizer: give token ids"):
        steerer.logits("The cat", component=1, alpha=0.5)
    written = steerer.generate([3, 1, 4], component=1, alpha=0.5, max_new_tokens=2, do_sample=False)
    assert written.shape == (5,)
    with pytest.raises(ValueError, match="context holds 16"):
        steerer.generate(np.ones(14, dtype=int), component=1, alpha=0.5, max_new_tokens=3)


@pytest.mark.parametrize("prompts", ["half \ud83d", ["The cat", "half \ud83d"]])
def test_half_a_surrogate_pair_is_refused_by_number(pair: Pair, prompts: Any) -> None:
    number = len(prompts) - 1 if isinstance(prompts, list) else 0
    with pytest.raises(ValueError, match=rf"prompt {number} holds half of a surrogate pair, '\\ud83d', at character 5"):
        pair.steerer.logits(prompts, component=0, alpha=ALPHA)


def in_content(pair: Pair, ids: list[int], content: str) -> set[int]:
    """Places of the tokens that spell a message."""
    strings = [pair.bridge.tokenizer.decode([token]) for token in ids]
    starts = np.cumsum([0, *map(len, strings)])
    first = "".join(strings).index(content)
    return {place for place in range(len(ids)) if first <= starts[place] < first + len(content)}


ROLES: dict[str, tuple[Any, Any]] = {
    "user": (TokenSelection(roles="user"), lambda place, n, own: place in own),
    "assistant": (TokenSelection(roles="assistant"), lambda place, n, own: place >= n),
    "all": ("all", lambda place, n, own: place in own or place >= n),
    "joined": (
        (TokenSelection(roles="user") - TokenSelection(first=1)) | "last",
        lambda place, n, own: place in own - {min(own)} or place == n - 1,
    ),
}


@pytest.mark.parametrize("choice", ROLES)
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_messages_of_chats_are_steered_by_role(tmp_path: Any, architecture: str, choice: str) -> None:
    pair, (select, rule) = Pair(tmp_path, architecture), ROLES[choice]
    pair.bridge.tokenizer.chat_template = TEMPLATE
    contents = ["The cat", "It rained for days"]
    chats = [[{"role": "user", "content": content}] for content in contents]
    encoded = encode(pair.bridge, chats, None)
    rows = [row[:n].tolist() for row, n in zip(encoded.ids, encoded.lengths, strict=True)]
    own = {n: in_content(pair, row, text) for row, n, text in zip(rows, encoded.lengths, contents, strict=True)}
    ids, mask = encoded.padded_left()
    options = {"max_new_tokens": 4, "do_sample": False}
    with pair.by_rule(lambda s, c, n, b: rule(c, n, own[n]), encoded.lengths) as model, torch.no_grad():
        expected = model.generate(ids, attention_mask=mask, eos_token_id=None, use_cache=False, **options)
    for use_cache in (True, False):
        move = {"component": 2, "alpha": ALPHA, "select": select, "use_past_kv_cache": use_cache}
        found = pair.steerer.generate(chats, **move, **options, stop_at_eos=False, return_type="tokens")
        assert found.tolist() == expected.tolist()
    alone = pair.steerer.generate(chats[0], component=2, alpha=ALPHA, select=select, **options, stop_at_eos=False)
    assert isinstance(alone, str) and "The cat" in alone


def test_chats_that_cannot_be_read(tmp_path: Any) -> None:
    pair, chat = Pair(tmp_path, "llama"), [{"role": "user", "content": "The cat"}]
    move = {"component": 2, "alpha": ALPHA}
    with pytest.raises(ValueError, match="prompts is a chat, but the tokenizer has no chat template"):
        pair.steerer.logits(chat, **move)
    pair.bridge.tokenizer.chat_template = TEMPLATE
    with pytest.raises(TypeError, match=r"prompts\[1\] must be a chat like others, a list of messages, got 'The'"):
        pair.steerer.logits([chat, "The"], **move)
    with pytest.raises(
        ValueError, match=r"no token of the prompt, and none is generated \(with the roles \['user'\]\)"
    ):
        pair.steerer.logits(chat, select=TokenSelection(roles="system"), **move)
