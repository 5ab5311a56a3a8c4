"""From texts to token sequences, with what a person wants to know about each token.

Which tokens are special is a matter of where the tokenizer put them, never of their id: GPT-2 pads, begins and ends
with one token, which a text may also spell out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._cuts import count_cuts


@dataclass(frozen=True)
class TokenSequence:
    """What a model reads for one text: arrays of length T.

    Attributes
    ----------
    ids : int64
        Token ids, special tokens included.
    special : bool
        Whether the tokenizer added the token, as opposed to finding it in the text.
    starts, ends : int64 or None
        Characters of the text the token covers; None if the tokenizer cannot tell.
    """

    ids: np.ndarray
    special: np.ndarray
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> TokenSequence:
        """Tokens `start` to `stop`."""
        return self.select(np.arange(len(self))[start:stop])

    def select(self, index: np.ndarray) -> TokenSequence:
        """The tokens of an index."""
        return TokenSequence(*(None if a is None else a[index] for a in self._arrays()))  # type: ignore[arg-type]

    def led_by(self, token_id: int) -> TokenSequence:
        """The same with a special token in front."""
        facts = (token_id, True, 0, 0)
        return TokenSequence(
            *(None if a is None else np.insert(a, 0, fact) for a, fact in zip(self._arrays(), facts, strict=True))  # type: ignore[arg-type]
        )

    def _arrays(self) -> tuple[np.ndarray | None, ...]:
        return self.ids, self.special, self.starts, self.ends


def tokenize(
    model: Any,
    texts: Sequence[str],
    max_length: int | None = None,
    prepend_bos: bool | None = None,
    first: int = 0,
) -> list[TokenSequence]:
    """The sequences `model` (a TransformerBridge) reads for `texts`: those of its own ``to_tokens``, without padding.

    Parameters
    ----------
    model : TransformerBridge
    texts : list of n str
    max_length : int, optional
        Longest sequence, special tokens included; the model's context by default.
    prepend_bos : bool, optional
        Whether sequences begin with the beginning-of-text token; by default what the model's architecture does.
    first : int
        Number of the first text, for messages.

    Raises
    ------
    ValueError
        If `max_length` is beyond the model's context or leaves no room for a token, or a text is only special tokens.

    Warns
    -----
    UserWarning
        If texts were cut at `max_length`.
    """
    limit = check_max_length(model, max_length)
    sequences = [_with_bos(model, sequence, prepend_bos) for sequence in _encode(model.tokenizer, texts)]
    _check_content(model.tokenizer, sequences, texts, first)
    cut = [_truncated(sequence, limit) for sequence in sequences]
    count_cuts([len(s) for s in sequences], [len(s) for s in cut], limit, context_length(model))
    return cut


def context_length(model: Any) -> int:
    """The longest sequence a model reads: its own limit or its tokenizer's, whichever is lower."""
    limit = getattr(model.tokenizer, "model_max_length", None)
    return int(min(model.cfg.n_ctx, limit)) if limit else int(model.cfg.n_ctx)


def check_max_length(model: Any, max_length: int | None) -> int:
    """`max_length`, or the model's context for None."""
    context = context_length(model)
    if max_length is None:
        return context
    if max_length > context:
        raise ValueError(f"max_length={max_length} is beyond the model's context of {context} tokens: lower it")
    return int(max_length)


def token_strings(tokenizer: Any, ids: Any) -> np.ndarray:
    """Each token id as the string the tokenizer decodes it to by itself, such as ``" cat"``.

    Parameters
    ----------
    tokenizer : transformers tokenizer, or None
        None, of a model that has none, gives the ids as strings.
    ids : array of int of shape (n,)
        A negative one is a token that is not known, and gives "".

    Returns
    -------
    ndarray of str of shape (n,)
    """
    distinct, inverse = np.unique(np.asarray(ids, dtype=np.int64), return_inverse=True)
    known = distinct[distinct >= 0].tolist()
    strings = [str(i) for i in known] if tokenizer is None else _decode(tokenizer, known)
    return np.array([""] * (len(distinct) - len(known)) + strings, dtype=str)[inverse]


def kept_tokens(
    tokenizer: Any,
    sequences: Sequence[TokenSequence],
    keep: Collection[str] | Callable[[str], bool] | None = None,
    include_special: bool = False,
) -> list[np.ndarray]:
    """Positions of the tokens that become rows, per sequence.

    `keep` is asked once per distinct token string; special tokens are kept or not by `include_special` alone.
    """
    if keep is None:
        return [np.flatnonzero(include_special | ~s.special) for s in sequences]
    all_ids = np.concatenate([s.ids for s in sequences])
    distinct, inverse = np.unique(all_ids, return_inverse=True)
    wanted = keep if callable(keep) else set(keep).__contains__
    verdict = np.array([bool(wanted(str(token))) for token in token_strings(tokenizer, distinct)])[inverse]
    per_text = np.split(verdict, np.cumsum([len(s) for s in sequences])[:-1])
    return [
        np.flatnonzero(np.where(s.special, include_special, yes)) for s, yes in zip(sequences, per_text, strict=True)
    ]


def keep_digest(tokenizer: Any, keep: Callable[[str], bool]) -> str:
    """What a function says of every token of a vocabulary, as a digest.

    It tells functions apart where names do not - lambdas, partials, objects that are called - and is the same in
    another process.
    """
    digest = hashlib.sha256()
    for string in sorted(set(token_strings(tokenizer, np.arange(len(tokenizer))).tolist())):
        digest.update(f"{string!r}: {_verdict(keep, string)}\n".encode())
    return f"sha256:{digest.hexdigest()[:16]}"


def _verdict(keep: Callable[[str], bool], string: str) -> str:
    try:
        return str(bool(keep(string)))
    except Exception as error:  # no text need hold this token; where one does, the run says so
        return type(error).__name__


def _encode(tokenizer: Any, texts: Sequence[str]) -> list[TokenSequence]:
    if not tokenizer.is_fast:
        return [_encode_slowly(tokenizer, text) for text in texts]
    found = tokenizer(
        list(texts),
        return_attention_mask=False,
        return_token_type_ids=False,
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
    )
    sequences = []
    for row in zip(found["input_ids"], found["special_tokens_mask"], found["offset_mapping"], strict=True):
        ids, special, spans = (np.array(fact, dtype=np.int64) for fact in row)
        spans = spans.reshape(-1, 2)
        sequences.append(TokenSequence(ids, special.astype(bool), spans[:, 0], spans[:, 1]))
    return sequences


def _encode_slowly(tokenizer: Any, text: str) -> TokenSequence:
    whole = tokenizer(text)["input_ids"]
    inner = tokenizer(text, add_special_tokens=False)["input_ids"]
    lead = next((i for i in range(len(whole) - len(inner) + 1) if whole[i : i + len(inner)] == inner), 0)
    special = np.ones(len(whole), dtype=bool)
    special[lead : lead + len(inner)] = False
    return TokenSequence(np.array(whole, dtype=np.int64), special)


def _with_bos(model: Any, sequence: TokenSequence, prepend_bos: bool | None) -> TokenSequence:
    """Begin and end the sequence as the model's ``to_tokens`` does."""
    tokenizer, cfg = model.tokenizer, model.cfg
    wanted = getattr(cfg, "default_prepend_bos", True) if prepend_bos is None else prepend_bos
    if getattr(cfg, "tokenizer_appends_eos", False):
        while len(sequence) > 1 and sequence.special[-1] and sequence.ids[-1] == tokenizer.eos_token_id:
            sequence = sequence.part(0, len(sequence) - 1)
    if not wanted and cfg.tokenizer_prepends_bos and len(sequence) and sequence.special[0]:
        return sequence.part(1, len(sequence))
    if wanted and not cfg.tokenizer_prepends_bos and _is_one_token(tokenizer, tokenizer.bos_token):
        return sequence.led_by(tokenizer.bos_token_id)
    return sequence


def _is_one_token(tokenizer: Any, string: str | None) -> bool:
    return string is not None and len(tokenizer(string, add_special_tokens=False)["input_ids"]) == 1


def _check_content(tokenizer: Any, sequences: Sequence[TokenSequence], texts: Sequence[str], first: int) -> None:
    special = np.isin(np.concatenate([s.ids for s in sequences]), tokenizer.all_special_ids)
    own = ~special & ~np.concatenate([s.special for s in sequences])
    text = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
    bare = np.flatnonzero(np.bincount(text[own], minlength=len(sequences)) == 0)
    if len(bare):
        seen = texts[bare[0]][:60]
        raise ValueError(f"texts[{first + bare[0]}] has no tokens of its own, only special ones: {seen!r}")


def _truncated(sequence: TokenSequence, limit: int) -> TokenSequence:
    """At most `limit` tokens, of which the special ones at the end stay."""
    if len(sequence) <= limit:
        return sequence
    n_tail = len(sequence) - 1 - int(np.flatnonzero(~sequence.special)[-1])
    first = int(np.flatnonzero(~sequence.special)[0])
    if limit <= first + n_tail:
        raise ValueError(
            f"max_length={limit} leaves no room beside the {first + n_tail} special tokens of each text: raise it"
        )
    n = len(sequence)
    return sequence.select(np.r_[0 : limit - n_tail, n - n_tail : n])


def _decode(tokenizer: Any, ids: list[int]) -> list[str]:
    strings = [tokenizer.decode([token_id], clean_up_tokenization_spaces=False) for token_id in ids]
    # Sentencepiece decoders drop the space a sequence starts with, which is part of this token.
    lost = [
        piece is not None and piece.startswith("\u2581") and not string.startswith(" ")
        for piece, string in zip(tokenizer.convert_ids_to_tokens(ids), strings, strict=True)
    ]
    return [" " + string if dropped else string for string, dropped in zip(strings, lost, strict=True)]
