"""What interpretation takes: arrays with their texts, stores on disk, plain lists; and what it refuses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from interpret_fixtures import annotated, mixture, nothing_is_evaluated
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from tiny_stores import LABELS, SOURCE, TEXTS, token_rows

from mfa_sklearn import MFA, ActivationArray, ActivationStore, SubspaceDisplay
from mfa_sklearn.activations._store_writer import write_store
from mfa_sklearn.interpret import concept_components, describe_components, project, top_concepts, top_tokens


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory: Path = tmp_path_factory.mktemp("store")
    write_store(directory, token_rows, {}, SOURCE, TEXTS, LABELS, shard_size=7)
    return ActivationStore(directory)[7]


@pytest.fixture(scope="module")
def mfa(store: Any) -> MFA:
    return MFA(4, 2, init=mixture(5.0).means_, max_iter=2, tol=0).fit(store)


def test_contexts_are_cut_from_the_texts(store: Any, mfa: MFA) -> None:
    X = store[:]
    assert isinstance(X, ActivationArray)
    table = top_tokens(mfa, X, n_tokens=3, context=15)
    for line in table.itertuples():
        text = X.texts[X.text_index[line.row]]
        marked = text[: X.starts[line.row]] + "«" + line.token.strip() + "»" + text[X.ends[line.row] :]
        assert line.context.strip("…") in marked and f"«{line.token.strip()}»" in line.context


@pytest.mark.parametrize("selection", [slice(None), slice(20, 90), np.arange(120)[::-3]])
def test_rows_may_be_any_selection(store: Any, mfa: MFA, selection: Any) -> None:
    X = store[selection]
    table = top_tokens(mfa, X, n_tokens=5)
    assert (X.tokens[table["row"]] == table["token"]).all()


def test_a_store_is_read_as_its_array_is(store: Any, mfa: MFA) -> None:
    X = store[:]
    for table in (top_tokens, top_concepts, concept_components, describe_components):
        assert table(mfa, store).equals(table(mfa, X)), table.__name__
    on_disk, in_memory = project(mfa, store, 1), project(mfa, X, 1)
    np.testing.assert_array_equal(on_disk.rows, in_memory.rows)
    np.testing.assert_allclose(on_disk.coordinates, in_memory.coordinates)
    assert on_disk.tokens.tolist() == in_memory.tokens.tolist()


def test_plain_arrays_and_lists() -> None:
    mfa = mixture()
    X = annotated(mfa)
    tokens = X.rows["tokens"].tolist()
    expected = top_tokens(mfa, X)
    assert top_tokens(mfa, np.asarray(X), tokens=tokens).equals(expected)
    assert top_tokens(mfa, np.asarray(X).tolist(), tokens=tokens).equals(expected)


def test_bad_input() -> None:
    mfa = nothing_is_evaluated(mixture())
    X = annotated(mfa)
    with pytest.raises(ValueError, match=r"pass tokens=\.\.\., one entry per row"):
        top_tokens(mfa, np.asarray(X))
    with pytest.raises(ValueError, match=r"two-dimensional.*\(5,\)"):
        top_tokens(mfa, np.zeros(5), tokens=["a"] * 5)
    with pytest.raises(NotFittedError):
        top_tokens(MFA(), X)
    with pytest.raises(TypeError, match=r"pipe\[-1\]"):
        top_tokens(make_pipeline(MFA()), X)
    with pytest.raises(TypeError, match="expected a fitted MFA, got str"):
        top_tokens("gpt2", X)
    with pytest.raises(ValueError, match="features"):
        fitted = MFA(2, 1, tol=1).fit(np.asarray(X))
        top_tokens(fitted, np.asarray(X)[:, :3], tokens=X.rows["tokens"])


TABLES = [
    lambda mfa, X: top_tokens(mfa, X, tokens=["a"] * len(X)),
    lambda mfa, X: top_concepts(mfa, X, ["a", "b"] * (len(X) // 2)),
    lambda mfa, X: concept_components(mfa, X, ["a", "b"] * (len(X) // 2)),
    lambda mfa, X: describe_components(mfa, X, tokens=["a"] * len(X)),
    lambda mfa, X: project(mfa, X, 0),
    lambda mfa, X: project(mfa, X, 0, rows=[1, 2]),
    lambda mfa, X: SubspaceDisplay.from_estimator(mfa, X, 0),
]


@pytest.mark.parametrize("table", TABLES)
def test_rows_from_elsewhere_are_refused(table: Any) -> None:
    source = {"model": "m", "layer": 4, "site": "residual", "pooling": None}
    X = np.random.default_rng(0).normal(size=(60, 5))
    mfa = MFA(2, 2, tol=0, max_iter=2).fit(ActivationArray(X, shared={"source": source}))
    for other in ({"layer": 2}, {"site": "mlp_out"}, {"pooling": "mean"}, {"model": "n"}):
        with pytest.raises(ValueError, match=r"fitted on layer 4, site 'residual', of model 'm'; these rows are of .*"):
            table(mfa, ActivationArray(X, shared={"source": source | other}))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        table(mfa, ActivationArray(X, shared={"source": source}))
        table(mfa, X)


FRAME = pd.DataFrame(np.random.default_rng(0).normal(size=(80, 5)), columns=list("abcde"))
TOKENS, KINDS = ["a", "b"] * 40, ["x", "y", "x", "z"] * 20
NUMBERS = FRAME.to_numpy(copy=True)
READERS: dict[str, Callable[[Any, Any], Any]] = {
    "top_tokens": lambda mfa, X: top_tokens(mfa, X, TOKENS),
    "top_concepts": lambda mfa, X: top_concepts(mfa, X, KINDS),
    "concept_components": lambda mfa, X: concept_components(mfa, X, KINDS),
    "describe_components": lambda mfa, X: describe_components(mfa, X, TOKENS, KINDS),
    "project": lambda mfa, X: project(mfa, X, 1, tokens=TOKENS).to_frame(),
    "project given rows": lambda mfa, X: project(mfa, X, 1, rows=range(5, 9)).to_frame(),
    "display": lambda mfa, X: pd.DataFrame(SubspaceDisplay.from_estimator(mfa, X, 1).scatter_.get_offsets()),
}
CONTAINERS: dict[str, Callable[[], Any]] = {
    "pandas": lambda: FRAME,
    "pandas, other index": lambda: FRAME.set_index(np.arange(80)[::-1] * 7),
    "pandas, nullable": lambda: FRAME.astype("Float64"),
    "polars": lambda: pytest.importorskip("polars").from_pandas(FRAME),
    "arrow": lambda: pytest.importorskip("pyarrow").Table.from_pandas(FRAME, preserve_index=False),
    "list": NUMBERS.tolist,
    "tensor": lambda: torch.from_numpy(NUMBERS),
    "tensor with a gradient": lambda: torch.from_numpy(NUMBERS).requires_grad_(),
    "columns first": lambda: np.asfortranarray(NUMBERS),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_whatever_fit_takes_is_read_without_a_word(container: str, reader: str) -> None:
    X = CONTAINERS[container]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mfa = MFA(2, 1, init=NUMBERS[:2], tol=0, max_iter=3).fit(X)
        found = READERS[reader](mfa, X)
        expected = READERS[reader](MFA(2, 1, init=NUMBERS[:2], tol=0, max_iter=3).fit(NUMBERS), NUMBERS)
    pd.testing.assert_frame_equal(found, expected)
    plt.close("all")


@pytest.mark.parametrize("reader", READERS)
def test_columns_of_another_order_are_refused(reader: str) -> None:
    mfa = MFA(2, 1, tol=1).fit(FRAME)
    with pytest.raises(ValueError, match="feature names"):
        READERS[reader](mfa, FRAME[list("bacde")])


def test_half_precision_is_projected() -> None:
    X = torch.from_numpy(NUMBERS).bfloat16()
    mfa = MFA(2, 1, init=NUMBERS[:2], tol=0, max_iter=3).fit(X)
    np.testing.assert_allclose(project(mfa, X, 1).coordinates, project(mfa, X.float(), 1).coordinates, atol=1e-5)


def test_columns_of_tokens_and_labels() -> None:
    mfa = MFA(2, 1, tol=1).fit(FRAME)
    expected = describe_components(mfa, FRAME, TOKENS, KINDS)
    assert describe_components(mfa, FRAME, pd.Series(TOKENS, index=FRAME.index[::-1]), pd.Series(KINDS)).equals(
        expected
    )


@pytest.mark.parametrize(
    "tokens",
    [
        ["a", None, None] * 50,
        np.array(["a", float("nan"), None] * 50, dtype=object),
        np.ma.array(["a", "b", "c"] * 50, mask=[0, 1, 1] * 50),
    ],
)
def test_tokens_that_are_missing_are_refused_by_number(tokens: Any) -> None:
    mfa = mixture()
    X = annotated(mfa)
    with pytest.raises(ValueError, match=r"tokens\[1\] is missing, and 99 others: .* an empty string"):
        top_tokens(mfa, X, tokens=tokens)
    assert len(top_tokens(mfa, X, tokens=["", " "] * 75))


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_tokens_that_are_missing_are_refused_where_they_are_read(missing: Any) -> None:
    mfa = mixture()
    X = np.asarray(annotated(mfa))
    tokens = np.array(["a", missing, missing] * 50, dtype=object)
    tables = [ActivationArray(X[rows], {"tokens": tokens[rows]}) for rows in (slice(0, 70), slice(70, None))]
    with pytest.raises(ValueError, match=r"tokens\[1\] is missing, and 99 others"):
        top_tokens(mfa, tables)
