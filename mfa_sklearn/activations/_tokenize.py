"""From texts to token sequences, with what a person wants to know about each token.

Which tokens are special is a matter of where the tokenizer put them, never of their id: GPT-2 pads, begins and ends
with one token, which a text may also spell out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from typing import Any

import numpy as np

from .._base.checks import warn_user
from ._chats import ChatText, roles_of
from ._cuts import count_cuts
from ._language_model import keep_tokenizer


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
    roles : str or None
        Who says it, where the text is a chat; "" for nobody.
    """

    ids: np.ndarray
    special: np.ndarray
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None
    roles: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> TokenSequence:
        """Tokens `start` to `stop`."""
        return TokenSequence(*(None if a is None else a[start:stop] for a in self._arrays()))  # type: ignore[arg-type]

    def select(self, index: np.ndarray) -> TokenSequence:
        """The tokens of an index."""
        return TokenSequence(*(None if a is None else a[index] for a in self._arrays()))  # type: ignore[arg-type]

    def begun(self) -> TokenSequence:
        """The same with its first token special."""
        special = self.special.copy()
        special[:1] = True
        return replace(self, special=special)

    def led_by(self, token_id: int) -> TokenSequence:
        """The same with a special token in front."""
        facts = zip(self._arrays(), (token_id, True, 0, 0, ""), strict=True)
        return TokenSequence(
            *(None if a is None else np.concatenate([np.array([fact], dtype=a.dtype), a]) for a, fact in facts)  # type: ignore[arg-type]
        )

    def said(self, text: ChatText) -> TokenSequence:
        """The same with who says each token; those that nobody says are special."""
        if self.starts is None or self.ends is None:
            raise ValueError("the tokenizer cannot tell which characters a token covers: chats need a fast tokenizer")
        roles = roles_of(text, self.starts, self.ends)
        return replace(self, special=self.special | (roles == ""), roles=roles)

    def _arrays(self) -> tuple[np.ndarray | None, ...]:
        return self.ids, self.special, self.starts, self.ends, self.roles


def tokenize(
    model: Any,
    texts: Sequence[str],
    max_length: int | None = None,
    prepend_bos: bool | None = None,
    first: int = 0,
    quiet: bool = False,
) -> list[TokenSequence]:
    """The sequences `model` reads for `texts`: those of `read_texts`, cut where they are too long.

    Parameters
    ----------
    model : TransformerBridge
    texts : list of n str
    max_length : int, optional
        Longest sequence, special tokens included; the model's context by default.
    prepend_bos : bool, optional
        As of `read_texts`.
    first : int
        Number of the first text, for messages.
    quiet : bool
        Leave warnings to another call.

    Raises
    ------
    ValueError
        If `max_length` is beyond the model's context or leaves no room for a token, or a text is only special tokens.

    Warns
    -----
    UserWarning
        If texts were cut at `max_length`, or begin with a token that an encoder's tokenizer puts there as well.
    """
    check_max_length(model, max_length)
    return cut_to_length(model, read_checked(model, texts, prepend_bos, first, quiet), max_length, quiet)


def read_checked(
    model: Any,
    texts: Sequence[str],
    prepend_bos: bool | None = None,
    first: int = 0,
    quiet: bool = False,
    found: list[TokenSequence] | None = None,
) -> list[TokenSequence]:
    """The sequences of `read_texts`, or those `found` already, with the errors and warnings of `tokenize`."""
    sequences = read_texts(model, texts, prepend_bos) if found is None else found
    _check_content(model.tokenizer, sequences, texts, first)
    _check_vocabulary(model, sequences, texts, first)
    if not quiet:
        _warn_of_two_beginnings(model, sequences)
    return sequences


def cut_to_length(
    model: Any, sequences: list[TokenSequence], max_length: int | None, quiet: bool = False, remedy: str = ""
) -> list[TokenSequence]:
    """Sequences of at most `max_length` tokens; what is lost is told, with a `remedy`."""
    limit = check_max_length(model, max_length)
    cut = [_truncated(sequence, limit) for sequence in sequences]
    if not quiet:
        before, after = ([len(s) for s in some] for some in (sequences, cut))
        count_cuts(before, after, limit, context_length(model) or limit, remedy)
    return cut


def read_texts(model: Any, texts: Sequence[str], prepend_bos: bool | None = None) -> list[TokenSequence]:
    """The token sequences that stand for `texts`, of any length and without padding.

    A causal model's are those of TransformerLens' ``to_tokens``, but for a text that begins with the beginning-of-text
    token itself, as chat templates write it: that token is the one the sequence begins with, and gets no second beside
    it. An encoder's are its tokenizer's own, with the token that closes them.

    Parameters
    ----------
    model : TransformerBridge, or a model with its `tokenizer` and `cfg`
    texts : list of n str
    prepend_bos : bool, optional
        Whether sequences begin with the beginning-of-text token; by default what the model's architecture does.
    """
    begin, tokenizer = _as_encoder if is_encoder(model) else _as_causal, _own_tokenizer(model)
    if tokenizer is None or len(tokenizer) <= len(tokenizer.all_special_ids):
        raise ValueError(
            "the model's tokenizer knows no tokens: its directory lacks the tokenizer's files, so write them there, "
            "with tokenizer.save_pretrained"
        )
    has_bos = cache(lambda: _has_bos(model))  # for which a tokenizer is asked, once for all texts
    found = [begin(model, sequence, prepend_bos, has_bos) for sequence in _encode(tokenizer, texts)]
    return [s.said(text) if isinstance(text, ChatText) else s for s, text in zip(found, texts, strict=True)]


def _own_tokenizer(model: Any) -> Any:
    """A model's tokenizer, with all that it puts around a text (see `keep_tokenizer`), whatever loaded the model."""
    tokenizer = model.tokenizer
    if not hasattr(model, "mfa_tokenizer") and hasattr(model, "original_model"):
        name = getattr(tokenizer, "name_or_path", "")
        if not os.path.isdir(name):
            return tokenizer
        keep_tokenizer(model, name)
    theirs, own = getattr(model, "mfa_tokenizer", (None, None))
    return own if theirs is tokenizer else tokenizer  # a tokenizer that was put in its place later is taken as it is


def is_encoder(model: Any) -> bool:
    """Whether tokens see those behind them, as in BERT and RoBERTa: there is no next token to predict."""
    return bool(getattr(getattr(model, "cfg", None), "attention_dir", "causal") == "bidirectional")


def context_length(model: Any) -> int | None:
    """The longest sequence a model reads, the lower of its own limit and its tokenizer's; None if none is known."""
    own = getattr(getattr(model, "cfg", None), "n_ctx", None)
    limits = (own, getattr(getattr(model, "tokenizer", None), "model_max_length", None))
    return min((int(limit) for limit in limits if limit), default=None)


def check_max_length(model: Any, max_length: int | None) -> int:
    """`max_length`, or the model's context for None."""
    context = context_length(model)
    assert context is not None
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


def _encode(tokenizer: Any, texts: Sequence[str]) -> list[TokenSequence]:
    if not tokenizer.is_fast:
        return [_encode_slowly(tokenizer, text) for text in texts]
    found = tokenizer(
        list(texts),
        return_attention_mask=False,
        return_token_type_ids=False,
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
        verbose=False,  # of texts that are longer than the model reads: what is cut of them is told elsewhere
    )
    lengths = [len(ids) for ids in found["input_ids"]]
    n = sum(lengths)
    # Arrays of all texts at once: numpy goes through nested lists slowly.
    ids = np.fromiter(chain.from_iterable(found["input_ids"]), np.int64, n)
    special = np.fromiter(chain.from_iterable(found["special_tokens_mask"]), bool, n)
    spans = chain.from_iterable(chain.from_iterable(found["offset_mapping"]))
    facts = (ids, special, *np.fromiter(spans, np.int64, 2 * n).reshape(-1, 2).T.copy())
    ends = np.cumsum(lengths)
    return [
        TokenSequence(*(fact[start:stop] for fact in facts)) for start, stop in zip(ends - lengths, ends, strict=True)
    ]


def _encode_slowly(tokenizer: Any, text: str) -> TokenSequence:
    whole = tokenizer(text)["input_ids"]
    inner = tokenizer(text, add_special_tokens=False)["input_ids"]
    lead = next((i for i in range(len(whole) - len(inner) + 1) if whole[i : i + len(inner)] == inner), 0)
    special = np.ones(len(whole), dtype=bool)
    special[lead : lead + len(inner)] = False
    return TokenSequence(np.array(whole, dtype=np.int64), special)


def _as_encoder(
    model: Any, sequence: TokenSequence, prepend_bos: bool | None, has_bos: Callable[[], bool]
) -> TokenSequence:
    """The tokenizer's own sequence, begun otherwise only where that is asked for."""
    leads = len(sequence) > 0 and bool(sequence.special[0])
    if prepend_bos and not leads and has_bos():
        return sequence.led_by(model.tokenizer.bos_token_id)
    if prepend_bos is False and leads:
        return sequence.part(1, len(sequence))
    return sequence


def _as_causal(
    model: Any, sequence: TokenSequence, prepend_bos: bool | None, has_bos: Callable[[], bool]
) -> TokenSequence:
    """Begun as the model's ``to_tokens`` does, or by the text itself, and without a token that closes it."""
    tokenizer, cfg = model.tokenizer, model.cfg
    default = getattr(cfg, "default_prepend_bos", True)
    wanted = default if prepend_bos is None else prepend_bos
    while len(sequence) > 1 and sequence.special[-1] and sequence.ids[-1] == tokenizer.eos_token_id:
        sequence = sequence.part(0, len(sequence) - 1)
    firsts = (tokenizer.bos_token_id, getattr(tokenizer, "cls_token_id", None))
    led = len(sequence) > 0 and bool(sequence.special[0]) and int(sequence.ids[0]) in firsts
    own = sequence.part(1, len(sequence)) if led else sequence
    # TransformerLens names a token for models that have none, which then stands for nothing in a text.
    has_beginning = wanted or default or led
    if has_beginning and len(own) and own.ids[0] == tokenizer.bos_token_id and not own.special[0]:
        return own.begun()
    if wanted and not led and has_bos():
        return sequence.led_by(tokenizer.bos_token_id)
    return sequence if wanted else own


def _has_bos(model: Any) -> bool:
    """Whether there is a beginning-of-text token that the model knows: loaders name one that it may not."""
    known, token_id = vocabulary_size(model), model.tokenizer.bos_token_id
    within = token_id is not None and (known is None or token_id < known)
    return within and _is_one_token(model.tokenizer, model.tokenizer.bos_token)


def vocabulary_size(model: Any) -> int | None:
    """How many token ids a model has an embedding for; None if it does not say."""
    size = getattr(getattr(model, "cfg", None), "d_vocab", None)
    return int(size) if size and size > 0 else None


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


def _check_vocabulary(model: Any, sequences: Sequence[TokenSequence], texts: Sequence[str], first: int) -> None:
    known = vocabulary_size(model)
    if known is None:
        return
    for number, sequence in enumerate(sequences):
        if len(sequence) and sequence.ids.max() >= known:
            worst = int(sequence.ids.max())
            raise ValueError(
                f"texts[{first + number}] holds token {worst} ({model.tokenizer.convert_ids_to_tokens(worst)!r}), but "
                f"the model has embeddings for {known}: leave it out of {texts[number][:60]!r}"
            )


def _warn_of_two_beginnings(model: Any, sequences: Sequence[TokenSequence]) -> None:
    """An encoder's sequences are left as its tokenizer makes them, also where a text spells its first token."""
    if not is_encoder(model):
        return
    twice = [s for s in sequences if len(s) > 1 and s.special[0] and s.ids[0] == s.ids[1] and not s.special[1]]
    if twice:
        token = model.tokenizer.convert_ids_to_tokens(int(twice[0].ids[0]))
        warn_user(
            f"{len(twice)} of {len(sequences)} texts begin with {token}, which the tokenizer puts at the beginning as "
            "well: they are read with two, as transformers reads them. Leave it out of the texts"
        )


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
