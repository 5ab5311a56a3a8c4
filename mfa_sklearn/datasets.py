"""Texts with concepts, a tiny language model to read them, and numbers drawn from a known mixture.

The concept sentences and the language model are embedded, so everything works without a network. Nothing here
imports a language-model package.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_random_state

from ._base.checks import check_choice, check_count
from ._base.home import home_path
from ._base.portable import embedded
from ._texts.columns import Columns
from ._texts.reader import collect
from ._texts.text_stream import TextStream

__all__ = ["load_concepts", "make_mfa", "read_texts", "stream_texts", "tiny_lm"]

CONCEPTS_DESCR = """\
Forty concepts, one hundred English sentences each, written by a seeded grammar (data/build in the
repository). Every sentence frame serves all concepts and many words belong to several (bank, bill, cell,
charge, court), so topics, not templates, tell the sentences apart. `words` holds the surface forms of each
concept's content words.
"""


def load_concepts(*, return_X_y: bool = False) -> Bunch | tuple[list[str], np.ndarray]:
    """The embedded concept sentences: 40 concepts, 100 sentences each.

    Parameters
    ----------
    return_X_y : bool, default=False
        Return `(texts, labels)` instead of a Bunch.

    Returns
    -------
    data : Bunch
        texts : list of str, length 4000
            The sentences, in random order.
        labels : ndarray of str of shape (4000,)
            The concept of each sentence.
        target : ndarray of int of shape (4000,)
            The same as a number, an index into `target_names`.
        target_names : list of str, length 40
            The concepts, sorted.
        words : dict of str to list of str
            The surface forms of each concept's content words (nouns, verbs and adjectives, inflected). A word
            may belong to several concepts.
        DESCR : str
            What the data are.
        filename : str
            Where the sentences were read from.

    Examples
    --------
    >>> from mfa_sklearn.datasets import load_concepts
    >>> concepts = load_concepts()
    >>> len(concepts.texts), len(concepts.target_names)
    (4000, 40)
    >>> [name for name in concepts.target_names if "bank" in concepts.words[name]]
    ['banking', 'river']
    >>> texts, labels = load_concepts(return_X_y=True)
    >>> labels.shape
    (4000,)
    """
    path = embedded("supervised.json")
    rows = read_texts(path)
    if return_X_y:
        return rows.texts, rows.labels
    names, target = np.unique(rows.labels, return_inverse=True)
    words = json.loads(embedded("concepts.json").read_text(encoding="utf-8"))
    return Bunch(
        texts=rows.texts,
        labels=rows.labels,
        target=target,
        target_names=names.tolist(),
        words={name: words[name] for name in names.tolist()},
        DESCR=CONCEPTS_DESCR,
        filename=str(path),
    )


def tiny_lm() -> Path:
    """The directory of the embedded language model, in the format of a hub directory.

    A causal language model of Llama type (4 blocks of width 128, rotary positions, 1.3 million parameters)
    trained on text of the grammar behind :func:`load_concepts`. It has learned topics; figures are in
    `data/README.md`.

    Returns
    -------
    path : pathlib.Path
        A directory for `AutoModelForCausalLM.from_pretrained`, `AutoTokenizer.from_pretrained`,
        `TransformerBridge.boot_transformers` or `ActivationExtractor(model=...)`. The last, `load_model` and the
        command line also take its name, "tiny_lm", which is the same on every machine.

    Examples
    --------
    >>> from mfa_sklearn.datasets import tiny_lm
    >>> sorted(path.name for path in tiny_lm().glob("*.safetensors"))
    ['model.safetensors']
    """
    return embedded("tiny-lm")


# --- a user's texts


def read_texts(path: str | PathLike[str], *, text_column: str | None = None, label_column: str | None = None) -> Bunch:
    """Read texts, with their labels if there are any, from a CSV, JSON, JSONL, Parquet or text file.

    A file is read the one way that is certain; one that can be read in two ways is refused, and the message says which
    two.

    Parameters
    ----------
    path : str or path-like
        The suffix decides how the file is read. Encoding is UTF-8.

        * `.csv`, `.tsv`: a header, with a column `prompt`, `text` or `sentence` and, if there are labels, `label` or
          `concept`. Every row has as many fields as the header; a text with commas, quotes or line breaks stands in
          quotes, its own quotes doubled. Fields of a `.tsv` file are separated by tabs; those of a `.csv` file by
          commas, or by semicolons, tabs or bars where the header has a column of texts only if it is read so.
        * `.json`: a list of objects with those keys, a list of strings, an object of columns with those keys (lists of
          equal length, as `Dataset.to_dict` and pandas write them), or an object label -> sentences.
        * `.jsonl`: one object or one string a line.
        * `.parquet`: columns with those names; needs pyarrow.
        * `.txt`: one text a line, without labels; blank lines are left out.

        Each but `.parquet` may be compressed, as `.jsonl.gz`. Upper and lower case of columns' names are the same.
    text_column, label_column : str, optional
        Names of the columns, where they are others or several of those above hold something.

    Returns
    -------
    data : Bunch
        texts : list of n str
            Texts without the blanks around them; or chats, lists of messages, from a column of them that is named.
        labels : ndarray of shape (n,), or None
            Strings; None for a row without a label (an empty cell, null or NaN) where others have one. None in place
            of the array if no row has a label.
        n_rows : int
            Rows seen, skipped ones included.
        n_skipped : int
            Rows left out, also said in a warning.
        skipped : dict of str to int
            Why, and how many for each reason.
        filename : str
            The path.

    Raises
    ------
    ImportError
        For Parquet without pyarrow.
    FileNotFoundError, IsADirectoryError
        If there is no such file, or it is a folder.
    ValueError
        If the suffix is unknown, the file cannot be parsed or decoded, its layout is none of the above or may be two
        of them, a column is missing or there twice, or no row of it holds a text.

    Warns
    -----
    UserWarning
        If rows were skipped, halves of surrogate pairs replaced, a quoted text of a CSV file holds lines that look like
        its rows, or labels are the string 'nan' or the like.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> from mfa_sklearn.datasets import read_texts
    >>> path = Path(tempfile.mkdtemp()) / "mine.json"
    >>> _ = path.write_text(json.dumps({"river": ["The canoe drifted."], "banking": ["A loan was repaid."]}))
    >>> data = read_texts(path)
    >>> data.texts, data.labels.tolist()
    (['The canoe drifted.', 'A loan was repaid.'], ['river', 'banking'])
    """
    return collect(home_path(path), Columns(text_column, label_column))


def stream_texts(
    source: str | PathLike[str] | Iterable[Any], *, text_column: str | None = None, label_column: str | None = None
) -> TextStream:
    """Read texts one after the other, from what may be larger than memory.

    Rows are read and left out as by :func:`read_texts`; what was left out is said at the end. The first rows are looked
    at when this is called, so that a wrong name of a column is told before work begins.

    Parameters
    ----------
    source : str, path-like, or iterable of dict
        A file as :func:`read_texts` takes it, but for `.json`, which can only be read whole. Or rows, such as a data
        set of Hugging Face's `datasets`, streamed or not.
    text_column, label_column : str, optional
        As of :func:`read_texts`.

    Returns
    -------
    iterable of (text, label), or of texts
        The label is None for a row without one; texts come alone where the first rows have no column of labels. A file
        is read anew each time. `ActivationExtractor.extract_to` takes it in place of texts and labels.

    Raises
    ------
    ImportError, OSError, ValueError
        As :func:`read_texts`, here or where the row is met; and for a `.json` file.
    TypeError
        If it is neither a path nor an iterable of rows.

    Examples
    --------
    >>> import gzip, tempfile
    >>> from pathlib import Path
    >>> from mfa_sklearn.datasets import stream_texts
    >>> path = Path(tempfile.mkdtemp()) / "large.jsonl.gz"
    >>> with gzip.open(path, "wt") as file:
    ...     for line in ('{"body": "The canoe drifted.", "topic": "river"}', '{"body": "A loan was repaid."}'):
    ...         print(line, file=file)
    >>> for text, label in stream_texts(path, text_column="body", label_column="topic"):
    ...     print(text, label)
    The canoe drifted. river
    A loan was repaid. None
    """
    return TextStream(source, Columns(text_column, label_column))


# --- numbers from a known mixture


def make_mfa(
    n_samples: int = 1000,
    n_features: int = 10,
    n_components: int = 3,
    n_factors: int = 2,
    *,
    noise: str = "shared",
    separation: float = 6.0,
    random_state: int | np.random.RandomState | None = None,
    return_params: bool = False,
) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, Bunch]:
    """Draw from a mixture of factor analyzers with random, known parameters.

    ``x | k ~ N(mu_k, W_k W_k^T + Psi_k)``, drawn as ``x = mu_k + W_k z + eps`` with ``z ~ N(0, I)`` and
    ``eps ~ N(0, Psi_k)``, Psi diagonal. Loadings are standard normal, noise variances uniform in [0.1, 0.5],
    weights Dirichlet(5).

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_features : int, default=10
        Number of columns D.
    n_components : int, default=3
        Number of components K.
    n_factors : int, default=2
        Number of factors q of each component, below `n_features`; 0 is a diagonal Gaussian mixture.
    noise : {"shared", "component"}, default="shared"
        One noise variance for all components, or one for each.
    separation : float, default=6.0
        Scale of the means: ``mu_k ~ N(0, separation^2 I)``. 0 puts all components in one place.
    random_state : int, RandomState instance or None, default=None
        Seed of the parameters and the rows.
    return_params : bool, default=False
        Also return the parameters.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The rows.
    y : ndarray of int of shape (n_samples,)
        The component of each row.
    params : Bunch
        `weights` (K,), `means` (K, D), `loadings` (K, D, q), `noise_variance` (D,) or (K, D), and the factors
        `z` (n_samples, q) that were drawn. Only if `return_params`.

    Raises
    ------
    ValueError
        If a number is out of range or `noise` is unknown.

    Examples
    --------
    >>> from mfa_sklearn.datasets import make_mfa
    >>> X, y, params = make_mfa(500, 8, n_components=4, random_state=0, return_params=True)
    >>> X.shape, y.shape, params.loadings.shape, params.noise_variance.shape
    ((500, 8), (500,), (4, 8, 2), (8,))
    """
    _check_sizes(n_samples, n_features, n_components, n_factors, noise, separation)
    rng = check_random_state(random_state)
    shape = (n_features,) if noise == "shared" else (n_components, n_features)
    params = Bunch(
        weights=rng.dirichlet(np.full(n_components, 5.0)),
        means=separation * rng.standard_normal((n_components, n_features)),
        loadings=rng.standard_normal((n_components, n_features, n_factors)),
        noise_variance=rng.uniform(0.1, 0.5, size=shape),
    )
    y = rng.choice(n_components, size=n_samples, p=params.weights)
    params.z = rng.standard_normal((n_samples, n_factors))
    deviation = np.broadcast_to(np.sqrt(params.noise_variance), (n_components, n_features))[y]
    X = params.means[y] + deviation * rng.standard_normal((n_samples, n_features))
    for k in range(n_components):
        X[y == k] += params.z[y == k] @ params.loadings[k].T
    return (X, y, params) if return_params else (X, y)


def _check_sizes(
    n_samples: int, n_features: int, n_components: int, n_factors: int, noise: str, separation: float
) -> None:
    for name, value in (("n_samples", n_samples), ("n_features", n_features), ("n_components", n_components)):
        check_count(name, value)
    if check_count("n_factors", n_factors, 0) >= n_features:
        raise ValueError(f"n_factors={n_factors} must be below n_features={n_features}.")
    check_choice("noise", noise, ("shared", "component"))
    if not separation >= 0:
        raise ValueError(f"separation must not be negative, got {separation}.")
