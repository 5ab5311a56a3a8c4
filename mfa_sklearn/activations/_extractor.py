"""ActivationExtractor: the scikit-learn transformer from texts to activations."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import Tags

from .._base.checks import check_flag
from ._array import ActivationArray
from ._checks import check_labels, check_texts
from ._cuts import told_once
from ._given_texts import ListedTexts, StreamedTexts, is_stream, paired, without_rows
from ._model_reader import ModelReader
from ._part import as_part
from ._row_plan import LayerRows
from ._selection import as_selection
from ._selection_facts import recorded
from ._sinks import RUN, RUNS
from ._sites import check_layers
from ._store_numbers import disk_dtype

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike

    from ._store import ActivationStore
    from ._store_reading import StoreReading


class ActivationExtractor(ModelReader):
    """Turn texts into the activations of a language model: one row per token, or one per text.

    Texts of like length are run together, padded on the right and masked; the pass ends at the last layer asked for.
    Rows come in the order of the texts. Special tokens, known by the place where the tokenizer put them, and padding
    are left out. Weights are loaded when they are first needed and stay out of pickles. Threads may share an extractor:
    the model serves one at a time.

    Parameters
    ----------
    model : str or path
        A local directory as `save_pretrained` writes it, or a model name; see `load_model`.
    layer : int or list of int
        Counted from 0. The columns of several layers stand side by side, in the order given; for one array per layer
        use `extract_to`.
    site : {"residual", "residual_pre", "mlp", "mlp_out", "attn_out"}, default="residual"
        The residual stream after or before the layer, the MLP's hidden units, and what the MLP and the attention hand
        on, as TransformerLens' hook points define them. A mixture of experts has no one row of hidden units per token,
        so "mlp" is refused there.
    pooling : {None, "last", "mean", "first"}, default=None
        None gives a row per token; else a row per text: its last or first token kept, or the mean of those kept.
    batch_size : int, default=32
        Most texts, or windows of them, per forward pass. After running out of memory, batches are halved for as long as
        the model is loaded, and that is said once.
    batch_tokens : int, optional
        Most tokens per forward pass, padding included: short texts then go in larger batches than long ones, up to
        `batch_size`. A longer text is a batch by itself.
    max_length : int, optional
        Longest sequence that is read at once, special tokens included. By default the model's context.
    stride : int, optional
        Read longer texts in windows of `max_length`, each with the last `stride` tokens of the one before as context,
        as the argument of transformers' tokenizers; 0 is no overlap. Every token is a row once, with its position in
        the text, and pooling is over all windows. By default longer texts are cut, with a warning that says how much is
        lost; a store says it too.
    pack : bool, default=False
        Whether several short texts, or windows, stand in one sequence of `max_length`, so that fewer are padded.
        Attention is kept inside each text, and places count from its beginning: rows are the same up to rounding.
        Architectures that cannot keep texts apart are refused; the first texts are compared to find out.
    prepend_bos : bool, optional
        Whether each text begins with the beginning-of-text token. By default what TransformerLens does with the
        architecture: GPT-2 and Llama yes, Qwen no, and encoders begin and end as their tokenizer does. A text that
        begins with that token itself, as chat templates write it, gets no second.
    select : TokenSelection or a short form of one, optional
        Which tokens are rows: a set of strings (``{"."}``, as decoded one by one, with any leading space), a function
        of such a string, places, or a `TokenSelection`. By default all but special tokens.
    max_norm_ratio : float, optional
        Leave out attention sinks: rows whose norm is more than this times the median norm over the rows of the call,
        in any layer. 100 is usual. By default nothing is left out. Of more than 1,000 texts the median is that of
        1,000, in runs spread evenly over the call, in memory and on disk alike; `extract_to` reads those twice.
    processing : {"raw", "compatibility"}, default="raw"
        Of the weights, see `load_model`.
    revision : str, optional
        Branch, tag or commit of a model given by name.
    device : str, default="auto"
        "auto" is CUDA where there is one, else the CPU.
    dtype : {"float32", "float64", "float16", "bfloat16"}, default="float32"
        Of weights and computation, also under `torch.autocast`. Rows are float32, or float64 for "float64".
    backend : {"transformer_lens", "transformers"}, default="transformer_lens"
        What loads the model, see `load_model`. Rows are the same, and count as rows of the same place.
    load_options : dict, optional
        Whatever else the model's loader takes, such as ``{"device_map": "auto"}``; see `load_model`. The source
        tells it.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    n_features_out_ : int
        Columns d of the result.
    source_ : dict
        Model, revision, layer, site, hooks and so on, as the arrays carry it in ``source``.

    See Also
    --------
    ActivationStore : Activations on disk, written by `extract_to`.

    Examples
    --------
    >>> from mfa_sklearn import ActivationExtractor, datasets
    >>> extractor = ActivationExtractor(model=datasets.tiny_lm(), layer=2)
    >>> X = extractor.fit_transform(["The river runs by the bank.", "My cat sleeps."], y=["nature", "pets"])
    >>> X.shape[1] == extractor.n_features_out_ == X.source["d_model"]
    True
    >>> pets = X[X.labels == "pets"]
    >>> "".join(pets.tokens).strip()
    'My cat sleeps.'
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        layer: int | Sequence[int],
        *,
        site: str = "residual",
        pooling: str | None = None,
        batch_size: int = 32,
        batch_tokens: int | None = None,
        max_length: int | None = None,
        stride: int | None = None,
        pack: bool = False,
        prepend_bos: bool | None = None,
        select: Any = None,
        max_norm_ratio: float | None = None,
        processing: str = "raw",
        revision: str | None = None,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "float32",
        backend: str = "transformer_lens",
        load_options: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.layer = layer
        self.site = site
        self.pooling = pooling
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.max_length = max_length
        self.stride = stride
        self.pack = pack
        self.prepend_bos = prepend_bos
        self.select = select
        self.max_norm_ratio = max_norm_ratio
        self.processing = processing
        self.revision = revision
        self.device = device
        self.dtype = dtype
        self.backend = backend
        self.load_options = load_options
        self.verbose = verbose

    def fit(self, texts: Iterable[str], y: ArrayLike | None = None) -> ActivationExtractor:
        """Check the parameters against the model's configuration, and the texts; nothing is learned.

        Parameters
        ----------
        texts : iterable of n str, or of n chats
            Lists of messages, dicts with "role" and "content", which the tokenizer's chat template writes out. Rows
            then know who says them (``roles``), and what the template puts around messages is special.
        y : array-like of length n, optional
            Labels; only checked.

        Returns
        -------
        ActivationExtractor
            Itself.

        Raises
        ------
        ValueError
            For an unknown model or one of two stacks, an unknown site or pooling, a layer or a site that the model
            does not have, no or blank texts, labels that are not one per text, or chats without a chat template.
        TypeError
            For a single string, a dict, a set, an open file, or entries that are not strings.
        """
        found = self._checked(texts)
        check_labels(y, len(found))
        self.source_, self.n_features_out_ = self._describe()
        return self

    def transform(self, texts: Iterable[str]) -> ActivationArray:
        """Activations of the texts.

        Parameters
        ----------
        texts : iterable of str

        Returns
        -------
        ActivationArray of shape (n_tokens, d), or (n_texts, d) with pooling

        Raises
        ------
        ValueError
            As `fit`; also if a text has only special tokens, `select` leaves a text without rows to pool or nothing at
            all, or activations are not finite.
        RuntimeError
            If another thread keeps the model in a block of `MFASteerer.steer` without running it.
        """
        found = self._checked(texts)
        return self._extract(self._describe(), found).stacked()

    def fit_transform(self, texts: Iterable[str], y: ArrayLike | None = None, **fit_params: Any) -> ActivationArray:
        """`fit`, then activations of the same texts, with their labels `y` where given (in ``labels``, per row).

        A missing label (None, NaN, NaT, `pandas.NA`, masked, or a blank string) is None there.

        Raises
        ------
        TypeError
            For any `fit_params`, which are there because scikit-learn's own method has them.
        """
        if fit_params:
            raise TypeError(f"fit_transform takes no {', '.join(sorted(fit_params))}: it takes texts, and labels as y")
        found = self._checked(texts)
        labels = check_labels(y, len(found))
        self.fit(found)
        return self._extract((self.source_, self.n_features_out_), found, labels).stacked()

    @told_once()
    def extract_to(
        self,
        directory: str | os.PathLike[str],
        texts: Iterable[str],
        labels: ArrayLike | None = None,
        *,
        shard_size: int = 1000,
        dtype: str = "float16",
        resume: bool = True,
        part: tuple[int, int] | str | None = "auto",
    ) -> ActivationStore:
        """Write activations to disk, a shard of texts at a time, one array per layer.

        Parameters
        ----------
        directory : path
            Made if missing.
        texts : iterable of str, of chats, or of pairs of one of these and its label
            An iterable without a length, such as a generator or `datasets.stream_texts`, is read once, a shard at a
            time, and may yield tuples (text, label). A run that is gone on with reads it from its beginning, leaves out
            what is there, and refuses other texts. `max_norm_ratio` is then of its first 1,000 texts. Rows, such as
            those of a data set of Hugging Face, are taken by the columns `text` and `label` as
            `datasets.stream_texts` does, which also lets you name others.
        labels : array-like of length n_texts, or iterable beside a stream, optional
            Strings or numbers, of which some may be missing, as for `fit_transform`.
        shard_size : int, default=1000
            Texts per shard. Two are held in memory, one that is read and one that is written meanwhile. An interrupted
            run starts again at the shard it was in. A stream is read a shard ahead.
        dtype : {"float16", "float32", "bfloat16"}, default="float16"
            Of the numbers on disk. Those in bfloat16 are read as float32.
        part : {"auto", None} or (int, int), default="auto"
            Number and count, from (0, n) to (n - 1, n), where n processes are each given all texts and write a store
            together, side by side or one after the other, on machines that share the folder. The store is that of one
            process, and whole when all parts are; see `ActivationStore.missing_parts`. "auto" is what torchrun
            (``RANK``, ``WORLD_SIZE``) and SLURM's job arrays (``SLURM_ARRAY_TASK_ID``) say, and all where there is
            neither; None is all in any case.
        resume : bool, default=True
            Go on where an earlier call with the same texts and parameters stopped. Functions in `select` are the same
            if they choose the same tokens of the model's vocabulary. A store of an earlier version, with `keep` and
            `include_special`, is gone on with if its selection has the same meaning; to be read, no store needs to be
            told how it was made. With False, start anew; a store that is there is replaced when the new one is whole.
            Of parts, each starts anew by itself.

        Returns
        -------
        ActivationStore

        Raises
        ------
        ValueError
            As `transform`; also if the directory holds activations of other texts or parameters, or in another number
            of parts, a number is too large for `dtype`, or `select` has a function that answers differently when it is
            asked again.
        TypeError
            If `part` is none of the above, or a stream gives labels now and then, or of several kinds.
        OSError
            If the directory holds other things, another run is writing to it, or there is no room or right to write.
        KeyboardInterrupt
            Where it is interrupted; the message says how many texts are kept.
        """
        from ._store_reading import StoreReading
        from ._store_writer import check_store_options, write_store

        share = as_part(part)
        check_store_options(shard_size, dtype)
        check_flag("resume", resume)
        found, described = self._given(texts, labels), self._describe()
        record, reading = recorded(as_selection(self.select), self._tokenizer), StoreReading(self.verbose)
        least_rows = self._least_rows(min(int(shard_size), found.n_texts or 0))
        return write_store(
            directory,
            self._shard_extraction(described, found.sample, reading),
            self._settings(record),
            described[0],
            found,
            shard_size=int(shard_size),
            dtype=dtype,
            select=record,
            resume=resume,
            bar=reading.bar,
            announce=reading.announce,
            least_bytes=least_rows * described[1] * disk_dtype(dtype).itemsize,
            part=share,
        )

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the columns: site, layer and number, such as ``"residual4_17"``.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        ndarray of object of shape (d,)
        """
        source, n_features = self._describe()
        layers = check_layers(source["layer"])
        width = n_features // len(layers)
        return np.array([f"{self.site}{layer}_{i}" for layer in layers for i in range(width)], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.requires_fit = False
        return tags

    def _given(self, texts: Any, labels: Any) -> ListedTexts | StreamedTexts:
        """The texts to store, with their labels."""
        texts = without_rows(texts, labels)
        if is_stream(texts):
            entries = texts if labels is None else paired(texts, labels)
            n_head = 1 if self.max_norm_ratio is None else RUN * RUNS
            return StreamedTexts(entries, lambda some, first: check_texts(some, self._tokenizer, first), n_head)
        found = self._checked(texts)
        return ListedTexts(found, check_labels(labels, len(found)))

    def _checked(self, texts: Any) -> list[str]:
        return check_texts(texts, self._tokenizer)

    def _least_rows(self, n_texts: int) -> int:
        """Rows that so many texts have at least."""
        selected = self.pooling is None and not (as_selection(self.select).is_whole and self.max_norm_ratio is None)
        return 0 if selected else n_texts

    def _shard_extraction(
        self, described: tuple[dict[str, Any], int], sample: list[str], reading: StoreReading
    ) -> Callable[[list[str], Any, int], LayerRows]:
        """What extracts a shard of a call's texts; the limits of norms are those of a sample of them."""
        # At the first shard: for a store that is complete nothing is loaded or run.
        limits = cache(lambda: self._extraction(described, progress=False).limits(sample))

        def extract(texts: list[str], labels: Any, first: int) -> LayerRows:
            return self._extract(described, texts, labels, first, limits(), reading)

        return extract

    def _extract(
        self,
        described: tuple[dict[str, Any], int],
        texts: list[str],
        labels: np.ndarray | None = None,
        first: int = 0,
        limits: list[float] | None = None,
        reading: StoreReading | None = None,
    ) -> LayerRows:
        """Activations of checked texts, layer by layer; `limits` and `reading` are given for a part of a call."""
        extraction = self._extraction(described, progress=self.verbose and limits is None)
        return extraction.rows(texts, labels, first, limits, reading)
