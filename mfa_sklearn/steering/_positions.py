"""Which tokens of a running model are to be steered.

A hook sees activations (n, T, D) and nothing else: not which columns are padding, nor how many tokens a key-value
cache holds already, nor where the prompt ended and generation began. `PositionTracker` is told of every forward pass
before its hooks fire (`watch`), and keeps the sequence together, so that a generation with a cache (all columns once,
then one at a time) and without (all columns, again and again) have the same tokens steered.

A forward pass continues the sequence before it if it brings the cache of that sequence, or its very tokens and one
more; anything else begins a new sequence, whose tokens are all prompt. Under beams rows change places between passes:
a row goes on with what another has written. With a cache that is seen when the cache is put into its new order, without
one from the tokens themselves. Models that cannot be watched (no torch module inside, or entered past it) are judged by
shape: same rows and one column, or one column more, continues.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..activations._selection import TokenSelection
from ..activations._selection_facts import Chooser, TokenFacts
from ..activations._tokenize import TokenSequence
from ._prompts import Encoded
from ._watch import Seen

# Who says, in a chat, what the model writes.
WRITER = "assistant"


class Progress(NamedTuple):
    """The token sequences in hand, over all columns read so far, on the CPU."""

    ids: Tensor | None  # (n, S), -1 where a token is not known
    real: Tensor  # (n, S)
    prompt_width: int
    steered: Tensor  # (n, S)

    def of_rows(self, index: Tensor) -> Progress:
        """The same with other rows in their places."""
        ids = None if self.ids is None else self.ids[index]
        return Progress(ids, self.real[index], self.prompt_width, self.steered[index])


class PositionTracker:
    """Follows forward passes and says which of their tokens are to be steered.

    Parameters
    ----------
    selection : TokenSelection
    tokenizer : transformers tokenizer, optional
        Of the model; strings, predicates and the beginning-of-text token are known by it.
    known : iterable of TokenSequence
        Prompts of which more is known than their ids: which tokens are special, and who says them. They are found by
        their ids, wherever they are padded and however often they stand in a batch. Of others the beginning-of-text
        token is special where it comes first, and with it the one that closes an encoder's text where that comes last.

    Attributes
    ----------
    sequence : Progress or None
        The sequences in hand, as the last pass read them, put together when they are asked for. Under beams the rows
        are those of the beams that are still written, each with its own history, in the order of the model's batch: the
        prompts', with the beams of each one after the other. Those that are finished, or were left, are no longer
        there.
    """

    def __init__(self, selection: TokenSelection, tokenizer: Any = None, known: Iterable[TokenSequence] = ()) -> None:
        self._choose, self._tokenizer = Chooser(selection, tokenizer), tokenizer
        self._places = selection.places
        self._known = {tuple(sequence.ids.tolist()): sequence for sequence in known}
        self._seen: Seen | None = None
        self._order: Tensor | None = None
        self._start, self._has_roles, self._n_passes, self._found = 0, False, 0, False
        self._sequence: Progress | None = None
        # Generated tokens of which all that is asked is known before: their ids (n, 1), not yet a part of the sequence.
        self._always, self._more = self._choose.of_generated, list[Tensor]()
        self._last_real: Tensor | None = None  # of all columns, where the last pass told it
        self._all_real = False

    @property
    def sequence(self) -> Progress | None:
        """The sequences in hand."""
        if self._more and self._sequence is not None:
            ids, real, prompt_width, steered = self._sequence
            more = torch.cat(self._more, dim=1).cpu().long()
            ids = more if ids is None else torch.cat([ids, more], dim=1)
            real = torch.nn.functional.pad(real, (0, more.shape[1]), value=True)
            steered = torch.nn.functional.pad(steered, (0, more.shape[1]), value=bool(self._always))
            self._sequence, self._more = Progress(ids, real, prompt_width, steered), []
        return self._sequence

    @property
    def n_read(self) -> int:
        """Columns of the sequences in hand."""
        return 0 if self._sequence is None else self._sequence.real.shape[1] + len(self._more)

    @property
    def in_prompt(self) -> bool:
        """Whether all columns of the sequences in hand are those of the prompts."""
        return self._sequence is not None and self._sequence.prompt_width == self.n_read

    def expect(self, seen: Seen) -> None:
        """Take note of what the coming forward pass is called with."""
        self._seen = seen

    def reorder(self, rows: Tensor) -> None:
        """Take note that in the coming pass each row goes on with what another has written, `rows` (n,)."""
        self._order = rows.cpu() if self._order is None else self._order[rows.cpu()]

    def choose(self, n_rows: int, width: int) -> bool | Tensor:
        """As `select`; but one word, True for all or False for none, where a generated token need not be looked at."""
        if width != 1 or not self._goes_on(n_rows):
            return self.select(n_rows, width)
        assert self._seen is not None and self._seen.ids is not None and self._always is not None
        self._start, self._last_real = self.n_read, self._seen.mask
        self._more.append(self._seen.ids.clone())  # a slice of the ids would keep all of them
        self._seen = None
        self._n_passes += 1
        self._found = self._found or self._always
        return self._always

    def _goes_on(self, n_rows: int) -> bool:
        """Whether the pass under way reads one more token for every row in hand, and no more need be known of it."""
        seen, earlier = self._seen, self._sequence
        if self._always is None or seen is None or seen.ids is None or earlier is None or earlier.ids is None:
            return False
        if self._order is not None or len(earlier.real) != n_rows or seen.ids.shape != (n_rows, 1):
            return False
        width, mask = self.n_read, seen.mask
        if width != seen.start:
            return False
        if mask is None:
            return True
        if mask.shape != (n_rows, width + 1):
            return False
        if self._all_real:
            return bool(mask.all())
        known = self._last_real
        return (
            known is not None
            and torch.equal(mask[:, :-1].bool(), known.to(mask.device).bool())
            and bool(mask[:, -1].all())
        )

    def select(self, n_rows: int, width: int) -> Tensor:
        """Tokens (n, T) of the pass under way that are to be steered, on the CPU.

        Raises
        ------
        ValueError
            If a negative place lies before the beginning of a prompt, or the selection asks for ids or roles that are
            not known.
        """
        seen = self._usable(n_rows, width)
        earlier = self._continued(seen, n_rows, width)
        start = seen.start if seen else (earlier.real.shape[1] if earlier and width == 1 else 0)
        ids, real = self._columns(seen, earlier, start, n_rows, width)
        prompt_width = earlier.prompt_width if earlier else start + width
        before = earlier.steered if earlier else torch.zeros((n_rows, 0), dtype=torch.bool)
        chosen = torch.cat([before, self._chosen(ids, real, prompt_width, before.shape[1])], dim=1)
        steered = chosen if earlier else torch.cat([torch.zeros_like(chosen[:, :start]), chosen[:, start:]], dim=1)
        self._sequence, self._more, self._start = Progress(ids, real, prompt_width, steered), [], start
        self._last_real, self._all_real = real, bool(real.all())
        self._n_passes += 1
        self._found = self._found or bool(chosen[:, start:].any())
        return chosen[:, start:]

    def generated_step(self) -> Tensor:
        """Of the tokens (n, T) of the pass under way: 0 in the prompt, then 1, 2, ... as they are written."""
        assert self.sequence is not None
        real, width = self.sequence.real, self.sequence.prompt_width
        step = real.cumsum(1) - real[:, :width].sum(1, keepdim=True)
        return (step.clamp(min=0) * real)[:, self._start :]

    def check_chosen(self) -> None:
        """Refuse passes of which no token was chosen.

        Raises
        ------
        ValueError
        """
        if self._n_passes and not self._found:
            n = self._n_passes
            passes = "the forward pass" if n == 1 else f"any of {n} forward passes"
            raise ValueError(
                f"select={self._choose.selection!r} chose no token of {passes}, so nothing was steered: choose more "
                "tokens, or use alpha=0 to look at the model as it is"
            )

    def check_prompts(self, encoded: Encoded, n_new: int = 0) -> None:
        """Refuse a selection of no token of these prompts and of none that can be written behind them.

        Raises
        ------
        ValueError
        """
        ids = encoded.ids.cpu()
        real = torch.ones(ids.shape, dtype=torch.bool) if encoded.mask is None else encoded.mask.bool().cpu()
        if n_new and self._always and not self._choose.needs_roles:
            return  # whatever the prompts are
        if self._choose(self._facts(ids, real)).any() or (n_new and _reaches(self._choose, min(encoded.lengths))):
            return
        some = "the prompt" if encoded.single else f"the {len(ids)} prompts"
        roles = sorted({str(r) for s in encoded.sequences or () if s.roles is not None for r in s.roles} - {""})
        raise ValueError(
            f"select={self._choose.selection!r} chooses no token of {some}{'' if n_new else ', and none is generated'}"
            f"{f' (with the roles {roles})' if roles else ''}: nothing would be steered, so choose more tokens"
        )

    def _usable(self, n_rows: int, width: int) -> Seen | None:
        """What is known of the pass under way, on the CPU."""
        seen, self._seen = self._seen, None
        if seen is None or seen.ids is None or seen.ids.shape != (n_rows, width):
            return None
        return Seen(seen.ids.cpu().long(), None if seen.mask is None else seen.mask.bool().cpu(), seen.start)

    def _continued(self, seen: Seen | None, n_rows: int, width: int) -> Progress | None:
        """The sequences in hand, if this pass goes on with them, in the order of its rows."""
        earlier, order = self.sequence, self._order
        self._order = None
        if earlier is None or len(earlier.real) != n_rows:
            return None
        if order is not None and len(order) == n_rows:
            earlier = earlier.of_rows(order)
        read = earlier.real.shape[1]
        if seen is None:
            return earlier if width in (1, read + 1) else None
        if seen.start:
            return earlier if seen.start == read else None
        if earlier.ids is None or width != read + 1 or seen.ids is None:
            return None
        before = seen.ids[:, :read]
        if torch.equal(before, earlier.ids):
            return earlier
        same = (before[:, None] == earlier.ids[None]).all(-1)  # of this row and an earlier one
        same += same.diagonal().diag()  # a row that goes on with itself comes before its likes
        return earlier.of_rows(same.long().argmax(1)) if bool(same.any(1).all()) else None

    def _columns(
        self, seen: Seen | None, earlier: Progress | None, start: int, n_rows: int, width: int
    ) -> tuple[Tensor | None, Tensor]:
        """Token ids and realness of all columns up to the end of this pass."""
        if seen is None:
            known = earlier.real if earlier else torch.ones(n_rows, 0, dtype=torch.bool)
            return None, torch.nn.functional.pad(known, (0, start + width - known.shape[1]), value=True)
        assert seen.ids is not None
        ids = seen.ids
        if start:
            unknown = torch.full((n_rows, start), -1, dtype=ids.dtype)
            ids = torch.cat([earlier.ids if earlier and earlier.ids is not None else unknown, ids], dim=1)
        return ids, self._real(seen, earlier, ids)

    def _real(self, seen: Seen, earlier: Progress | None, ids: Tensor) -> Tensor:
        if seen.mask is not None and seen.mask.shape == ids.shape:
            return seen.mask
        if earlier is not None:
            return torch.nn.functional.pad(earlier.real, (0, ids.shape[1] - earlier.real.shape[1]), value=True)
        real = torch.ones_like(ids, dtype=torch.bool)
        pad_id = getattr(self._tokenizer, "pad_token_id", None)
        if pad_id is not None and len(ids) > 1:
            # Rows padded on the right come without a mask; the first token is real even if it is the padding token.
            real = ids.ne(pad_id).flip(1).cumsum(1).flip(1) > 0
            real[:, 0] = True
        return real

    def _chosen(self, ids: Tensor | None, real: Tensor, prompt_width: int, start: int) -> Tensor:
        """The selection (n, S - start) of the columns from `start` on: of whole prompts, or of what is behind them."""
        if ids is None and self._choose.needs_ids:
            raise ValueError(
                f"select={self._choose.selection!r} asks which tokens these are, and this model does not show what it "
                "reads: select by phase or place"
            )
        known = torch.full(real.shape, -1) if ids is None else ids
        facts = self._facts(known, real) if not start else self._behind(known, real, prompt_width, start)
        return torch.from_numpy(self._choose(facts))

    def _behind(self, ids: Tensor, real: Tensor, prompt_width: int, start: int) -> TokenFacts:
        """Facts of generated tokens, the columns from `start` on."""
        places = real.cumsum(1)[:, start:].numpy() - 1
        n_prompt, some = real[:, :prompt_width].sum(1).numpy(), real[:, start:].numpy()
        roles = np.full(some.shape, WRITER) if self._has_roles else None
        return TokenFacts(ids[:, start:].numpy(), some, places, n_prompt, np.zeros_like(some), roles)

    def _facts(self, ids: Tensor, real: Tensor) -> TokenFacts:
        """Facts of whole prompts."""
        where = real.numpy()
        known = [self._known_of(row[some]) for row, some in zip(ids.numpy(), where, strict=True)]
        given = [sequence.roles for sequence in known if sequence.roles is not None]
        self._has_roles = len(given) == len(known)
        special = np.zeros(where.shape, dtype=bool)
        special[where] = np.concatenate([sequence.special for sequence in known])
        roles = np.full(where.shape, "", dtype=object) if self._has_roles else None
        if roles is not None:
            roles[where] = np.concatenate(given)
        facts = TokenFacts.of_prompts(ids.numpy(), where, special, None if roles is None else roles.astype(str))
        self._check_places(facts)
        return facts

    def _known_of(self, ids: np.ndarray) -> TokenSequence:
        """A prompt, of which more is known than its ids or is told by them."""
        found = self._known.get(tuple(ids.tolist()))
        if found is not None:
            return found
        begins = [getattr(self._tokenizer, name, None) for name in ("bos_token_id", "cls_token_id")]
        special = np.zeros(len(ids), dtype=bool)
        special[:1] = bool(len(ids)) and int(ids[0]) in begins
        if len(ids) > 1 and special[0]:  # an encoder's text is closed as well
            special[-1] = int(ids[-1]) == getattr(self._tokenizer, "sep_token_id", None)
        return TokenSequence(ids, special)

    def _check_places(self, facts: TokenFacts) -> None:
        if not self._places:
            return
        shortest = int(min(facts.n_prompt, default=0))
        for place in self._places:
            if place < -shortest:
                raise ValueError(f"position {place} lies before the first of {shortest} prompt tokens")


def _reaches(choose: Chooser, shortest: int) -> bool:
    """Whether generated tokens may be chosen, whichever they are, behind prompts of which this is the shortest."""
    for part in choose.selection.parts:
        windowed = part.first is not None or part.last is not None
        if part.phase == "prompt" or (windowed and part.phase is None):
            continue
        if part.at is None or max(part.at) >= shortest:  # type: ignore[arg-type]
            return True
    return False
