"""Chats as a model reads them: through the tokenizer's template, with who says which characters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .._base.words import shortened

# Stand for the messages where the template is looked at: from the private use area, which no template writes.
_MARK = "\ue000{}\ue001"
_MARKS = re.compile("\ue000(\\d+)\ue001")
_FORM = "{'role': 'user', 'content': 'Hello'}"


class ChatText(str):
    """A chat as one text.

    Attributes
    ----------
    spans : tuple of (int, int, str)
        First character of a message, the one behind its last, and its role. What lies between is the template's.
    """

    spans: tuple[tuple[int, int, str], ...]

    def __new__(cls, text: str, spans: tuple[tuple[int, int, str], ...]) -> ChatText:
        found = super().__new__(cls, text)
        found.spans = spans
        return found

    def __getnewargs__(self) -> tuple[Any, ...]:  # type: ignore[override]
        return str(self), self.spans


def as_text(text: str) -> str:
    """A string as a plain one, a chat as it is."""
    return text if isinstance(text, ChatText) else str(text)


def is_chat(entry: Any) -> bool:
    """Whether it is a list of messages."""
    return isinstance(entry, list | tuple) and len(entry) > 0 and all(isinstance(message, Mapping) for message in entry)


def render(tokenizer: Any, messages: Sequence[Mapping[str, Any]], name: str, answered: bool = False) -> ChatText:
    """A chat as the tokenizer's template writes it.

    Parameters
    ----------
    tokenizer : transformers tokenizer
    messages : list of dict
        With "role" and "content", both strings.
    name : str
        Of the chat, for messages.
    answered : bool
        Whether a model is to go on: behind a last message of the assistant's own, else after the template's beginning
        of its answer.

    Raises
    ------
    TypeError, ValueError
        If a message is something else, the tokenizer has no template, or the template refuses or rewrites messages.
    """
    for number, message in enumerate(messages):
        for key in ("role", "content"):
            if not isinstance(message.get(key), str):
                shown = shortened(dict(message))
                raise TypeError(f"{name}[{number}] must have {key!r}, a string, as in {_FORM}; got {shown}")
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            f"{name} is a chat, but the tokenizer has no chat template: take a model made for chats, set its "
            "chat_template, or pass the text as a string"
        )
    plain = [{"role": m["role"], "content": m["content"]} for m in messages]
    marked = [m | {"content": _MARK.format(number)} for number, m in enumerate(plain)]
    text, outline = (_templated(tokenizer, some, name, answered) for some in (plain, marked))
    for contents in ([m["content"] for m in plain], [m["content"].strip() for m in plain]):
        found = _filled(outline, contents, [m["role"] for m in plain])
        if found == text:
            return found
    raise ValueError(
        f"the chat template rewrites messages of {name}, so who says what cannot be told: pass the text as a "
        "string, as tokenizer.apply_chat_template(messages, tokenize=False) writes it"
    )


def _templated(tokenizer: Any, messages: list[dict[str, str]], name: str, answered: bool) -> str:
    own = answered and messages[-1]["role"] == "assistant"
    options = {"continue_final_message": own, "add_generation_prompt": answered and not own}
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, **options)
    except Exception as error:  # templates raise what they like
        raise ValueError(f"the chat template refuses {name}: {error}") from error


def _filled(outline: str, contents: list[str], roles: list[str]) -> ChatText:
    """The template's text with its marks replaced by messages."""
    text, spans, last = "", [], 0
    for mark in _MARKS.finditer(outline):
        number = int(mark[1])
        text += outline[last : mark.start()]
        spans.append((len(text), len(text) + len(contents[number]), roles[number]))
        text, last = text + contents[number], mark.end()
    return ChatText(text + outline[last:], tuple(spans))


def roles_of(text: ChatText, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Who says each token (T,), "" for the template, from the characters that it covers."""
    roles = np.full(len(starts), "", dtype=object)
    for start, stop, role in text.spans:
        roles[(starts < stop) & (ends > start)] = role
    return roles.astype(str)
