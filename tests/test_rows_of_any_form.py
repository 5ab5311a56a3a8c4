"""Everything that takes rows takes them in any form, and gives what it gives of the array in memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from interpret_fixtures import mixture
from matplotlib import pyplot
from scipy import sparse
from tiny_stores import stopped_at, token_rows, two_layers, written

from mfa_sklearn import (
    MFA,
    ActivationStore,
    ComponentMapDisplay,
    DensityDisplay,
    FactorEndsDisplay,
    KMeansInitializer,
    MFASearch,
    SubspaceDisplay,
    concept_components,
    concept_enrichment,
    describe_components,
    factor_ends,
    match_components,
    project,
    top_concepts,
    top_tokens,
)
from mfa_sklearn._base.annotated import given_rows
from mfa_sklearn.atlas import atlas_data
from mfa_sklearn.evaluation import as_candidate, evaluate, reconstruction_r2
from mfa_sklearn.interpret._inputs import optional_fact
from mfa_sklearn.steering import concept_regions, concept_scores

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Rows(NamedTuple):
    """Rows in some form, the same in memory, and what else is said of them where they do not say it themselves."""

    given: Any
    same: Any
    facts: dict[str, Any] = {}  # noqa: RUF012
    is_part: bool = False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("forms")
    written(path / "one", token_rows, [7])
    written(path / "two", two_layers, [2, 7])
    # Parts of seven texts each, as those of the whole.
    written(path / "first", token_rows, [7], slice(0, 14))
    written(path / "last", token_rows, [7], slice(14, None))
    with pytest.raises(KeyboardInterrupt):
        written(path / "part", stopped_at(14, KeyboardInterrupt()), [7])
    np.save(path / "table.npy", np.asarray(ActivationStore(path / "one")))
    return path


@pytest.fixture(scope="module")
def mfa(folder: Path) -> MFA:
    means = mixture(5.0).means_
    return MFA(4, 2, init=means, max_iter=2, tol=0).fit(ActivationStore(folder / "one").load())


def store(folder: Path) -> Rows:
    return Rows(ActivationStore(folder / "one"), ActivationStore(folder / "one").load())


def layer(folder: Path) -> Rows:
    return Rows(ActivationStore(folder / "two")[7], ActivationStore(folder / "two").load(7))


def path(folder: Path) -> Rows:
    return Rows(str(folder / "one"), ActivationStore(folder / "one").load())


def several(folder: Path) -> Rows:
    return Rows([folder / "first", ActivationStore(folder / "last")], ActivationStore(folder / "one").load())


def table(folder: Path) -> Rows:
    rows = ActivationStore(folder / "one").load()
    return Rows(folder / "table.npy", np.asarray(rows), {"tokens": rows.tokens, "labels": rows.labels})


def halves(folder: Path) -> Rows:
    rows = ActivationStore(folder / "one").load()
    return Rows([rows[:50], rows[50:]], rows)


def unfinished(folder: Path) -> Rows:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Rows(folder / "part", ActivationStore(folder / "part").load(), is_part=True)


FORMS = [unfinished, store, layer, path, several, table, halves]


def partly(mfa: MFA, rows: Any) -> Any:
    """What `partial_fit` makes of a batch, and of another one."""
    begun = MFA(4, 2, init=np.asarray(mfa.means_), max_iter=2, random_state=0).partial_fit(rows)
    return [begun.means_, begun.partial_fit(rows).means_, begun.n_samples_seen_]


def fitted(mfa: MFA, rows: Any, **options: Any) -> Any:
    found = MFA(4, 2, max_iter=3, random_state=0, **options).fit(rows)
    return [found.means_, found.lower_bounds_, found.source_, found.component_tokens_]


def scans(mfa: MFA, rows: Any) -> Any:
    return [[*map(np.asarray, part[1:])] for method in (mfa.iter_log_joint, mfa.iter_pairs) for part in method(rows)]


def centers(rows: Any, **options: Any) -> Any:
    found = KMeansInitializer(4, random_state=0, **options)
    handed = found.fit_transform(rows)
    handed_on = found.transform(rows)
    assert (handed_on.shared["cluster_centers"] == found.cluster_centers_).all()
    return [found.cluster_centers_, found.labels_, found.predict(rows), found.score(rows), handed, handed_on]


def enrichment(mfa: MFA, rows: Any, labels: Any = None) -> Any:
    X = given_rows(rows)
    known = optional_fact(X, "labels", labels)
    return concept_enrichment(mfa.predict(rows), np.asarray(known), getattr(X, "rows", {}).get("text_index"))


def drawn(display: Any) -> Any:
    axes = display.figure_.axes
    texts = [text.get_text() for ax in axes for text in ax.texts]
    places = [np.asarray(found.get_offsets()) for ax in axes for found in ax.collections]
    pyplot.close(display.figure_)
    return [texts, places]


def density(mfa: MFA, rows: Any) -> Any:
    return drawn(DensityDisplay.from_estimator(mfa, [0, 1], X=rows))


def search(rows: Any, criterion: str) -> Any:
    found = MFASearch(MFA(max_iter=2, random_state=0), [2, 3], [1], criterion=criterion, cv=2).fit(rows)
    return [found.results_.drop(columns=["fit_time"]), found.best_estimator_.means_]


def measured(mfa: MFA, rows: Any, labels: Any = None) -> Any:
    candidates = {"MFA": MFA(3, 1, max_iter=2, random_state=0), "this": mfa}
    return evaluate(candidates, rows, labels, n_resamples=3, random_state=0)


def candidate(mfa: MFA, rows: Any) -> Any:
    found = as_candidate(mfa, rows)
    names = ("regions", "coordinates", "codes", "detectors", "reconstruct")
    return [*(getattr(found, name)(rows) for name in names), reconstruction_r2(rows, found.reconstruct(rows))]


# What takes rows, by a mixture, rows and facts that rows do not carry.
NUMBERS: dict[str, Callable[[MFA, Any], Any]] = {
    "fit": fitted,
    "fit of batches": lambda mfa, X: fitted(mfa, X, batch_size=40),
    "fit by gradients": lambda mfa, X: fitted(mfa, X, solver="gradient", early_stopping=True),
    "fit_predict": lambda mfa, X: MFA(3, 1, max_iter=2, random_state=0).fit_predict(X),
    "partial_fit": partly,
    "score_samples": lambda mfa, X: mfa.score_samples(X),
    "score": lambda mfa, X: mfa.score(X),
    "predict": lambda mfa, X: mfa.predict(X),
    "predict_proba": lambda mfa, X: mfa.predict_proba(X),
    "transform": lambda mfa, X: mfa.transform(X),
    "fit_transform": lambda mfa, X: MFA(3, 1, max_iter=2, random_state=0).fit_transform(X),
    "reconstruct": lambda mfa, X: mfa.reconstruct(X),
    "impute": lambda mfa, X: mfa.impute(X),
    "posterior_mean": lambda mfa, X: [mfa.posterior_mean(X), mfa.posterior_mean(X, 1)],
    "criteria": lambda mfa, X: [mfa.aic(X), mfa.bic(X), mfa.icl(X)],
    "scans": scans,
    "k-means": lambda mfa, X: centers(X),
    "k-means by angles": lambda mfa, X: centers(X, metric="cosine"),
    "search": lambda mfa, X: search(X, "bic"),
    "search by folds": lambda mfa, X: search(X, "likelihood"),
    "candidate": candidate,
    "density": density,
    "match_components": lambda mfa, X: [match_components(mfa, mfa, X), match_components(mfa, mfa, X, X)],
    "component map": lambda mfa, X: drawn(ComponentMapDisplay.from_estimator(mfa, X)),
}
TABLES: dict[str, Callable[..., Any]] = {
    "top_tokens": lambda mfa, X, labels=None, **facts: top_tokens(mfa, X, **facts, stop_tokens={"the"}),
    "top_tokens by rows": lambda mfa, X, labels=None, **facts: top_tokens(mfa, X, **facts, aggregate="occurrence"),
    "top_tokens by likelihood": lambda mfa, X, labels=None, **facts: top_tokens(mfa, X, **facts, score="likelihood"),
    "top_concepts": lambda mfa, X, tokens=None, **facts: top_concepts(mfa, X, **facts),
    "concept_components": lambda mfa, X, tokens=None, **facts: concept_components(mfa, X, **facts, counts="soft"),
    "concept_enrichment": lambda mfa, X, tokens=None, **facts: enrichment(mfa, X, **facts),
    "concept_regions": lambda mfa, X, tokens=None, **facts: concept_regions(mfa, X, **facts),
    "concept_scores": lambda mfa, X, tokens=None, **facts: concept_scores(mfa, X, **facts),
    "describe_components": describe_components,
    "factor_ends": factor_ends,
    "project": lambda mfa, X, **facts: project(mfa, X, 1, **facts).to_frame(),
    "subspace": lambda mfa, X, **facts: drawn(SubspaceDisplay.from_estimator(mfa, X, 1, **facts)),
    "subspace by a fact": lambda mfa, X, **facts: drawn(
        SubspaceDisplay.from_estimator(mfa, X, 1, color="token", **facts)
    ),
    "ends": lambda mfa, X, **facts: drawn(FactorEndsDisplay.from_estimator(mfa, X, 1, **facts)),
    "atlas_data": lambda mfa, X, **facts: atlas_data(mfa, X, **facts),
    "atlas_data of two": lambda mfa, X, **facts: atlas_data(mfa, X, against=mfa, **facts),
    "evaluate": lambda mfa, X, tokens=None, **facts: measured(mfa, X, **facts),
}


def check_same(found: Any, expected: Any) -> None:
    """Both hold the same, to the last bit."""
    assert type(found) is type(expected) or isinstance(found, np.ndarray)
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for mine, other in zip(found, expected, strict=True):
            check_same(mine, other)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        check_same(list(found.values()), list(expected.values()))
    elif sparse.issparse(expected):
        np.testing.assert_array_equal(found.toarray(), expected.toarray())
    else:
        np.testing.assert_array_equal(found, expected)


EVERY = {**NUMBERS, **TABLES}
QUICK = ("fit", "predict", "top_tokens", "top_concepts", "project")
# A table that reads its rows and warns, several as one, and a memory map; other forms stand for one of these.
KINDS = (unfinished, several, table)


@pytest.fixture(scope="module")
def known(mfa: MFA) -> Callable[[str, Rows], Any]:
    """What comes of rows in memory, found once for all forms."""
    found: dict[tuple[str, bool, bool], Any] = {}

    def of(name: str, rows: Rows) -> Any:
        key = name, bool(rows.facts), rows.is_part
        if key not in found:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "these rows are of an interrupted", UserWarning)
                found[key] = EVERY[name](mfa, rows.same, **(rows.facts if name in TABLES else {}))
        return found[key]

    return of


@pytest.mark.parametrize(
    ("name", "form"),
    [(name, form) for name in EVERY for form in FORMS if form in KINDS or name in QUICK],
)
def test_forms(folder: Path, mfa: MFA, known: Any, name: str, form: Callable[[Path], Rows]) -> None:
    rows = form(folder)
    with pytest.warns(UserWarning, match="interrupted extraction, 14 of 30 texts") if rows.is_part else nullcontext():
        found = EVERY[name](mfa, rows.given, **(rows.facts if name in TABLES else {}))
    check_same(found, known(name, rows))
