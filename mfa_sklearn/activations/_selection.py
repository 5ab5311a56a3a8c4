"""`TokenSelection`: which tokens become rows, and which tokens of a running model are moved."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from numbers import Integral
from typing import Any

from .._base.checks import check_flag

PHASES = ("prompt", "generated")
NAMES = ("all", *PHASES, "last")
_FORMS = (
    f"one of {', '.join(map(repr, NAMES))}, places as integers, a set of token strings, a function of a token string, "
    "or a TokenSelection"
)
_OWN = ("_either", "_without")


@dataclass(frozen=True, kw_only=True, repr=False)
class TokenSelection:
    """Which tokens are chosen: of texts as rows, or of a running model to be moved.

    Conditions that are given hold together; without any, all tokens are chosen but special ones. Selections are joined
    by ``a | b``, the tokens of either, and ``a - b``, those of a but not of b. What was subtracted stays out, whatever
    is joined later: ``(a - b) | c`` is ``(a | c) - b``.

    Parameters
    ----------
    phase : {"prompt", "generated"}, optional
        What a model was given, or what it wrote after that. Texts of an extraction are all prompt.
    first, last : int, optional
        So many tokens from the beginning, or from the end, of the prompt; `first` with ``phase="generated"`` of what is
        written. Special tokens count only where `special` is True.
    at : int or sequence of int, optional
        Places in the text's own sequence, in which special tokens count and padding does not: from 0, negative from the
        end of the prompt. Those past its end are generated tokens.
    ids : int or collection of int, optional
        Token ids.
    strings : str or collection of str, optional
        Tokens as they are decoded one by one, with a leading blank: ``" cat"``.
    roles : str or collection of str, optional
        Of chats: who says it, such as "user". What the model writes is the "assistant"'s.
    predicate : callable, optional
        From such a string to True or False. It is asked once for each token of the vocabulary that is met.
    special : bool, optional
        Whether tokens that the tokenizer put in, such as the one at the beginning of a text, are chosen like others. By
        default only where `at`, `ids` or `strings` name them; with False not even then.

    Raises
    ------
    TypeError, ValueError
        For a value that none of these can have, windows that nothing can be in, and ``a - b`` where b has exclusions of
        its own.

    Notes
    -----
    Wherever a selection is taken there are short forms: None and "all" (all tokens), "prompt", "generated", "last" (the
    last token of the prompt), integers (`at`), a set of strings (`strings`), and a function (`predicate`). A selection
    that chooses nothing is an error where it is used.

    Special tokens alone are ``TokenSelection(special=True) - TokenSelection()``.

    See Also
    --------
    ActivationExtractor : Rows of the tokens selected.
    MFASteerer : Moves the activations of the tokens selected.

    Examples
    --------
    >>> from mfa_sklearn import TokenSelection
    >>> content = TokenSelection(phase="prompt") - {" the", " a", "."}
    >>> content | 0
    (TokenSelection(phase='prompt') | TokenSelection(at=(0,))) - TokenSelection(strings=(' a', ' the', '.'))

    In the extractor, and to and from JSON:

    >>> from mfa_sklearn import ActivationExtractor, datasets
    >>> extractor = ActivationExtractor(datasets.tiny_lm(), layer=1, select=content - TokenSelection(first=1))
    >>> extractor.transform(["The river by the old bank."]).tokens.tolist()
    [' river', ' by', ' old', ' bank']
    >>> TokenSelection.from_dict(content.to_dict()) == content
    True
    """

    phase: str | None = None
    first: int | None = None
    last: int | None = None
    at: int | Sequence[int] | None = None
    ids: int | Collection[int] | None = None
    strings: str | Collection[str] | None = None
    roles: str | Collection[str] | None = None
    predicate: Callable[[str], bool] | None = None
    special: bool | None = None
    # Of what is joined: selections of which one has to hold, and those of which none may.
    _either: tuple[TokenSelection, ...] = field(default=(), init=False)
    _without: tuple[TokenSelection, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        if self.phase is not None and (not isinstance(self.phase, str) or self.phase not in PHASES):
            raise ValueError(f"phase={self.phase!r} is unknown; use one of {', '.join(PHASES)}, or None for both")
        for name in ("first", "last"):
            self._set(name, _window(name, getattr(self, name)))
        if self.last is not None and self.phase == "generated":
            raise ValueError(
                f"last={self.last} of generated tokens cannot be told while they are written: use first=, or the "
                "prompt's last"
            )
        self._set("at", _whole_numbers("at", self.at))
        self._set("ids", _ids(self.ids))
        for name in ("strings", "roles"):
            self._set(name, _strings(name, getattr(self, name)))
        if self.predicate is not None and not callable(self.predicate):
            kind = type(self.predicate).__name__
            raise TypeError(f"predicate must be a function of a token string, got {kind}: give strings={{...}} instead")
        if self.special is not None:
            self._set("special", check_flag("special", self.special))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def parts(self) -> tuple[TokenSelection, ...]:
        """Selections without joins, of which one has to hold."""
        return self._either or (self._alone(),)

    @property
    def exclusions(self) -> tuple[TokenSelection, ...]:
        """Selections without joins, of which none may hold."""
        return self._without

    @property
    def places(self) -> tuple[int, ...]:
        """All that are named by `at`, exclusions aside."""
        return tuple(place for part in self.parts for place in part.at or ())  # type: ignore[union-attr]

    @property
    def is_whole(self) -> bool:
        """Whether every token is chosen that the text itself has."""
        return not self._without and any(set(part._conditions()) <= {"special"} for part in self.parts)

    def _alone(self) -> TokenSelection:
        return self if not self._without else TokenSelection(**self._conditions())

    def _conditions(self) -> dict[str, Any]:
        """What is given, by name."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _OWN}
        return {name: value for name, value in given.items() if value is not None}

    def __or__(self, other: Any) -> TokenSelection:
        other = as_selection(other)
        return _joined((*self.parts, *other.parts), (*self.exclusions, *other.exclusions))

    def __ror__(self, other: Any) -> TokenSelection:
        return as_selection(other) | self

    def __sub__(self, other: Any) -> TokenSelection:
        other = as_selection(other)
        if other.exclusions:
            raise ValueError(
                f"{other} has exclusions of its own, which cannot be subtracted: subtract what it is made of, piece by "
                "piece"
            )
        return _joined(self.parts, (*self.exclusions, *other.parts))

    def __rsub__(self, other: Any) -> TokenSelection:
        return as_selection(other) - self

    def __repr__(self) -> str:
        if not (self._either or self._without):
            return f"TokenSelection({', '.join(f'{n}={v!r}' for n, v in self._conditions().items())})"
        either = " | ".join(map(repr, self.parts))
        shown = [f"({either})" if len(self.parts) > 1 and self._without else either, *map(repr, self._without)]
        return " - ".join(shown)

    def to_dict(self) -> dict[str, Any]:
        """The selection as JSON takes it.

        Raises
        ------
        TypeError
            If there is a predicate, which has no such form.
        """
        for part in (*self.parts, *self.exclusions):
            if part.predicate is not None:
                raise TypeError(f"predicate={part.predicate!r} is a function, which JSON cannot hold: give strings=")
        return self.record(lambda predicate: None)

    def record(self, name_of: Callable[[Callable[[str], bool]], Any]) -> dict[str, Any]:
        """As `to_dict`, a predicate as what `name_of` makes of it."""
        if self._either or self._without:
            both = {"either": self.parts, "without": self.exclusions}
            return {name: [part.record(name_of) for part in parts] for name, parts in both.items() if parts}
        given = {name: list(v) if isinstance(v, tuple) else v for name, v in self._conditions().items()}
        return given if self.predicate is None else given | {"predicate": name_of(self.predicate)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TokenSelection:
        """A selection from what `to_dict` gave.

        Raises
        ------
        TypeError, ValueError
            If that is none, or names a condition that is unknown.
        """
        if not isinstance(content, Mapping):
            raise TypeError(f"a selection is read from a dict of to_dict, got {type(content).__name__}")
        known = [f.name for f in fields(cls) if f.name not in _OWN and f.name != "predicate"]
        joins = ("either", "without")
        unknown = [name for name in content if name not in (*known, *joins)]
        if unknown or (set(content) & set(joins) and set(content) & set(known)):
            raise ValueError(
                f"a selection has no {(unknown or list(content))[0]!r} here: it has {', '.join(known)}, or "
                f"{' and '.join(joins)}, lists of selections"
            )
        if not set(content) & set(joins):
            return cls(**content)
        found = {name: tuple(cls.from_dict(part) for part in content.get(name, ())) for name in joins}
        if not found["either"] or any(len(p.parts) > 1 or p.exclusions for side in found.values() for p in side):
            raise ValueError("'either' and 'without' must list selections that are no joins, at least one in 'either'")
        return _joined(found["either"], found["without"])


def as_selection(value: Any) -> TokenSelection:
    """The selection that a value stands for, short forms written out.

    Raises
    ------
    TypeError, ValueError
        If it stands for none.

    Examples
    --------
    >>> as_selection([0, -1]), as_selection({"."})
    (TokenSelection(at=(0, -1)), TokenSelection(strings=('.',)))
    """
    if isinstance(value, TokenSelection):
        return value
    if value is None or (isinstance(value, str) and value == "all"):
        return TokenSelection()
    if isinstance(value, str):
        if value not in NAMES:
            raise ValueError(f"select={value!r} is unknown; use {_FORMS}. One token is {{{value!r}}}")
        return TokenSelection(at=-1) if value == "last" else TokenSelection(phase=value)
    if isinstance(value, Integral) and not isinstance(value, bool):
        return TokenSelection(at=int(value))
    if callable(value):
        return TokenSelection(predicate=value)
    return _collected(value)


def _collected(value: Any) -> TokenSelection:
    """A selection from several places or several strings."""
    entries = None if isinstance(value, bytes | Mapping) else _entries(value)
    if entries is None:
        raise TypeError(f"select={value!r} must be {_FORMS}")
    if not entries:
        raise ValueError("select is empty: nothing would be chosen; leave it out for all tokens")
    if all(isinstance(entry, str) for entry in entries):
        return TokenSelection(strings=entries)
    if isinstance(value, set | frozenset):
        raise TypeError(f"select={value!r} must hold token strings: places are a list, ids TokenSelection(ids=...)")
    if any(isinstance(entry, bool) or not isinstance(entry, Integral) for entry in entries):
        raise TypeError(f"select={value!r} must be {_FORMS}")
    return TokenSelection(at=entries)


def _joined(either: tuple[TokenSelection, ...], without: tuple[TokenSelection, ...]) -> TokenSelection:
    either = _distinct(either)
    joined = TokenSelection() if len(either) > 1 else TokenSelection(**either[0]._conditions())
    joined._set("_either", either if len(either) > 1 else ())
    joined._set("_without", _distinct(without))
    return joined


def _distinct(parts: tuple[TokenSelection, ...]) -> tuple[TokenSelection, ...]:
    return tuple(part for number, part in enumerate(parts) if part not in parts[:number])


def _entries(value: Any) -> list[Any] | None:
    """What a collection, an array or a tensor holds; None if it is none."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return list(value) if isinstance(value, Iterable) else None


def _window(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}={value!r} must be a number of tokens")
    if value < 1:
        raise ValueError(f"{name}={value} must be at least 1: nothing would be chosen")
    return int(value)


def _whole_numbers(name: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    entries = [value] if isinstance(value, Integral) else _entries(value)
    if entries is None or any(isinstance(entry, bool) or not isinstance(entry, Integral) for entry in entries):
        raise TypeError(f"{name}={value!r} must be an integer or several")
    if not entries:
        raise ValueError(f"{name} is empty: nothing would be chosen")
    return tuple(int(entry) for entry in entries)


def _ids(value: Any) -> tuple[int, ...] | None:
    found = _whole_numbers("ids", value)
    if found is not None and min(found) < 0:
        raise ValueError(f"ids={min(found)} is no token: ids are not negative")
    return None if found is None else tuple(sorted(set(found)))


def _strings(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    entries = [value] if isinstance(value, str) else _entries(value)
    others = [value] if entries is None else [entry for entry in entries if not isinstance(entry, str)]
    if others:
        raise TypeError(f"{name} must be strings, got {others[0]!r}: no {name.rstrip('s')} is that")
    if not entries:
        raise ValueError(f"{name} is empty: nothing would be chosen")
    return tuple(sorted({str(entry) for entry in entries}))
