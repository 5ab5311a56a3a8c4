"""What a language model loses when activations are replaced by their reconstructions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._base.checks import check_count, check_flag, warn_user
from .._base.devices import plain_array
from .._base.origin import differences
from .._base.turns import running
from ..activations._checks import check_norm_ratio, check_texts
from ..activations._selection_facts import check_prompt_only
from ..activations._sites import check_site
from ..activations._tokenize import check_max_length
from ..steering._place import (
    Place,
    as_hookable,
    check_hookable,
    check_width,
    describe_live,
    existing_hook,
    one_layer,
    resolve_prepend_bos,
)
from ._candidates import as_candidate
from ._losses import ABLATIONS, ORIGINAL, ReconstructionLoss
from ._readings import Readings, check_predicts
from ._replacement import Reconstruct, Run

if TYPE_CHECKING:
    from ._candidate import Rows

_STEERED = (
    "the model is being steered in a `with` block around this call, so that 'original' is the steered model: leave the "
    "block for the model's own losses"
)


def reconstruction_loss(
    model: Any,
    candidates: Mapping[str, Any],
    texts: Iterable[str],
    layer: int | None = None,
    site: str | None = None,
    *,
    mean: Rows | None = None,
    select: Any = None,
    max_norm_ratio: float | None = None,
    max_length: int | None = None,
    prepend_bos: bool | None = None,
    batch_size: int = 32,
    check_source: bool = True,
    verbose: bool = False,
) -> ReconstructionLoss:
    """Cross-entropy and divergence of a language model whose activations at one site are reconstructions.

    Beside the candidates stand the model as it is ("original"), and two ablations: each row replaced by zeros ("zero"),
    and by the mean row ("mean"). With CE the mean cross-entropy of the tokens predicted, the share recovered is ::

        (CE_ablated - CE_reconstructed) / (CE_ablated - CE_original)

    1 if the model predicts as well as with its own activations, 0 if as badly as with the ablation, below 0 if worse.
    The divergence is ``KL(p_original || p_reconstructed)`` of the distributions over the vocabulary at the same tokens.

    Rows are what `ActivationExtractor` with the same parameters gives. All others stay as they are: the token at the
    beginning of a text attracts attention with a norm far from all others', and candidates have never seen it. Where
    `select` takes in special tokens, much of a loss may be about that one.

    Parameters
    ----------
    model : TransformerBridge, PlainModel or PreTrainedModel, with a tokenizer
        As `ActivationExtractor.load`, `load_model` or transformers give it. A causal model predicts each token from
        those before it. A masked one, such as BERT, predicts each from all others while it alone is masked, which takes
        a pass for each token (pseudo-likelihood). The mask's own row counts as special: what is replaced is its
        context, so that in the last layer nothing depends on the rows, and the shares are NaN.
    candidates : dict of str to candidate
        Fitted: an `MFA`, what has cluster centers, what has `transform` and `inverse_transform`, anything that
        `as_candidate` takes and that reconstructs rows; or a function from rows (n, D), a numpy array, to rows.
    texts : iterable of n str, or of n chats
        Held out of the fits.
    layer : int, optional
        By default the one that a candidate was fitted on, if it knows (`source_`).
    site : {"residual", "residual_pre", "mlp", "mlp_out", "attn_out"}, optional
        By default likewise, else "residual".
    mean : array-like of shape (D,) or (n, D), optional
        The mean row, or rows to take it of, such as those the candidates were fitted on. By default that of the rows of
        `texts`, read in a pass of its own. It is one row for all candidates, so that their shares can be compared.
    select : TokenSelection or a short form of one, optional
        Which tokens are rows, as of `ActivationExtractor`; by default all but special tokens. The mask counts as one.
    max_norm_ratio : float, optional
        Leave rows as they are whose norm is more than this times the median norm, as of `ActivationExtractor`.
    max_length : int, optional
        Longest sequence; by default the model's context. Longer texts are cut, with a warning.
    prepend_bos : bool, optional
        Whether texts begin with the beginning-of-text token; by default as where a candidate was fitted, else as the
        model does.
    batch_size : int, default=32
        Sequences per forward pass. Logits of one pass, and those of the untouched model, are held at once.
    check_source : bool, default=True
        Refuse candidates that were fitted on another model, layer, site or weight processing, or on pooled rows.
    verbose : bool, default=False
        Whether to show a progress bar.

    Returns
    -------
    ReconstructionLoss
        Sums per text, their `summary()`, and single numbers with weights of texts, as a bootstrap by text needs them:
        `measure(name, measure, sample_weight)`.

    Raises
    ------
    ValueError
        If the model predicts no tokens, as an encoder that was saved without a head for masked ones; the site does not
        exist; a candidate was fitted elsewhere, cannot reconstruct, or gives something else than finite rows of the
        same shape; no token is a row, or none is predicted; logits are not numbers; or a parameter is out of range.
    TypeError
        If the model has no hooks, or an argument is of the wrong kind.
    RuntimeError
        If another thread keeps the model in a block of `MFASteerer.steer` without running it.

    Warns
    -----
    UserWarning
        If texts are cut, or the call is made inside a block of `MFASteerer.steer`: "original" is then steered.

    Notes
    -----
    Tokens predicted are all of the text's own that have a token before them, in a masked model all of its own. The
    first one after a beginning-of-text token is among them, though no row precedes it.

    References
    ----------
    Salazar, Liang, Nguyen & Kirchhoff (2020), "Masked language model scoring", arXiv:1910.14659.

    Examples
    --------
    >>> from mfa_sklearn import MFA, ActivationExtractor, datasets
    >>> from mfa_sklearn.evaluation import reconstruction_loss
    >>> texts = datasets.load_concepts().texts
    >>> extractor = ActivationExtractor(datasets.tiny_lm(), layer=1)
    >>> mfa = MFA(8, 4, tol=1e-2, random_state=0).fit(extractor.fit_transform(texts[:600:6]))
    >>> loss = reconstruction_loss(extractor.load(), {"MFA": mfa}, texts[1:601:60])
    >>> loss.names, loss.hook_name
    (('original', 'zero', 'mean', 'MFA'), 'blocks.1.hook_resid_post')
    >>> bool(0 < loss.measure("MFA", "recovered_mean") < 1)
    True
    """
    model = as_hookable(model)
    check_hookable(model, candidates)
    check_predicts(model)
    _check_parameters(batch_size, max_norm_ratio, max_length, model)
    selection = check_prompt_only(select)
    reconstructors = _reconstructors(candidates)
    place, source = _resolve(model, candidates, layer, site, check_flag("check_source", check_source))
    mean_row = None if mean is None else _mean_row(model, place, mean)
    found = check_texts(texts, lambda: model.tokenizer)
    with running(model) as turn:
        if turn.in_block:
            warn_user(_STEERED)
        begins = resolve_prepend_bos(prepend_bos, source)
        readings = Readings.of(model, found, max_length, begins, selection)
        run = Run(model, place.hook_name, turn, readings, int(batch_size), max_norm_ratio)
        return run.losses(reconstructors, mean_row, bool(verbose))


def _check_parameters(batch_size: Any, ratio: Any, max_length: Any, model: Any) -> None:
    check_count("batch_size", batch_size)
    check_norm_ratio(ratio)
    if max_length is not None:
        check_max_length(model, check_count("max_length", max_length))


def _reconstructors(candidates: Any) -> dict[str, Reconstruct]:
    """What each candidate makes of rows.

    Raises
    ------
    TypeError, ValueError
        If they are no dict of candidates with names of their own.
    """
    if not isinstance(candidates, Mapping):
        kind = type(candidates).__name__
        raise TypeError(f"candidates must be a dict of name to candidate, got {kind}: give {{'{kind}': ...}}")
    if not candidates:
        raise ValueError("candidates is empty: give at least one")
    for name in candidates:
        if not isinstance(name, str) or name in (ORIGINAL, *ABLATIONS):
            raise ValueError(f"no candidate can be named {name!r}: give a string, and none of what stands beside them")
    return {name: _reconstructor(candidate) for name, candidate in candidates.items()}


def _reconstructor(candidate: Any) -> Reconstruct:
    is_estimator = any(hasattr(candidate, name) for name in ("predict", "transform", "reconstruct"))
    return candidate if callable(candidate) and not is_estimator else as_candidate(candidate).reconstruct


def _resolve(
    model: Any, candidates: Mapping[str, Any], layer: int | None, site: str | None, check_source: bool
) -> tuple[Place, Mapping[str, Any]]:
    """The hook point, and the source of the first candidate that knows where it was fitted.

    Raises
    ------
    ValueError
        If there is no such hook point, or a candidate was fitted elsewhere.
    """
    fitted = {name: getattr(candidate, "estimator", candidate) for name, candidate in candidates.items()}
    sources = {name: getattr(estimator, "source_", None) or {} for name, estimator in fitted.items()}
    first: Mapping[str, Any] = next((source for source in sources.values() if source), {})
    layer = first.get("layer") if layer is None else layer
    site = check_site(site or first.get("site") or "residual")
    number = one_layer(layer, getattr(getattr(model, "cfg", None), "n_layers", None), "no candidate")
    place = Place(number, site, existing_hook(model, number, site))
    here = describe_live(model) | {"layer": number, "site": site, "pooling": None}
    for name, source in sources.items():
        width = getattr(fitted[name], "n_features_in_", None)
        if width is not None:
            check_width(model, place.hook_name, site, width, f"candidate {name!r}")
        for fact, seen, at in differences(source, here) if check_source else ():
            raise ValueError(
                f"candidate {name!r} was fitted on {fact} {seen!r}, but is to reconstruct {at!r}. Fit it there, or "
                "pass check_source=False to measure it all the same"
            )
    return place, first


def _mean_row(model: Any, place: Place, mean: Any) -> np.ndarray:
    """The mean row (D,) of what was given for it."""
    rows = np.asarray(plain_array(mean))
    if rows.ndim not in (1, 2) or not rows.size or rows.dtype.kind not in "fiu":
        raise ValueError(f"mean must be a row (D,) or rows (n, D) of numbers, got {rows.dtype} of shape {rows.shape}")
    check_width(model, place.hook_name, place.site, rows.shape[-1], "mean")
    row = rows.astype(np.float64) if rows.ndim == 1 else rows.mean(axis=0, dtype=np.float64)
    if not np.isfinite(row).all():
        raise ValueError("mean holds NaN or infinity: leave such rows out")
    return row
