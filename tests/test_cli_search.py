"""A search from a shell finds what `MFASearch` finds, keeps the best, and holds the tokens of a text together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import read_csv
from tiny_stores import token_rows, written

from mfa_sklearn import MFA, ActivationStore, MFASearch
from mfa_sklearn.cli import main

SETTINGS: dict[str, Any] = {"max_iter": 3, "tol": 0, "random_state": 0}
FEW = ["--max-iter", "3", "--tol", "0"]
X = np.random.default_rng(0).normal([[0.0], [6.0]], 1, (2, 40)).reshape(-1, 1) + np.random.default_rng(1).normal(
    size=(80, 4)
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", X)
    return tmp_path / "x.npy"


def test_results_and_the_best_mixture(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["search", str(table), "-k", "1", "2", "3", "-q", "0", "1", *FEW]
    assert main([*command, "-o", str(tmp_path / "r.csv"), "--mixture", str(tmp_path / "best")]) == 0
    expected = MFASearch(MFA(init="kmeans", **SETTINGS), (1, 2, 3), (0, 1)).fit(X)
    rows = read_csv(tmp_path / "r.csv")
    np.testing.assert_allclose([float(row["bic"]) for row in rows], expected.results_["bic"])
    best = MFA.from_pretrained(tmp_path / "best")
    np.testing.assert_allclose(best.means_, expected.best_estimator_.means_)
    said = capsys.readouterr().out
    size = f"{best.n_components_} component{'s' * (best.n_components_ > 1)} of {best.n_factors_} factor"
    assert f"best: {size}" in said and "BIC, in " in said
    assert main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[:3] == ["n_components", "n_factors", "structure"] and len(printed) == 8


def test_structures(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(table), "-k", "2", "-q", "1", "--structures", "all", "--criterion", "icl", *FEW]) == 0
    assert {line.split()[2] for line in capsys.readouterr().out.splitlines()[1:9]} >= {"UUU", "CCC", "UCU"}


def test_tokens_of_a_text_are_held_out_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "x", token_rows, [7])
    splits: list[Any] = []
    fit = MFASearch.fit

    def noted(self: MFASearch, rows: Any) -> MFASearch:
        splits.extend(self.cv)
        return fit(self, rows)

    monkeypatch.setattr(MFASearch, "fit", noted)
    command = ["search", str(tmp_path / "x"), "-k", "2", "-q", "1", "--criterion", "likelihood", "--folds", "3", *FEW]
    assert main(command) == 0
    assert "nats per row held out" in capsys.readouterr().out
    texts = np.asarray(ActivationStore(tmp_path / "x").open().text_index)
    assert len(splits) == 3
    for train, test in splits:
        assert set(texts[train]).isdisjoint(texts[test]) and len(train) + len(test) == len(texts)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["-k", "2", "-q", "9"], "n_factors=9 must be below n_features=4"),
        (["-k", "999", "-q", "1"], "n_components=999 is more than"),
        (["-k", "2", "-q", "1", "--structures", "UXU"], "a structure is one of"),
        (["-k", "2", "-q", "1", "--folds", "1"], "--folds=1 must be at least 2"),
        (["-k", "2", "-q", "1", "-o", "{f}/x.txt"], "must end in .csv"),
        (["-k", "2", "-q", "1", "--mixture", "{f}/x.npy"], "it is a file"),
    ],
)
def test_mistakes(table: Path, more: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(table), *(word.format(f=table.parent) for word in more)]) == 2
    assert says in capsys.readouterr().err
    assert sorted(path.name for path in table.parent.iterdir()) == ["x.npy"]


def test_missing_pandas_is_said_before_work(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(MFASearch, "fit", None)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert main(["search", str(table), "-k", "2", "-q", "1"]) == 2
    assert "search needs pandas: pip install" in capsys.readouterr().err
