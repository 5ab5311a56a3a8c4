"""What a `TokenSelection` says of tokens: where selections are evaluated, for texts and running models alike."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._selection import TokenSelection, as_selection
from ._tokenize import TokenSequence, token_strings

# Tokens that a function is asked about twice, to see whether it says the same.
_ASKED_AGAIN = 1000
# Texts that are padded to one width at a time.
_TOGETHER = 256


class TokenFacts(NamedTuple):
    """What is known of tokens, in arrays of n rows and S columns: prompts whole, or some columns behind them."""

    ids: np.ndarray  # (n, S) int64, -1 where it is not known
    real: np.ndarray  # (n, S) bool, False for padding
    place: np.ndarray  # (n, S) in the row's own sequence
    n_prompt: np.ndarray  # (n,) tokens of the row's prompt
    special: np.ndarray  # (n, S) bool
    roles: np.ndarray | None = None  # (n, S) str, "" for nobody's

    @classmethod
    def of_prompts(
        cls, ids: np.ndarray, real: np.ndarray, special: np.ndarray, roles: np.ndarray | None = None
    ) -> TokenFacts:
        """Of prompts alone, padded anywhere."""
        return cls(ids, real, real.cumsum(axis=1) - 1, real.sum(axis=1), special, roles)


class Chooser:
    """Evaluates a selection; what it says of a token string is asked once and remembered.

    Parameters
    ----------
    selection : TokenSelection
    tokenizer : transformers tokenizer, or None
        Only strings and predicates need one.
    """

    def __init__(self, selection: TokenSelection, tokenizer: Any) -> None:
        self.selection = selection
        self._either = [_Part(part, tokenizer) for part in selection.parts]
        self._without = [_Part(part, tokenizer) for part in selection.exclusions]

    @property
    def needs_ids(self) -> bool:
        """Whether it has to know which tokens these are."""
        return any(part.verdicts is not None for part in (*self._either, *self._without))

    @property
    def needs_roles(self) -> bool:
        """Whether it has to know who says them."""
        return any(part.roles is not None for part in (*self.selection.parts, *self.selection.exclusions))

    @property
    def of_generated(self) -> bool | None:
        """What it says of every generated token, whichever it is; None where that depends on the token or its place."""
        either, without = ({part.of_generated for part in parts} for parts in (self._either, self._without))
        if True in without or either == {False}:
            return False
        return True if True in either and without <= {False} else None

    def __call__(self, facts: TokenFacts) -> np.ndarray:
        """Which tokens are chosen, (n, S).

        Raises
        ------
        ValueError
            If it asks for roles and there are none, or not this one.
        """
        chosen = self._either[0](facts)
        for part in self._either[1:]:
            chosen |= part(facts)
        for part in self._without:
            chosen &= ~part(facts)
        return chosen


class _Part:
    """Conditions that hold together."""

    def __init__(self, part: TokenSelection, tokenizer: Any) -> None:
        self._part = part
        asks = not (part.ids is None and part.strings is None and part.predicate is None)
        self.verdicts = _Verdicts(part, tokenizer) if asks else None

    def __call__(self, facts: TokenFacts) -> np.ndarray:
        part = self._part
        chosen = facts.real.copy()
        generated = facts.place >= facts.n_prompt[:, None]
        windowed = part.first is not None or part.last is not None
        if part.phase == "generated":
            chosen &= generated
        elif part.phase == "prompt" or windowed:
            chosen &= ~generated
        if windowed:
            chosen &= self._windows(facts, generated)
        if part.at is not None:
            chosen &= _at_places(part.at, facts)
        if self.verdicts is not None:
            chosen &= self.verdicts.of(facts.ids)
        if part.roles is not None:
            chosen &= np.isin(_roles(facts), list(part.roles))
        return chosen if self._takes_special else chosen & ~facts.special

    @property
    def of_generated(self) -> bool | None:
        """As of `Chooser`."""
        part = self._part
        windowed = part.first is not None or part.last is not None
        if part.phase == "prompt" or (windowed and part.phase is None):
            return False
        if part.at is not None and max(part.at) < 0:  # type: ignore[arg-type]
            return False  # counted from the end of the prompt
        asks = self.verdicts is not None or part.roles is not None or part.at is not None
        return None if windowed or asks else True

    @property
    def _takes_special(self) -> bool:
        part = self._part
        named = part.at is not None or part.ids is not None or part.strings is not None
        return named if part.special is None else part.special

    def _windows(self, facts: TokenFacts, generated: np.ndarray) -> np.ndarray:
        part = self._part
        if part.phase == "generated":
            return facts.place - facts.n_prompt[:, None] < part.first
        counted = facts.real & ~generated
        if not part.special:
            counted &= ~facts.special
        rank = counted.cumsum(axis=1)
        inside = counted
        if part.first is not None:
            inside = inside & (rank <= part.first)
        if part.last is not None:
            inside = inside & (rank[:, -1:] - rank < part.last)
        return inside


def _at_places(places: Any, facts: TokenFacts) -> np.ndarray:
    found = np.zeros(facts.real.shape, dtype=bool)
    for place in places:
        found |= facts.place == (place if place >= 0 else facts.n_prompt[:, None] + place)
    return found


def _roles(facts: TokenFacts) -> np.ndarray:
    if facts.roles is None:
        raise ValueError(
            "the selection asks for roles, which plain texts and token ids have none of: give chats, lists of messages "
            "such as {'role': 'user', 'content': 'Hello'}, or select by something else"
        )
    return facts.roles


class _Verdicts:
    """What ids, strings and a predicate together say of each token of a vocabulary."""

    def __init__(self, part: TokenSelection, tokenizer: Any) -> None:
        if tokenizer is None and not (part.strings is None and part.predicate is None):
            raise ValueError("the model has no tokenizer, so tokens have no strings to select by: use ids=")
        self._part, self._tokenizer = part, tokenizer
        self._table = np.array([0], dtype=np.int8)  # of the id before: 0 no, 1 yes, -1 not asked

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Verdicts in the shape of the ids; a token that is not known gets a no."""
        most = int(ids.max(initial=-1)) + 2
        if most > len(self._table):
            grown = np.full(max(most, 2 * len(self._table)), -1, dtype=np.int8)
            grown[: len(self._table)] = self._table
            self._table = grown
        found = self._table[ids + 1]
        if (found < 0).any():
            new = np.unique(ids[found < 0])
            self._table[new + 1] = self._ask(new)
            found = self._table[ids + 1]
        return found > 0

    def _ask(self, ids: np.ndarray) -> np.ndarray:
        part = self._part
        yes = np.ones(len(ids), dtype=bool) if part.ids is None else np.isin(ids, list(part.ids))  # type: ignore[arg-type]
        if part.strings is None and part.predicate is None:
            return yes
        strings = [str(string) for string in token_strings(self._tokenizer, ids)]
        if part.strings is not None:
            yes &= [string in part.strings for string in strings]  # type: ignore[operator]
        if part.predicate is not None:
            yes &= [bool(part.predicate(string)) for string in strings]
        return yes


def check_prompt_only(value: Any) -> TokenSelection:
    """A selection for texts that are read and not continued.

    Raises
    ------
    TypeError, ValueError
        If it is no selection, or one of generated tokens.
    """
    selection = as_selection(value)
    for part in selection.parts:
        if part.phase == "generated":
            raise ValueError(
                f"select={part} chooses generated tokens, but texts here are read and nothing is generated: leave "
                "phase out, and pass what a model wrote as texts"
            )
    return selection


def kept_tokens(tokenizer: Any, sequences: Sequence[TokenSequence], select: Any = None) -> list[np.ndarray]:
    """Positions of the tokens that are selected, per sequence."""
    choose, kept = Chooser(as_selection(select), tokenizer), []
    for start in range(0, len(sequences), _TOGETHER):
        some = sequences[start : start + _TOGETHER]
        kept += [np.flatnonzero(row) for row in choose(_padded(some))]
    return kept


def _padded(sequences: Sequence[TokenSequence]) -> TokenFacts:
    lengths = np.array([len(sequence) for sequence in sequences])
    real = np.arange(lengths.max(initial=0)) < lengths[:, None]

    def filled(values: list[np.ndarray], blank: Any, dtype: Any) -> np.ndarray:
        found = np.full(real.shape, blank, dtype=dtype)
        found[real] = np.concatenate(values)
        return found

    ids = filled([s.ids for s in sequences], -1, np.int64)
    special = filled([s.special for s in sequences], False, bool)
    said = [s.roles for s in sequences if s.roles is not None]
    roles = filled(said, "", np.concatenate(said).dtype) if said and len(said) == len(sequences) else None
    return TokenFacts.of_prompts(ids, real, special, roles)


def recorded(selection: TokenSelection, load_tokenizer: Callable[[], Any]) -> dict[str, Any]:
    """A selection as a store tells it, predicates as digests; their tokenizer is loaded if there are any."""
    return selection.record(lambda predicate: predicate_digest(load_tokenizer(), predicate))


def settings_of(selection: TokenSelection, record: dict[str, Any], load_tokenizer: Callable[[], Any]) -> dict[str, Any]:
    """What a run that goes on must have the same, of a selection and its record.

    Selections that could be said before there was `select`, with `keep` and `include_special`, are told as they were
    then, so that a run of that time goes on.
    """
    given = {name for name, value in record.items() if value not in (None, False)}
    if given == {"special"} or not given:
        return {"keep": None, "include_special": bool(given)}
    if given == {"predicate"}:
        return {"keep": record["predicate"], "include_special": False}
    # Special tokens were no rows, even where they were named.
    if given == {"strings"} and (
        selection.special is False or not set(record["strings"]) & set(load_tokenizer().all_special_tokens)
    ):
        return {"keep": record["strings"], "include_special": False}
    return {"select": record}


def predicate_digest(tokenizer: Any, predicate: Callable[[str], bool]) -> str:
    """What a function says of every token of a vocabulary, as a digest.

    It tells functions apart where names, code and state do not - lambdas, closures, partials, objects that are called -
    and is the same in another process.

    Raises
    ------
    ValueError
        If it says something else of a token when it is asked again: what it selects then depends on the order of the
        texts or on chance, and a run that goes on would not go on with the same.
    """
    strings = sorted(set(token_strings(tokenizer, np.arange(len(tokenizer))).tolist()))
    verdicts = [_verdict(predicate, string) for string in strings]
    for index in range(0, len(strings), max(1, len(strings) // _ASKED_AGAIN))[::-1]:
        if _verdict(predicate, strings[index]) != verdicts[index]:
            raise ValueError(
                f"the predicate of select says {verdicts[index]} of the token {strings[index]!r}, and something else "
                "when it is asked again: give a set of tokens, or a function of the token alone"
            )
    lines = (f"{string!r}: {verdict}\n" for string, verdict in zip(strings, verdicts, strict=True))
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()[:16]}"


def _verdict(predicate: Callable[[str], bool], string: str) -> str:
    try:
        return str(bool(predicate(string)))
    except Exception as error:  # no text need hold this token; where one does, the run says so
        return type(error).__name__
