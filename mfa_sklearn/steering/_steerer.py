"""Steering a hookable language model with a fitted mixture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from .._base.checks import check_flag
from ._compare import Comparison, check_strengths, compare
from ._custom_move import in_words
from ._move import Mixture, Move
from ._parameters import FittedParameters
from ._place import as_hookable, check_model, computing_dtype, resolve_place, resolve_prepend_bos
from ._regions import Gate
from ._steering import Steering, steering_at
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

        x + alpha (mu_k - x) + W_k z        "centroid": towards a centroid with alpha, to a place inside with z
        x + alpha d                         "direction": d from the mean of the mixture to a set of regions
        x + alpha (T(x) - x)                "transport": T the optimal-transport map from the Gaussian of the
                                            source component to that of the target

    `component` names the target: one, for "direction" also a weighted set, or for several prompts one each; without
    one, the centroid is the mean of all centroids weighted by their responsibility for x. To begin with, take
    "direction" to the regions of a concept (`concept_regions`) and a `Gate` that leaves alone what is there already.

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
        Which tokens the last block or verb moved, of all steerings that this steerer made.

    Raises
    ------
    ValueError
        If the mixture was fitted elsewhere, the layer or site does not exist, or the width is another.
    TypeError
        If the model has no hooks, or the mixture is not fitted.

    See Also
    --------
    mfa_sklearn.steering.Steering : What `steer` gives.
    mfa_sklearn.steering.steer_with : Steers with any function of activations.
    mfa_sklearn.steering.evaluate_steering : How far steering shifts what a model writes about.

    References
    ----------
    "From Directions to Regions", arXiv:2602.02464.

    Examples
    --------
    A random model and mixture; with a real one, take `TransformerBridge.boot_transformers("gpt2")` and a fitted `MFA`.

    >>> import numpy as np
    >>> import torch
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
    ...     tokens = model.generate(torch.tensor([[3, 1, 4]]), max_new_tokens=2, stop_at_eos=False, verbose=False)
    >>> steered.mask
    array([[ True,  True,  True,  True]])

    A steering can be kept, used again, and followed by another:

    >>> steering = steerer.steer(component=2, alpha=0.6, schedule=[1, 0.5, 0])
    >>> steering.generate(prompt, max_new_tokens=2, stop_at_eos=False).shape
    torch.Size([5])
    >>> steering.then(steerer.steer(component=1, z={1: -1.0}, select="last"))
    Steering(component 2, alpha 0.6, then component 1, z {1: -1.0})

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
        component: int | Sequence[int] | Mapping[int, float] | None = None,
        alpha: float | None = None,
        z: Mapping[int, float] | ArrayLike | None = None,
        *,
        select: Any = "all",
        method: str = "centroid",
        source: int | None = None,
        gate: Gate | None = None,
        keep_norm: bool = False,
        schedule: Sequence[float] | Callable[[int], float] | None = None,
    ) -> Steering:
        """What is to be moved where and when: a context manager, with verbs that read prompts themselves.

        Inside `with steerer.steer(...) as steered:` whatever the model runs is steered; the verbs, as in
        `steerer.steer(...).generate(prompts)`, are what this steerer's own do. A steering may be used again and again.

        Parameters
        ----------
        component : int, sequence of int, dict of int to float, or None
            The target; one for all prompts, one per prompt of the batch, or, for "direction", a weighted set. None
            takes the centroid weighted by the components' responsibilities for each activation.
        alpha : float, optional
            How far to go: 0 changes nothing, to the bit; 1 goes all the way. The paper's examples use 0.6 of the way to
            a centroid; outside [0, 1] that move goes away from it or past it, with a warning.
        z : dict of int to float, or vector of length q, optional
            Factor scores of the local offset `W_k z`, in standard deviations of the component; for a set an array
            (K, q) of scores for each region.
        select : TokenSelection or a short form of one, default="all"
            Tokens whose activations are moved: "all", "prompt", "generated", "last" (of the prompt), places, a set of
            token strings, a function of one, or a `TokenSelection`. The beginning-of-text token is left alone unless
            that names it or has ``special=True``: it attracts attention with a norm far from all others', the extractor
            leaves it out of what the mixture is fitted on, and moving it can derail a model; the paper's reference
            implementation moves it.
        method : {"centroid", "direction", "transport"}, default="centroid"
            See `two_stage`, `region_direction` and `transport`.
        source : int, optional
            The component that transport starts from, whatever the activation; by default each activation's most
            responsible one.
        gate : Gate, optional
            Moves only activations whose responsibilities fulfill its condition.
        keep_norm : bool, default=False
            Whether an activation that is moved gets the norm that it had.
        schedule : sequence of float, or callable, optional
            Factors f of the move for the first, second, ... generated token, of which the last one goes on; or a
            function from the step (0 for all of the prompt's tokens, then 1, 2, ...) to the factor. An activation x
            becomes `x + f (move(x) - x)`. A sequence leaves the prompt's tokens at 1.

        Returns
        -------
        Steering
            As a context manager it gives a `SteeredTokens`: which tokens were moved, and how far. Also at `steered_`.

        Raises
        ------
        ValueError, TypeError
            On anything out of range, when called; also for a move beyond the numbers that the model computes with.
        RuntimeError
            If another thread keeps the model in a block of its own, when the block is entered.
        """
        dtype = computing_dtype(self.model)
        move = Move(self._mixture, component, alpha, z, method, source, dtype, gate=gate, keep_norm=keep_norm)
        return self._steering(move, select, schedule, in_words(component, alpha, z, method), alpha)

    def _steering(
        self, move: Any, select: Any = "all", schedule: Any = None, label: str = "", alpha: float | None = None
    ) -> Steering:
        """A steering at this place with any move: an object as `RowMove` describes."""
        return steering_at(
            self.model,
            move,
            self.hook_name,
            select,
            schedule,
            prepend_bos=self.prepend_bos,
            label=label,
            alpha=alpha,
            told=self._keep,
        )

    def _keep(self, report: SteeredTokens) -> None:
        self.steered_ = report

    def logits(
        self,
        prompts: str | Sequence[str] | ArrayLike | Tensor,
        component: int | Sequence[int] | Mapping[int, float] | None = None,
        alpha: float | None = None,
        z: Mapping[int, float] | ArrayLike | None = None,
        *,
        select: Any = "all",
        method: str = "centroid",
        source: int | None = None,
        gate: Gate | None = None,
        keep_norm: bool = False,
        schedule: Sequence[float] | Callable[[int], float] | None = None,
        every_position: bool = False,
    ) -> Tensor:
        """Steered logits of the token that follows each prompt.

        Parameters
        ----------
        prompts, every_position
            As of `Steering.logits`.
        component, alpha, z, select, method, source, gate, keep_norm, schedule
            As of `steer`.

        Returns
        -------
        Tensor (n, V), or (n, T, V)
            A single prompt has n = 1.

        Raises
        ------
        ValueError, TypeError
            As `steer` and `Steering.logits`.
        """
        move: dict[str, Any] = {"select": select, "method": method, "source": source}
        move |= {"gate": gate, "keep_norm": keep_norm, "schedule": schedule}
        return self.steer(component, alpha, z, **move).logits(prompts, every_position=every_position)

    def generate(
        self,
        prompts: str | Sequence[str] | ArrayLike | Tensor,
        component: int | Sequence[int] | Mapping[int, float] | None = None,
        alpha: float | None = None,
        z: Mapping[int, float] | ArrayLike | None = None,
        *,
        select: Any = "all",
        method: str = "centroid",
        source: int | None = None,
        gate: Gate | None = None,
        keep_norm: bool = False,
        schedule: Sequence[float] | Callable[[int], float] | None = None,
        max_new_tokens: int = 20,
        random_state: int | None = None,
        **options: Any,
    ) -> str | list[str] | Tensor | list[Tensor]:
        """Steered continuations of prompts.

        Parameters
        ----------
        prompts, max_new_tokens, random_state, **options
            As of `Steering.generate`.
        component, alpha, z, select, method, source, gate, keep_norm, schedule
            As of `steer`.

        Returns
        -------
        str, list of str, Tensor, or list of Tensor
            The prompts with their continuations, in the form they were given; ids of different length as a list.

        Raises
        ------
        ValueError, TypeError
            As `steer` and `Steering.generate`.
        """
        move: dict[str, Any] = {"select": select, "method": method, "source": source}
        move |= {"gate": gate, "keep_norm": keep_norm, "schedule": schedule}
        return self.steer(component, alpha, z, **move).generate(prompts, max_new_tokens, random_state, **options)

    def logit_diff(
        self,
        prompts: str | Sequence[str] | ArrayLike | Tensor,
        component: int | Sequence[int] | Mapping[int, float] | None = None,
        alpha: float | None = None,
        z: Mapping[int, float] | ArrayLike | None = None,
        *,
        select: Any = "all",
        method: str = "centroid",
        source: int | None = None,
        gate: Gate | None = None,
        keep_norm: bool = False,
        schedule: Sequence[float] | Callable[[int], float] | None = None,
        top_k: int = 10,
        by: str = "change",
    ) -> pd.DataFrame:
        """The tokens whose logits change most after a prompt.

        Parameters
        ----------
        prompts, top_k, by
            As of `Steering.logit_diff`.
        component, alpha, z, select, method, source, gate, keep_norm, schedule
            As of `steer`.

        Returns
        -------
        pandas.DataFrame
            Columns token, token_id, before, after, change; for a list of prompts with a column prompt before them.

        Raises
        ------
        ValueError, TypeError
            As `steer` and `Steering.logit_diff`.
        """
        move: dict[str, Any] = {"select": select, "method": method, "source": source}
        move |= {"gate": gate, "keep_norm": keep_norm, "schedule": schedule}
        return self.steer(component, alpha, z, **move).logit_diff(prompts, top_k=top_k, by=by)

    def compare(
        self,
        prompts: str | Sequence[str] | ArrayLike | Tensor,
        component: int | Sequence[int] | Mapping[int, float] | None = None,
        alphas: Sequence[float] = (0.3, 0.6, 1.0),
        z: Mapping[int, float] | ArrayLike | None = None,
        *,
        select: Any = "all",
        method: str = "centroid",
        source: int | None = None,
        gate: Gate | None = None,
        keep_norm: bool = False,
        schedule: Sequence[float] | Callable[[int], float] | None = None,
        max_new_tokens: int = 20,
        random_state: int | None = 0,
        **options: Any,
    ) -> Comparison:
        """Continuations of prompts side by side: not steered, and steered at several strengths.

        Parameters
        ----------
        prompts, max_new_tokens, random_state, **options
            As of `mfa_sklearn.steering.compare`.
        component, z, select, method, source, gate, keep_norm, schedule
            As of `steer`.
        alphas : sequence of float, default=(0.3, 0.6, 1.0)
            The strengths, a column each.

        Returns
        -------
        Comparison

        Raises
        ------
        ValueError, TypeError
            As `steer` and `mfa_sklearn.steering.compare`.
        """
        move: dict[str, Any] = {"select": select, "method": method, "source": source}
        move |= {"gate": gate, "keep_norm": keep_norm, "schedule": schedule}
        strengths = check_strengths(alphas)
        steerings = {f"alpha {alpha:g}": self.steer(component, alpha, z, **move) for alpha in strengths}
        return compare(prompts, steerings, max_new_tokens, random_state, **options)
