"""Texts side by side: what a model writes as it is, and under several steerings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from .._base.checks import import_optional
from .._base.words import plural, visible
from ._generation import check_seed
from ._html import table_html
from ._prompts import Encoded
from ._steering import Steering, wrapped

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

UNSTEERED = "not steered"


class _Text(NamedTuple):
    """A prompt and what the model wrote behind it."""

    prompt: str
    new: str


class Comparison:
    """What a model writes behind each prompt, not steered and under several steerings: made by `compare`.

    Attributes
    ----------
    steerings : list of str
        What the columns are called; the first is "not steered".
    prompts : list of str

    Notes
    -----
    A notebook shows a table with a row per prompt; `print` shows a block of lines per prompt.
    """

    def __init__(self, columns: Mapping[str, tuple[float | None, Sequence[_Text]]]) -> None:
        self._columns = dict(columns)
        self.steerings = list(self._columns)
        self.prompts = [text.prompt for text in self._columns[UNSTEERED][1]]

    def to_frame(self) -> pd.DataFrame:
        """A table with a line per prompt and steering.

        Returns
        -------
        pandas.DataFrame
            Columns prompt, steering, alpha (NaN where it has none), text, new_text (without the prompt).
        """
        lines = [
            {
                "prompt": text.prompt,
                "steering": name,
                "alpha": alpha,
                "text": text.prompt + text.new,
                "new_text": text.new,
            }
            for number in range(len(self.prompts))
            for name, (alpha, texts) in self._columns.items()
            for text in texts[number : number + 1]
        ]
        table = import_optional("pandas", "Comparison.to_frame").DataFrame(lines)
        return table.astype({"alpha": float})

    def to_html(self) -> str:
        """The texts as a table: a row per prompt, a column per steering.

        Returns
        -------
        str
            A snippet without scripts, whose strings are escaped; control characters show as escapes.
        """
        rows = []
        for number, prompt in enumerate(self.prompts):
            rows.append((prompt, [texts[number].new for _, texts in self._columns.values()]))
        return table_html(["prompt", *self.steerings], rows)

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        width = max(map(len, self.steerings))
        blocks = []
        for number, prompt in enumerate(self.prompts):
            lines = [f"  {visible(name):{width}}  {visible(t[number].new)}" for name, (_, t) in self._columns.items()]
            blocks.append("\n".join([visible(prompt), *lines]))
        return "\n\n".join(blocks)

    def __repr__(self) -> str:
        return f"Comparison({plural(len(self.prompts), 'prompt')}, {plural(len(self.steerings) - 1, 'steering')})"


def compare(
    prompts: str | Sequence[str] | ArrayLike | Tensor,
    steerings: Mapping[str, Steering] | Sequence[Steering] | Steering,
    max_new_tokens: int = 20,
    random_state: int | None = 0,
    **options: Any,
) -> Comparison:
    """Let a model write behind prompts as it is and under several steerings, with the same random numbers for each.

    Parameters
    ----------
    prompts
        As of `Steering.generate`.
    steerings : dict of str to Steering, sequence of Steering, or one
        Of one model. The keys are what columns are called; without them a steering's own words are.
    max_new_tokens : int, default=20
    random_state : int, optional
        Seed of the sampling, 0 by default. None draws one.
    **options
        Handed to the model's `generate`; see `Steering.generate`.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError
        If what is given are no steerings.
    ValueError
        If there is none, they are of different models, or the model has no tokenizer; else as `Steering.generate`.

    Examples
    --------
    >>> from mfa_sklearn import datasets
    >>> from mfa_sklearn.activations import load_model
    >>> from mfa_sklearn.steering import compare, steer_with
    >>> model = load_model(datasets.tiny_lm(), "cpu")
    >>> steerings = [steer_with(model, lambda x, s=s: s * x, layer=1, select="last") for s in (1.0, -1.0)]
    >>> found = compare(["I think that", "As usual"], dict(zip(["as it is", "mirrored"], steerings)), max_new_tokens=5)
    >>> found
    Comparison(2 prompts, 2 steerings)
    >>> table = found.to_frame()
    >>> table.columns.tolist()
    ['prompt', 'steering', 'alpha', 'text', 'new_text']
    >>> table["steering"].tolist()
    ['not steered', 'as it is', 'mirrored', 'not steered', 'as it is', 'mirrored']
    >>> bool(table["text"][0] == table["text"][1])
    True
    """
    named = _named(steerings)
    first = next(iter(named.values()))
    if getattr(first.model, "tokenizer", None) is None:
        raise ValueError("the model has no tokenizer, and texts are what is compared: use Steering.generate with ids")
    refused = {"return_type", "num_return_sequences"} & set(options)
    if refused:
        raise TypeError(f"compare takes no {min(refused)!r}: it shows one text for each prompt and steering")
    seed = check_seed(random_state)
    if seed is None:
        seed = int(torch.randint(2**31, ()))
    for steering in named.values():  # before the first of them writes
        steering._checked(prompts, max_new_tokens, seed, options)
    columns = {}
    for name, steering in {UNSTEERED: Steering(first.model, (), first._prepend_bos), **named}.items():
        texts = _texts(*steering._written(prompts, max_new_tokens, seed, options), first.model.tokenizer)
        columns[name] = steering._alpha, texts
    return Comparison(columns)


def check_strengths(alphas: Any) -> list[Any]:
    """The strengths to compare, each once.

    Raises
    ------
    TypeError
        If they are no list.
    """
    if isinstance(alphas, str) or not isinstance(alphas, Iterable):
        raise TypeError(f"alphas={alphas!r} must be a list of strengths: pass [{alphas!r}]")
    return list(dict.fromkeys(alphas))


def _named(steerings: Any) -> dict[str, Steering]:
    """Steerings by what they are called."""
    if isinstance(steerings, Steering):
        steerings = [steerings]
    if isinstance(steerings, str) or not isinstance(steerings, Iterable):
        raise TypeError(f"steerings={steerings!r} must be a dict of name to steering, or a list of steerings")
    given = dict(steerings) if isinstance(steerings, Mapping) else _numbered(list(steerings))
    if not given:
        raise ValueError("no steering was given: give at least one, such as steerer.steer(component=2, alpha=0.6)")
    for name, steering in given.items():
        if not isinstance(steering, Steering):
            raise TypeError(f"steerings[{name!r}] must be a Steering, such as steerer.steer(...), got {steering!r}")
    if UNSTEERED in given:
        raise ValueError(f"a steering is called {UNSTEERED!r}, as the first column is: give it another name")
    if len({id(wrapped(steering.model)) for steering in given.values()}) > 1:
        raise ValueError("the steerings are of different models: compare those of one")
    return {str(name): steering for name, steering in given.items()}


def _numbered(steerings: list[Any]) -> dict[Any, Any]:
    """Each by its own words, with a number where they are those of another."""
    labels = [s._label if isinstance(s, Steering) else number for number, s in enumerate(steerings)]
    return {
        label if labels.count(label) == 1 else f"{number}: {label}": steering
        for number, (label, steering) in enumerate(zip(labels, steerings, strict=True))
    }


def _texts(encoded: Encoded, written: Tensor, tokenizer: Any) -> list[_Text]:
    """What was written behind each prompt, as the prompt's text with it goes on."""
    width, found = encoded.ids.shape[1], []
    for number, (row, length) in enumerate(zip(written, encoded.lengths, strict=True)):
        text = tokenizer.decode(row[width - length :], skip_special_tokens=True)
        begin = tokenizer.decode(row[width - length : width], skip_special_tokens=True)
        new = text[len(begin) :] if text.startswith(begin) else tokenizer.decode(row[width:], skip_special_tokens=True)
        found.append(_Text(begin if encoded.texts is None else encoded.texts[number], new))
    return found
