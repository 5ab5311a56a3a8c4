"""Text that is shown to people: on one line, without what a terminal would obey; and what errors say by it."""

from __future__ import annotations

from typing import Any

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: Any) -> str:
    r"""`text` on one line, with control and other unprintable characters written as escapes.

    >>> print(visible(" a\nb\x00"))
     a\nb\x00
    """
    string = str(text)
    if string.isprintable():
        return string
    return "".join(c if c.isprintable() else _ESCAPES.get(c) or ascii(c)[1:-1] for c in string)


def one_line(text: Any) -> str:
    r"""A message of several lines on one, its other unprintable characters as escapes.

    >>> print(one_line("There is no such file.\n  Give another\x1b[0m.\n"))
    There is no such file. Give another\x1b[0m.
    """
    return visible(" ".join(line.strip() for line in str(text).splitlines() if line.strip()))


def plural(count: int, noun: str) -> str:
    """A count and what is counted.

    >>> plural(1, "text"), plural(2000, "text")
    ('1 text', '2,000 texts')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def cut(text: str, width: int) -> str:
    """A text of at most `width` characters, with an ellipsis where something is left out.

    >>> cut("a token", 5), cut("a token", 7)
    ('a to…', 'a token')
    """
    return text if len(text) <= width else text[: width - 1] + "…"


def shortened(value: Any, width: int = 60) -> str:
    """What `value` looks like, cut to `width` characters, for a message.

    >>> shortened("word " * 100, 12)
    "'word word w..."
    """
    # The head of a long text or list is enough, and its whole `repr` could fill memory.
    head = value[: width + 1] if isinstance(value, str | bytes | list | tuple) else value
    shown = repr(head)
    return shown if len(shown) <= width and head == value else f"{shown[:width]}..."


def check_unicode(name: str, text: str) -> None:
    """Refuse a text with half of a surrogate pair, which no encoding can write.

    Raises
    ------
    ValueError
        That says where it stands and how to repair it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} holds half of a surrogate pair, {text[error.start]!a}, at character {error.start}: repair it, as "
            "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
        ) from error


def repaired(text: str) -> str:
    r"""`text` with halves of surrogate pairs put together, or replaced where the other half is missing.

    >>> repaired("\ud83d\ude00 \ud83d") == "\U0001f600 \ufffd"
    True
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says so, of any device: CUDA has a class for it, others tell it by their message alone."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or "out of memory" in said or "can't allocate" in said)
    )
