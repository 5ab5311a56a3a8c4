"""Steering a hookable language model with a fitted mixture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._base.checks import check_choice, check_count, check_flag, import_optional
from .._base.devices import DrawsOf
from .._base.turns import ANOTHER_THREAD, running, turn_of
from ..activations import TokenSelection, token_strings
from ..activations._selection import as_selection
from ._generation import as_given, check_finite, check_mask, check_options, check_seed, check_writes, write
from ._move import Mixture, Move
from ._parameters import FittedParameters
from ._place import as_hookable, check_model, resolve_place, resolve_prepend_bos
from ._positions import PositionTracker, watch
from ._prompts import Encoded, encode
from ._tables import SteeredTokens

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel

    from ..activations import PlainModel
    from ..mixture import MFA


class MFASteerer:
    """Moves a language model's activations towards the regions of a mixture while it runs.

    With `mu_k`, `W_k` of a component, an activation x becomes ::

        x + alpha (mu_k - x)                centroid interpolation: alpha
        x + W_k z                           local offset: z
        x + alpha (mu_k - x) + W_k z        two-stage: alpha and z
        x + alpha (T(x) - x)                transport (method="transport"), T the optimal-transport map from
                                            the Gaussian of the source component to that of the target

    `component` names the target; without one, the centroid is the mean of all centroids weighted by their
    responsibility for x. For several prompts it may be a sequence, one component each.

    Parameters
    ----------
    model : TransformerBridge, PreTrainedModel, or another model with the verbs `hooks` and `generate`
        What `load_model` returns; a model of `transformers`, of which a `PlainModel` is made; or a `HookedTransformer`
        of TransformerLens 2 and 3, for instance.
    mfa : MFA, or an object with `weights_`, `means_`, `loadings_` and `noise_variance_`
    layer : int, optional
        Whose activations to steer; by default those that the mixture was fitted on (`mfa.source_`).
    site : {"residual", "residual_pre", "mlp", "mlp_out", "attn_out"}, optional
        Where in the layer; by default as the mixture was fitted, else "residual".
    check_source : bool, default=True
        Refuse a mixture that was fitted on another model, layer, site or weight processing, on texts pooled to a row
        each, or on rows of which nothing is known, such as what another transformer made of activations. False steers
        wherever the width fits.
    prepend_bos : bool, optional
        Whether prompts begin with the beginning-of-text token; by default as where the mixture was fitted, else as the
        model does.

    Attributes
    ----------
    hook_name : str
        The hook point that is steered.
    layer : int
    site : str
    n_components : int
        Of the mixture.
    steered_ : SteeredTokens
        Which tokens the last `steer`, `logits`, `generate` or `logit_diff` moved.

    Raises
    ------
    ValueError
        If the mixture was fitted elsewhere, the layer or site does not exist, or the width is another.
    TypeError
        If the model has no hooks, or the mixture is not fitted.

    See Also
    --------
    mfa_sklearn.steering.evaluate_steering : How far steering shifts what a model writes about.

    References
    ----------
    "From Directions to Regions", arXiv:2602.02464.

    Examples
    --------
    A random model and mixture; with a real one, take `TransformerBridge.boot_transformers("gpt2")` and a fitted `MFA`.

    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from transformer_lens import TransformerBridgeConfig
    >>> from transformer_lens.model_bridge import TransformerBridge
    >>> config = TransformerBridgeConfig(d_model=8, d_head=4, n_layers=2, n_ctx=16, d_vocab=20, n_heads=2,
    ...                                  act_fn="gelu", seed=0)
    >>> model = TransformerBridge.boot_native(config)
    >>> rng = np.random.default_rng(0)
    >>> mfa = SimpleNamespace(weights_=np.full(3, 1 / 3), means_=rng.normal(size=(3, 8)),
    ...                       loadings_=rng.normal(size=(3, 8, 2)), noise_variance_=np.ones(8))
    >>> steerer = MFASteerer(model, mfa, layer=1)
    >>> prompt = np.array([3, 1, 4])
    >>> with steerer.steer(component=2, alpha=0.6, z={0: 1.5}) as steered:
    ...     tokens = model.generate(torch.tensor([3, 1, 4])[None], max_new_tokens=2, stop_at_eos=False, verbose=False)
    >>> steered.mask
    array([[ True,  True,  True,  True]])
    >>> steerer.logit_diff(prompt, component=2, alpha=0.6, top_k=2).columns.tolist()
    ['token', 'token_id', 'before', 'after', 'change']
    """

    def __init__(
        self,
        model: TransformerBridge | PlainModel | PreTrainedModel,
        mfa: MFA | FittedParameters,
        layer: int | None = None,
        site: str | None = None,
        *,
        check_source: bool = True,
        prepend_bos: bool | None = None,
    ) -> None:
        self.model: Any = as_hookable(model)
        check_model(self.model, mfa)
        self._mixture = Mixture(mfa)
        source = getattr(mfa, "source_", None)
        place = resolve_place(
            self.model, mfa, layer, site, self._mixture.n_features, check_flag("check_source", check_source)
        )
        self.layer, self.site, self.hook_name = place
        self.prepend_bos = resolve_prepend_bos(prepend_bos, source)
        self.n_components = self._mixture.n_components
        self.steered_: SteeredTokens | None = None

    def __repr__(self) -> str:
        source = getattr(self.model, "mfa_source", None) or {}
        name = source.get("model") or getattr(getattr(self.model, "cfg", None), "model_name", type(self.model).__name__)
        return f"MFASteerer({name!r}, layer={self.layer}, site={self.site!r}, n_components={self.n_components})"

    def steer(
        self,
        component: int | Sequence[int] | None = None,
        alpha: float | None = None,
        z: Mapping[int, float] | ArrayLike | None = None,
        *,
        select: Any = "all",
        method: str = "centroid",
        source: int | None = None,
    ) -> AbstractContextManager[SteeredTokens]:
        """Steer whatever the model runs inside a `with` block: forward passes, `generate`, with and without a cache.

        Parameters
        ----------
        component : int, sequence of int, or None
            The target; one for all prompts, or one per prompt of the batch. None takes the centroid weighted by the
            components' responsibilities for each activation.
        alpha : float, optional
            How far to go: 0 changes nothing, to the bit; 1 goes all the way. The paper's examples use 0.6. Outside
            [0, 1] the move goes away from the centroid or past it, with a warning.
        z : dict of int to float, or vector of length q, optional
            Factor scores of the local offset `W_k z`, in standard deviations of the component.
        select : TokenSelection or a short form of one, default="all"
            Tokens whose activations are moved: "all", "prompt", "generated", "last" (of the prompt), places, a set of
            token strings, a function of one, or a `TokenSelection`. The beginning-of-text token is left alone unless
            that names it or has ``special=True``: it attracts attention with a norm far from all others', the extractor
            leaves it out of what the mixture is fitted on, and moving it can derail a model; the paper's reference
            implementation moves it.
        method : {"centroid", "transport"}, default="centroid"
        source : int, optional
            The component that transport starts from, whatever the activation; by default each activation's most
            responsible one.

        Yields
        ------
        SteeredTokens
            Which tokens were moved. Also at `steered_`.

        Raises
        ------
        ValueError, TypeError
            On anything out of range, when called; also for a move beyond the numbers that the model computes with.
        RuntimeError
            If another thread keeps the model in a block of its own, when the block is entered.

        Notes
        -----
        A forward pass inside the block counts as generation if it brings the cache of the pass before, or its tokens
        and one more; else its tokens are a new prompt. Hooks come off however the block is left.

        Blocks nest, also those of two steerers: where both steer one place, the inner moves what the outer has moved.

        Hooks are the model's, so inside the block it belongs to the thread that entered. Others that steer it or
        extract from it wait until the block is left, or get a RuntimeError once nothing has run in it for ten seconds;
        a pass that another thread makes past this library is refused. Under `torch.autocast` the model computes as it
        is told to, the move in the activations' precision.
        """
        move = self._move(component, alpha, z, method, source)
        return self._hooked(move, as_selection(select), as_block=True)

    def _move(self, component: Any, alpha: Any, z: Any, method: str, source: Any) -> Move:
        parameters = getattr(self.model, "parameters", None)
        first = next(iter(parameters()), None) if callable(parameters) else None
        return Move(self._mixture, component, alpha, z, method, source, getattr(first, "dtype", torch.float32))

    @contextmanager
    def _hooked(
        self, move: Move, selection: TokenSelection, as_block: bool = False, encoded: Encoded | None = None
    ) -> Iterator[SteeredTokens]:
        known = encoded.sequences if encoded else None
        tracker = PositionTracker(selection, getattr(self.model, "tokenizer", None), known or ())
        with turn_of(self.model).taken(as_block) as turn:

            def hook(activation: Tensor, hook: Any) -> Tensor | None:
                if not turn.is_mine:
                    raise RuntimeError(ANOTHER_THREAD)
                turn.used()
                move.check_rows(len(activation))
                chosen = tracker.select(*activation.shape[:2]).to(activation.device)
                if move.is_nothing or not chosen.any():
                    return None
                steered = activation.clone()
                steered[chosen] = move(activation[chosen], chosen.nonzero()[:, 0])
                return steered

            self.steered_ = SteeredTokens(self.model, tracker)
            with watch(self.model, tracker), self.model.hooks(fwd_hooks=[(self.hook_name, hook)]):
                yield self.steered_
            tracker.check_chosen()

    @torch.no_grad()
    def logits(
        self,
        prompts: str | Sequence[str] | ArrayLike | Tensor,
        component: int | Sequence[int] | None = None,
        alpha: float | None = None,
        z: Mapping[int, float] | ArrayLike | None = None,
        *,
        select: Any = "all",
        method: str = "centroid",
        source: int | None = None,
        every_position: bool = False,
    ) -> Tensor:
        """Steered logits of the token that follows each prompt.

        Parameters
        ----------
        prompts : str, strings in a list, tuple, array or column, chats, or token ids of shape (T,) or (n, T)
            A chat is a list of messages, dicts with "role" and "content", read through the tokenizer's chat template:
            the model goes on where its answer begins, or behind a last message of the assistant's own. Prompts of
            different lengths, also lists of ids, are padded on the right and masked. Strings are read as
            `ActivationExtractor` reads texts: one that begins with the beginning-of-text token gets no second.
        component, alpha, z, select, method, source
            As of `steer`.
        every_position : bool, default=False
            Return the logits at all positions instead.

        Returns
        -------
        Tensor (n, V), or (n, T, V)
            A single prompt has n = 1.

        Raises
        ------
        ValueError
            If a prompt is empty or longer than the model's context, a position lies outside a prompt, or the
            activations are moved so far that the logits are not numbers.
        """
        move, selection = self._move(component, alpha, z, method, source), as_selection(select)
        with running(self.model):
            encoded = self._encoded(prompts, move, selection)
            with self._hooked(move, selection, encoded=encoded):
                logits = self._run(encoded)
        check_finite(encoded.last(logits))
        return logits if every_position else encoded.last(logits)

    def _encoded(self, prompts: Any, move: Move, selection: TokenSelection) -> Encoded:
        """Prompts read, and checked against the move and the selection."""
        encoded = encode(self.model, prompts, self.prepend_bos)
        self._check_prompts(encoded, selection)
        move.check_rows(len(encoded.lengths))
        return encoded

    def _check_prompts(self, encoded: Encoded, selection: TokenSelection, n_new: int = 0) -> None:
        encoded.check_places(selection.places, n_new)
        tokenizer = getattr(self.model, "tokenizer", None)
        PositionTracker(selection, tokenizer, encoded.sequences or ()).check_prompts(encoded, n_new)

    def _run(self, encoded: Encoded) -> Tensor:
        # A mask of ones takes another attention kernel in some models; without it the bits are those of a plain call.
        masked = {} if encoded.mask is None else {"attention_mask": encoded.mask}
        return self.model(encoded.ids, **masked)

    @torch.no_grad()
    def generate(
        self,
        prompts: str | Sequence[str] | ArrayLike | Tensor,
        component: int | Sequence[int] | None = None,
        alpha: float | None = None,
        z: Mapping[int, float] | ArrayLike | None = None,
        *,
        select: Any = "all",
        method: str = "centroid",
        source: int | None = None,
        max_new_tokens: int = 20,
        random_state: int | None = None,
        **options: Any,
    ) -> str | list[str] | Tensor | list[Tensor]:
        """Steered continuations of prompts.

        Parameters
        ----------
        prompts, component, alpha, z, select, method, source
            As of `logits`.
        max_new_tokens : int, default=20
        random_state : int, optional
            Seed of the sampling, which then has a generator of its own; by default torch's global one is drawn from.
        **options
            Handed to the model's `generate`: `do_sample`, `temperature`, `top_k`, `use_past_kv_cache`, ... And
            `return_type` ("input", "str", "tokens"), `prepend_bos`, and for token ids `attention_mask`.

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
        check_writes(self.model)
        check_options(self.model, options)
        n_new, seed = check_count("max_new_tokens", max_new_tokens), check_seed(random_state)
        move, selection = self._move(component, alpha, z, method, source), as_selection(select)
        return_type = options.pop("return_type", "input")
        options.setdefault("prepend_bos", self.prepend_bos)
        with running(self.model):
            encoded = encode(self.model, prompts, options["prepend_bos"], n_new)
            check_mask(encoded, options.get("attention_mask"))
            self._check_prompts(encoded, selection, n_new)
            move.check_rows(len(encoded.lengths))
            draws = nullcontext() if seed is None else DrawsOf(seed, encoded.ids.device)
            with self._hooked(move, selection, encoded=encoded), draws:
                written = write(self.model, encoded, n_new, options)
        return as_given(encoded, written, return_type, getattr(self.model, "tokenizer", None))

    @torch.no_grad()
    def logit_diff(
        self,
        prompts: str | Sequence[str] | ArrayLike | Tensor,
        component: int | Sequence[int] | None = None,
        alpha: float | None = None,
        z: Mapping[int, float] | ArrayLike | None = None,
        *,
        select: Any = "all",
        method: str = "centroid",
        source: int | None = None,
        top_k: int = 10,
        by: str = "change",
    ) -> pd.DataFrame:
        """The tokens whose logits change most after a prompt.

        Parameters
        ----------
        prompts
            As of `logits`.
        component, alpha, z, select, method, source
            As of `steer`.
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
        move, selection = self._move(component, alpha, z, method, source), as_selection(select)
        with running(self.model):
            encoded = self._encoded(prompts, move, selection)
            before = encoded.last(self._run(encoded)).float()
            with self._hooked(move, selection, encoded=encoded):
                after = check_finite(encoded.last(self._run(encoded)).float())
        tables = [self._table(b, a, top_k, by) for b, a in zip(before, after, strict=True)]
        return tables[0] if encoded.single else _stack(tables)

    def _table(self, before: Tensor, after: Tensor, top_k: int, by: str) -> pd.DataFrame:
        change = after - before
        top_k = min(top_k, len(change))
        if by == "absolute":
            ids = change.abs().topk(top_k).indices
        else:
            n_falling = min(top_k, len(change) - top_k)  # no token twice, where they are nearly all
            ids = torch.cat([change.topk(top_k).indices, change.topk(n_falling, largest=False).indices.flip(0)])
        columns = {"before": before[ids], "after": after[ids], "change": change[ids]}
        tokens = token_strings(getattr(self.model, "tokenizer", None), ids.cpu())
        table = {"token": tokens, "token_id": ids.cpu().numpy()}
        numbers = {name: column.cpu().numpy() for name, column in columns.items()}
        return import_optional("pandas", "logit_diff").DataFrame({**table, **numbers})


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    stacked = import_optional("pandas", "logit_diff").concat(tables, keys=range(len(tables)), names=["prompt", None])
    return stacked.reset_index(level="prompt").reset_index(drop=True)
