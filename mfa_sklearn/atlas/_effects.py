"""The tokens that steering to each region promotes and demotes, over prompts that suggest no topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._base.checks import gathered_warnings
from ..activations import token_strings
from ..activations._tokenize import is_encoder, vocabulary_size
from ..steering import MFASteerer
from ._schema import Change, SteeringEffect
from ._strings import Strings

if TYPE_CHECKING:
    from ..mixture import MFA

# Logits to hold at once, by the numbers in them.
_NUMBERS = 2**24
# Prompts of one pass at most, and the tokens that a prompt is taken to have before it is read.
_AT_ONCE, _PROMPT_TOKENS = 256, 16


class Effects(NamedTuple):
    """What steering to each of K components changes."""

    promoted: np.ndarray  # (K, m)  token ids
    demoted: np.ndarray  # (K, m)
    promoted_by: np.ndarray  # (K, m)  change of log probability, nats, averaged over the prompts
    demoted_by: np.ndarray  # (K, m)


class Effect:
    """Steers a model to each component of a mixture.

    Parameters
    ----------
    model : hookable model, or one of `transformers`
    mfa : fitted MFA
    prompts : sequence of str
    method, alpha
        As of `MFASteerer.steer`.
    n_tokens : int
        How many to list at either end.

    Raises
    ------
    ValueError
        If the mixture was fitted on another model's activations or the model is an encoder, which has no next token.
    """

    def __init__(
        self, model: Any, mfa: MFA, prompts: Sequence[str], method: str, alpha: float, n_tokens: int = 10
    ) -> None:
        with gathered_warnings():  # of encoders, which are refused here
            self._steerer = MFASteerer(model, mfa)
        if is_encoder(self._steerer.model):
            raise ValueError(
                "this model is an encoder, which has no next token to promote or demote: leave model= out, and the "
                "atlas is written without effects of steering"
            )
        self._prompts, self._method, self._alpha, self._n_tokens = list(prompts), method, alpha, n_tokens
        self._steerer.steer(0, alpha, method=method)  # so that what it refuses is refused before any work

    def measure(self) -> Effects:
        """Of all components."""
        baselines = [self._log_probabilities([prompt]) for prompt in self._prompts]
        before = torch.stack(baselines).exp().mean(0)
        n_components, vocabulary = self._steerer.n_components, baselines[0].shape[1]
        step = max(1, min(_AT_ONCE, _NUMBERS // (_PROMPT_TOKENS * vocabulary)))
        parts = []
        for start in range(0, n_components, step):
            components = list(range(start, min(start + step, n_components)))
            change, after = torch.zeros(2, len(components), vocabulary)
            for prompt, baseline in zip(self._prompts, baselines, strict=True):
                found = self._log_probabilities([prompt] * len(components), components)
                change += (found - baseline) / len(self._prompts)
                after += found.exp() / len(self._prompts)
            # Of tokens that are next to impossible both before and after, a change says nothing.
            change[torch.maximum(before, after) < 1 / vocabulary] = torch.nan
            parts.append(self._largest(change))
        return Effects(*(np.concatenate(field) for field in zip(*parts, strict=True)))

    def _log_probabilities(self, prompts: list[str], components: list[int] | None = None) -> Tensor:
        """Log probabilities (n, V) of the token behind each prompt, steered to a component each, or not at all."""
        where: Any = 0 if components is None else components
        alpha = 0.0 if components is None else self._alpha
        logits = self._steerer.logits(prompts, where, alpha, method=self._method)
        known = vocabulary_size(self._steerer.model) or logits.shape[1]
        return logits[:, :known].float().log_softmax(-1).cpu()

    def _largest(self, change: Tensor) -> tuple[np.ndarray, ...]:
        n_tokens = min(self._n_tokens, change.shape[1])
        up, down = ((sign * change).nan_to_num(nan=-torch.inf).topk(n_tokens) for sign in (1, -1))
        return up.indices.numpy(), down.indices.numpy(), up.values.numpy(), -down.values.numpy()

    def described(self, effects: Effects, component: int, strings: Strings) -> SteeringEffect:
        """What the atlas says of one component."""
        tokenizer = getattr(self._steerer.model, "tokenizer", None)
        found = []
        ends = ((1, effects.promoted, effects.promoted_by), (-1, effects.demoted, effects.demoted_by))
        for sign, tokens, values in ends:
            rises = np.isfinite(values[component]) & (np.sign(values[component]) == sign)
            numbers = strings.numbers(token_strings(tokenizer, tokens[component][rises]))
            changes = zip(numbers, values[component][rises].tolist(), strict=True)
            found.append([Change(token=token, change=round(by, 3)) for token, by in changes])
        return SteeringEffect(method=self._method, strength=self._alpha, promoted=found[0], demoted=found[1])
