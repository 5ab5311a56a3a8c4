"""A steering: what is moved where and when, to run a model with as often as one likes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import local
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._base.checks import check_choice, check_count, check_flag
from .._base.devices import DrawsOf
from .._base.turns import running
from ..activations._selection import as_selection
from ..activations._sites import check_site
from ._custom_move import as_move, name_of
from ._generation import as_given, check_finite, check_mask, check_options, check_seed, check_writes, write
from ._hooking import Part, hooked
from ._place import as_hookable, check_hookable, existing_hook, one_layer
from ._prompts import Encoded, encode
from ._schedule import check_schedule
from ._tables import SteeredTokens, logit_table, stacked

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


class Steering(AbstractContextManager[SteeredTokens]):
    """What is moved where in a model, and when: made by `MFASteerer.steer` and `steer_with`, and used in two ways.

    As a context manager it steers whatever the model runs inside the block: forward passes, `generate`, with and
    without a cache. Its verbs `logits`, `generate` and `logit_diff` read prompts themselves. Both may be used again and
    again, each time anew.

    Attributes
    ----------
    model : hookable model
    report_ : SteeredTokens or None
        Which tokens the last block or verb moved; None before the first.

    Notes
    -----
    A forward pass inside a block counts as generation if it brings the cache of the pass before, or its tokens and one
    more; else its tokens are a new prompt. Hooks come off however the block is left.

    Blocks nest, also of one steering and itself, and verbs may be called inside them: where both steer one place, the
    inner moves what the outer has moved.

    Hooks are the model's, so inside the block it belongs to the thread that entered. Others that steer it or extract
    from it wait until the block is left, or get a RuntimeError once nothing has run in it for ten seconds; a pass that
    another thread makes past this library is refused. Under `torch.autocast` the model computes as it is told to, the
    move in the activations' precision.

    Examples
    --------
    Two steerings of a small random model, at different layers, as one:

    >>> from transformer_lens import TransformerBridgeConfig
    >>> from transformer_lens.model_bridge import TransformerBridge
    >>> from mfa_sklearn.steering import steer_with
    >>> config = TransformerBridgeConfig(d_model=8, d_head=4, n_layers=2, n_ctx=16, d_vocab=20, n_heads=2,
    ...                                  act_fn="gelu", seed=0)
    >>> model = TransformerBridge.boot_native(config)
    >>> smaller = steer_with(model, lambda x: 0.5 * x, layer=0)
    >>> mirrored = steer_with(model, lambda x: -x, layer=1, select="last")
    >>> both = smaller.then(mirrored)
    >>> both.logits([3, 1, 4]).shape
    torch.Size([1, 20])
    >>> both.report_.mask
    array([[ True,  True,  True]])
    >>> [part.mask.tolist() for part in both.report_.parts]
    [[[True, True, True]], [[False, False, True]]]
    """

    def __init__(self, model: Any, parts: Sequence[Part] = (), prepend_bos: bool | None = None) -> None:
        self.model = model
        self._parts, self._prepend_bos = tuple(parts), prepend_bos
        self._entered = local()
        self.report_: SteeredTokens | None = None

    def __repr__(self) -> str:
        return f"Steering({self._label})"

    @property
    def _label(self) -> str:
        """In words."""
        return ", then ".join(part.label for part in self._parts) or "not steered"

    @property
    def _alpha(self) -> float | None:
        """The strength, of a steering with one part that has one."""
        return self._parts[0].alpha if len(self._parts) == 1 else None

    def then(self, other: Steering) -> Steering:
        """This steering followed by another: at one place the other moves what this one has moved.

        Parameters
        ----------
        other : Steering
            Of the same model; of another layer or site too, with tokens and schedule of its own.

        Returns
        -------
        Steering
            A new one; both stay as they are.

        Raises
        ------
        TypeError, ValueError
            If `other` is no steering, one of another model, or reads prompts with another beginning.
        """
        if not isinstance(other, Steering):
            raise TypeError(f"then takes a Steering, such as steerer.steer(...), got {type(other).__name__}")
        if wrapped(self.model) is not wrapped(other.model):
            raise ValueError("the two steerings are of different models: make both with the same one")
        begins = {begin for begin in (self._prepend_bos, other._prepend_bos) if begin is not None}
        if len(begins) > 1:
            raise ValueError(
                "one steering reads prompts with the beginning-of-text token and the other without: give both steerers "
                "the same prepend_bos="
            )
        return Steering(self.model, self._parts + other._parts, next(iter(begins), None))

    def __enter__(self) -> SteeredTokens:
        block = self._hooked(as_block=True)
        report = block.__enter__()
        # Blocks of one thread are left in the opposite order, and each thread has a stack of its own.
        self._entered.__dict__.setdefault("blocks", []).append(block)
        return report

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._entered.blocks.pop().__exit__(kind, error, trace)

    def _hooked(self, encoded: Encoded | None = None, as_block: bool = False) -> AbstractContextManager[SteeredTokens]:
        return hooked(self.model, self._parts, self._keep, encoded, as_block)

    def _keep(self, report: SteeredTokens) -> None:
        self.report_ = report
        for part in self._parts:
            if part.told is not None:
                part.told(report)

    @torch.no_grad()
    def logits(self, prompts: str | Sequence[str] | ArrayLike | Tensor, *, every_position: bool = False) -> Tensor:
        """Steered logits of the token that follows each prompt.

        Parameters
        ----------
        prompts : str, strings in a list, tuple, array or column, chats, or token ids of shape (T,) or (n, T)
            A chat is a list of messages, dicts with "role" and "content", read through the tokenizer's chat template:
            the model goes on where its answer begins, or behind a last message of the assistant's own. Prompts of
            different lengths, also lists of ids, are padded on the right and masked. Strings are read as
            `ActivationExtractor` reads texts: one that begins with the beginning-of-text token gets no second.
        every_position : bool, default=False
            Return the logits at all positions instead.

        Returns
        -------
        Tensor (n, V), or (n, T, V)
            A single prompt has n = 1.

        Raises
        ------
        ValueError
            If a prompt is empty or longer than the model's context, a place selected lies outside a prompt, or the
            activations are moved so far that the logits are not numbers.
        """
        check_flag("every_position", every_position)
        with running(self.model):
            encoded = self._encoded(prompts, self._prepend_bos)
            with self._hooked(encoded):
                logits = self._run(encoded)
        check_finite(encoded.last(logits))
        return logits if every_position else encoded.last(logits)

    def _encoded(self, prompts: Any, prepend_bos: bool | None, n_new: int = 0) -> Encoded:
        """Prompts read, and checked against each move and its tokens."""
        encoded = encode(self.model, prompts, prepend_bos, n_new)
        for part in self._parts:
            encoded.check_places(part.selection.places, n_new)
            part.tracker(self.model, encoded).check_prompts(encoded, n_new)
            check = getattr(part.move, "check_prompts", part.move.check_rows)
            check(len(encoded.lengths))
        return encoded

    def _run(self, encoded: Encoded) -> Tensor:
        # A mask of ones takes another attention kernel in some models; without it the bits are those of a plain call.
        masked = {} if encoded.mask is None else {"attention_mask": encoded.mask}
        return self.model(encoded.ids, **masked)

    def generate(
        self,
        prompts: str | Sequence[str] | ArrayLike | Tensor,
        max_new_tokens: int = 20,
        random_state: int | None = None,
        **options: Any,
    ) -> str | list[str] | Tensor | list[Tensor]:
        """Steered continuations of prompts.

        Parameters
        ----------
        prompts
            As of `logits`.
        max_new_tokens : int, default=20
        random_state : int, optional
            Seed of the sampling, which then has a generator of its own; by default torch's global one is drawn from.
        **options
            Handed to the model's `generate`: `do_sample`, `temperature`, `top_k`, `use_past_kv_cache`, ... And
            `return_type` ("input", "str", "tokens"), `prepend_bos`, and for token ids `attention_mask`. Where the
            model's `generate` knows `num_beams` and `num_return_sequences`, these too: the continuations of a prompt
            then stand side by side.

        Returns
        -------
        str, list of str, Tensor, or list of Tensor
            The prompts with their continuations, in the form they were given; ids of different length as a list.

        Raises
        ------
        TypeError
            For an option that the model's `generate` does not know; the nearest that it does is named.
        ValueError
            As `logits`; also if a prompt and its continuation do not fit the context, an option is out of range, or
            the model is an encoder.
        """
        return_type = options.get("return_type", "input")
        encoded, written = self._written(prompts, max_new_tokens, random_state, options)
        return as_given(encoded, written, return_type, getattr(self.model, "tokenizer", None))

    @torch.no_grad()
    def _written(
        self, prompts: Any, max_new_tokens: int, random_state: int | None, options: Mapping[str, Any]
    ) -> tuple[Encoded, Tensor]:
        """The prompts, and behind them, padded on the left, what the model writes: ids (n, T + new)."""
        with running(self.model):
            encoded, n_new, seed = self._checked(prompts, max_new_tokens, random_state, options)
            given = {"prepend_bos": self._prepend_bos, **options}
            given.pop("return_type", None)
            draws = nullcontext() if seed is None else DrawsOf(seed, encoded.ids.device)
            with self._hooked(encoded), draws:
                return encoded, write(self.model, encoded, n_new, given)

    def _checked(
        self, prompts: Any, max_new_tokens: int, random_state: int | None, options: Mapping[str, Any]
    ) -> tuple[Encoded, int, int | None]:
        """All that `generate` is given, checked: the prompts read, how much to write, and the seed."""
        check_writes(self.model)
        check_options(self.model, options)
        n_new, seed = check_count("max_new_tokens", max_new_tokens), check_seed(random_state)
        encoded = self._encoded(prompts, options.get("prepend_bos", self._prepend_bos), n_new)
        check_mask(encoded, options.get("attention_mask"))
        return encoded, n_new, seed

    @torch.no_grad()
    def logit_diff(
        self, prompts: str | Sequence[str] | ArrayLike | Tensor, *, top_k: int = 10, by: str = "change"
    ) -> pd.DataFrame:
        """The tokens whose logits change most after a prompt.

        Parameters
        ----------
        prompts
            As of `logits`.
        top_k : int, default=10
            How many tokens to list: that many that rise and that many that fall, or that many in all.
        by : {"change", "absolute"}, default="change"
            "change" lists the tokens that rise most, falling, then those that fall most; "absolute" lists the largest
            changes of either sign (a centroid promotes, loadings can also suppress).

        Returns
        -------
        pandas.DataFrame
            Columns token, token_id, before, after, change; for a list of prompts with a column prompt before them.

        Raises
        ------
        ValueError
            If `by` is unknown or `top_k` is not positive; else as `logits`.
        """
        check_choice("by", by, ("change", "absolute"))
        check_count("top_k", top_k)
        with running(self.model):
            encoded = self._encoded(prompts, self._prepend_bos)
            before = encoded.last(self._run(encoded)).float()
            with self._hooked(encoded):
                after = check_finite(encoded.last(self._run(encoded)).float())
        tokenizer = getattr(self.model, "tokenizer", None)
        tables = [logit_table(tokenizer, b, a, top_k, by) for b, a in zip(before, after, strict=True)]
        return tables[0] if encoded.single else stacked(tables)


def steer_with(
    model: Any,
    move: Callable[[Tensor], Tensor],
    layer: int,
    site: str = "residual",
    *,
    select: Any = "all",
    schedule: Sequence[float] | Callable[[int], float] | None = None,
) -> Steering:
    """Steer a model with any function of its activations: a difference of means, a probe's direction, your own.

    Parameters
    ----------
    model : TransformerBridge, PreTrainedModel, or another hookable model
    move : callable
        From the activations of the tokens chosen, a tensor (n, D), to as many rows: `lambda x: x + 4 * direction`.
    layer : int
    site : {"residual", "residual_pre", "mlp", "mlp_out", "attn_out"}, default="residual"
    select, schedule
        As of `MFASteerer.steer`.

    Returns
    -------
    Steering

    Raises
    ------
    TypeError
        If the model has no hooks, or `move` is no function. When the model runs, also if it gives no tensor.
    ValueError
        If the layer or site does not exist or `select` or `schedule` is none. When the model runs, also if `move` gives
        rows of another shape, or such that the model cannot compute with.

    See Also
    --------
    MFASteerer : Steers to the regions of a mixture.

    Examples
    --------
    The difference of the mean activations of two groups of texts, added to every token of a prompt:

    >>> from mfa_sklearn import ActivationExtractor, datasets
    >>> from mfa_sklearn.steering import steer_with
    >>> extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
    >>> rivers = extractor.fit_transform(["the water of the river rose", "a boat on the river"]).mean(0)
    >>> courts = extractor.transform(["the judge of the court spoke", "a lawyer in the court"]).mean(0)
    >>> direction = torch.as_tensor(rivers - courts)
    >>> steering = steer_with(extractor.load(), lambda x: x + 4 * direction, layer=1, select="prompt")
    >>> table = steering.logit_diff("I think that the", top_k=500).set_index("token")
    >>> bool(table.loc[" water", "change"] > 1)
    True
    """
    model = as_hookable(model)
    check_hookable(model, move)
    n_layers = getattr(getattr(model, "cfg", None), "n_layers", None)
    number, site = one_layer(layer, n_layers, "a function"), check_site(site)
    return steering_at(model, as_move(move), existing_hook(model, number, site), select, schedule, label=name_of(move))


def steering_at(
    model: Any,
    move: Any,
    hook_name: str,
    select: Any = "all",
    schedule: Any = None,
    *,
    prepend_bos: bool | None = None,
    label: str = "",
    alpha: float | None = None,
    told: Callable[[SteeredTokens], None] | None = None,
) -> Steering:
    """A steering with one move, an object as `RowMove` describes, at one hook point of a model, already checked."""
    part = Part(move, hook_name, as_selection(select), check_schedule(schedule), label or name_of(move), alpha, told)
    return Steering(model, [part], prepend_bos)


def wrapped(model: Any) -> Any:
    """The torch module inside a hookable model: two models that share it are the same one."""
    return getattr(model, "original_model", model)
