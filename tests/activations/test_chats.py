"""Chats: who says each token, by the template's own text, and rows selected by that."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_cases import CHATS, TEMPLATE, chatty
from lm_fixtures import make_tokenizer
from sklearn.base import clone

from mfa_sklearn import ActivationExtractor, ActivationStore, TokenSelection
from mfa_sklearn.activations._chats import ChatText, is_chat, render


@pytest.fixture(scope="module", params=["llama", "qwen2", "gpt2"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ActivationExtractor:
    path = chatty(tmp_path_factory.mktemp("chats"), request.param)
    return ActivationExtractor(path, layer=1, device="cpu", dtype="float32")


def said(chat: list[dict[str, str]]) -> str:
    """What the template writes, put together by hand."""
    return "".join(f"<|{m['role']}|>\n{m['content']}</s>\n" for m in chat)


def test_rows_know_who_says_them(reader: ActivationExtractor) -> None:
    X = reader.fit_transform(CHATS)
    assert X.texts == tuple(said(chat) for chat in CHATS)
    assert X.roles is not None and X.text_index is not None and X.starts is not None and X.ends is not None
    for number, chat in enumerate(CHATS):
        for role in {m["role"] for m in chat}:
            rows = X[(X.text_index == number) & (X.roles == role)]
            assert "".join(rows.tokens).strip() == "".join(m["content"] for m in chat if m["role"] == role)
    assert "" not in X.roles
    whole = clone(reader).set_params(select=TokenSelection(special=True)).transform(CHATS)
    assert whole.roles is not None and whole.roles[0] == "" and len(whole) > len(X)
    plain = clone(reader).set_params(select=TokenSelection(special=True)).transform(list(X.texts))
    np.testing.assert_allclose(whole, plain, atol=1e-5)


@pytest.mark.parametrize("roles", ["user", ["assistant", "system"]])
def test_rows_are_selected_by_role(reader: ActivationExtractor, roles: Any) -> None:
    X = reader.transform(CHATS)
    wanted = [roles] if isinstance(roles, str) else roles
    some = clone(reader).set_params(select=TokenSelection(roles=roles)).transform(CHATS)
    np.testing.assert_allclose(some, X[np.isin(X.roles, wanted)], atol=1e-5)
    assert set(some.roles) == set(wanted)
    last = clone(reader).set_params(select=TokenSelection(roles=roles), pooling="last").transform(CHATS[:2])
    assert len(last) == 2 and last.roles is not None and set(last.roles) <= set(wanted)


def test_a_store_keeps_roles(reader: ActivationExtractor, tmp_path: Path) -> None:
    asked = clone(reader).set_params(select=TokenSelection(roles="user"))
    memory = asked.transform(CHATS)
    store = asked.extract_to(tmp_path / "store", CHATS, shard_size=2, dtype="float32")
    rows = ActivationStore(tmp_path / "store")[1]
    assert rows.roles.tolist() == memory.roles.tolist() and rows[:].roles.tolist() == memory.roles.tolist()
    assert store.manifest["select"] == {"roles": ["user"]}
    assert asked.extract_to(tmp_path / "store", CHATS, shard_size=2, dtype="float32").complete
    with pytest.raises(ValueError, match="holds activations of other texts"):
        asked.set_params(select=TokenSelection(roles="assistant")).extract_to(
            tmp_path / "store", CHATS, shard_size=2, dtype="float32"
        )


def test_a_chat_is_a_text_that_pickles() -> None:
    text = ChatText("<a>Hi", ((3, 5, "user"),))
    again = pickle.loads(pickle.dumps(text))
    assert again == "<a>Hi" and again.spans == text.spans
    assert is_chat(CHATS[0]) and not is_chat("Hi") and not is_chat([]) and not is_chat(["Hi"])


def tokenizer_of(template: str | None) -> Any:
    tokenizer = make_tokenizer("llama")
    tokenizer.chat_template = template
    return tokenizer


def test_contents_are_found_where_they_are_not_where_they_are_spelled() -> None:
    chat = [{"role": "user", "content": "user"}, {"role": "assistant", "content": "<|user|>"}]
    text = render(tokenizer_of(TEMPLATE), chat, "texts[0]")
    assert [text[start:stop] for start, stop, _ in text.spans] == ["user", "<|user|>"]
    assert text.spans[0][0] == len("<|user|>\n")
    trimming = TEMPLATE.replace("m['content']", "m['content'] | trim")
    assert render(tokenizer_of(trimming), [{"role": "user", "content": "  Hi \n"}], "texts[0]").spans == (
        (9, 11, "user"),
    )


def test_a_model_goes_on_where_its_answer_begins() -> None:
    tokenizer, question = tokenizer_of(TEMPLATE), [{"role": "user", "content": "Hi"}]
    assert render(tokenizer, question, "prompts", answered=True) == "<|user|>\nHi</s>\n<|assistant|>\n"
    begun = [*question, {"role": "assistant", "content": "The cat"}]
    assert render(tokenizer, begun, "prompts", answered=True) == "<|user|>\nHi</s>\n<|assistant|>\nThe cat"


REFUSED: list[tuple[Any, str | None, type[Exception], str]] = [
    ([{"role": "user"}], TEMPLATE, TypeError, r"texts\[1\]\[0\] must have 'content', a string, as in .*; got"),
    ([{"role": "user", "content": [{"type": "image"}]}], TEMPLATE, TypeError, "must have 'content', a string"),
    ([{"role": None, "content": "Hi"}], TEMPLATE, TypeError, "must have 'role', a string"),
    (CHATS[0], None, ValueError, r"texts\[1\] is a chat, but the tokenizer has no chat template"),
    (CHATS[0], "{{ raise_exception('No system.') }}", ValueError, r"refuses texts\[1\]: No system\."),
    (
        CHATS[0],
        TEMPLATE.replace("m['content']", "m['content'] | upper"),
        ValueError,
        r"rewrites messages of texts\[1\]",
    ),
]


@pytest.mark.parametrize(("chat", "template", "error", "match"), REFUSED)
def test_what_is_no_chat(chat: Any, template: str | None, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        render(tokenizer_of(template), chat, "texts[1]")


def test_texts_that_are_chats_in_part(reader: ActivationExtractor) -> None:
    with pytest.raises(TypeError, match=r"texts\[1\] must be a chat like texts\[0\], a list of messages, got 'Hi'"):
        reader.transform([CHATS[0], "Hi"])
    with pytest.raises(TypeError, match=r"texts\[1\] must be a string, got list"):
        reader.transform(["Hi", CHATS[0]])
    with pytest.raises(TypeError, match=r"a chat is one text, so pass a list of chats, as \[messages\]"):
        reader.transform(CHATS[0])


def test_roles_that_are_not_there(reader: ActivationExtractor) -> None:
    asked = clone(reader).set_params(select=TokenSelection(roles="tool"))
    with pytest.raises(ValueError, match="of the 4 texts with the roles 'assistant', 'system', 'user': choose more"):
        asked.transform(CHATS)
    with pytest.raises(ValueError, match="asks for roles, which plain texts and token ids have none of: give chats"):
        asked.transform(["The cat"])
