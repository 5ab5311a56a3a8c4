"""The command `evaluate`: what it fits and reads, and its table on a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli_cases import PNG, read_csv
from interpret_fixtures import mixture
from tiny_stores import token_rows, two_layers, written

from mfa_sklearn import MFA, ActivationStore
from mfa_sklearn._cli_evaluate import _candidates, in_columns
from mfa_sklearn._cli_parser import make_parser
from mfa_sklearn.cli import main
from mfa_sklearn.evaluation import baselines, evaluate

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SIZE = ["-k", "2", "-q", "1", "--resamples", "5"]
FITTED = ["MFA", "k-means", "k-means + local PCA", "diagonal mixture", "PCA"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    written(path / "x", token_rows, [7])
    written(path / "two", two_layers, [3, 4])
    rows = ActivationStore(path / "x").load()
    np.save(path / "table.npy", np.asarray(rows)[:, :2])
    MFA(4, 2, init=mixture(5.0).means_, max_iter=2, tol=0).fit(rows).save_pretrained(path / "mix")
    return path


def table_of(command: list[Any], out: Path) -> dict[tuple[str, str], dict[str, str]]:
    assert main(["evaluate", *map(str, command), "-o", str(out / "t.csv"), "--force"]) == 0
    return {(row["candidate"], row["measure"]): row for row in read_csv(out / "t.csv")}


def test_the_table_is_that_of_the_function(folder: Path, tmp_path: Path) -> None:
    target = folder / "table.npy"
    found = table_of([folder / "x", *SIZE, "--target", target, "--seeds", "2", "--test-size", "0.5"], tmp_path)
    candidates = {"MFA": MFA(2, 1, random_state=0), **baselines(2, 1, random_state=0)}
    rows = ActivationStore(folder / "x").load()
    settings: dict[str, Any] = {"test_size": 0.5, "n_seeds": 2, "n_resamples": 5, "random_state": 0}
    expected = evaluate(candidates, rows, target=np.load(target), **settings)
    assert list(found) == list(zip(expected["candidate"], expected["measure"], strict=True))
    np.testing.assert_allclose([float(row["value"]) for row in found.values()], expected["value"], rtol=1e-5)
    assert {name for name, _ in found} == set(FITTED)


def test_mixtures_are_measured_as_they_are(folder: Path, tmp_path: Path) -> None:
    found = table_of([folder / "x", "--mixture", folder / "mix", "--resamples", "2"], tmp_path)
    assert {name for name, _ in found} == {*FITTED, "mix"}
    # The others are of the same size.
    assert {float(found[name, "regions"]["value"]) for name in FITTED[:-1]} == {4.0}
    assert found["MFA", "active numbers"]["value"] == found["mix", "active numbers"]["value"] == "3.0"


def test_what_is_to_be_fitted(folder: Path) -> None:
    def chosen(*words: str) -> dict[str, Any]:
        return _candidates(make_parser().parse_args(["evaluate", "x", *words]))

    found = chosen("-k", "7", "--noise", "component", "--device", "cpu", "--random-state", "3")
    assert list(found) == FITTED
    assert all(estimator.device == "cpu" for name, estimator in found.items() if name != "PCA")
    assert found["k-means + local PCA"].init.device == "cpu"
    mfa = found["MFA"].get_params()
    assert (mfa["n_components"], mfa["n_factors"], mfa["noise"], mfa["random_state"]) == (7, 10, "component", 3)
    mix = str(folder / "mix")
    assert chosen("--mixture", mix, "-q", "0")["MFA"].n_factors == 0
    assert list(chosen("--mixture", mix, mix + "/../mix"))[-2:] == ["mix", mix + "/../mix"]


def test_a_layer_of_the_same_folder_is_foretold(folder: Path, tmp_path: Path) -> None:
    """Both layers hold the same numbers."""
    found = table_of([folder / "two", "--layer", "3", "--target", "4", *SIZE], tmp_path)
    assert float(found["MFA", "target R2 by region and coordinates"]["value"]) > 0.3


def test_the_table_on_a_terminal(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", str(folder / "x"), *SIZE, "--plot", str(tmp_path / "a.png"), "--verbose"]
    assert main(command) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said[:5]] == [f"[evaluate] {name}" for name in FITTED]
    assert " ".join(said[5].split()) == " ".join(["measure", *FITTED])
    assert any("AMI →" in line and "±" in line for line in said) and any("bits per row ←" in line for line in said)
    assert "rows of 6 texts held out of 30; behind ± half the width of 95% intervals" in said[-2]
    assert said[-1] == f"{tmp_path / 'a.png'}: 9 measures"
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


def test_figures_have_the_digits_that_their_intervals_leave() -> None:
    lines = [
        ("a", "AMI", 0.123456, 0.1, 0.15, "higher"),
        ("a", "bits per row", 1234.56, 1200.0, 1270.0, "lower"),
        ("a", "stored numbers", 1234567.0, np.nan, np.nan, ""),
        ("b", "AMI", 1.0, 1.0, 1.0, "higher"),
        ("b", "active numbers", 7.0, np.nan, np.nan, ""),
        ("b", "stored numbers", np.nan, np.nan, np.nan, ""),
    ]
    table = pd.DataFrame(lines, columns=["candidate", "measure", "value", "low", "high", "better"])
    facts = {"n_train": 5, "n_test": 1, "n_train_texts": 3, "n_test_texts": 1, "confidence": 0.9, "resolution": 0.0123}
    table.attrs = facts
    shown = [line.split() for line in in_columns(table).splitlines()]
    assert shown[0] == ["measure", "a", "b"]
    assert shown[1] == ["AMI", "→", "0.123", "±0.025", "1.0000", "±0.0000"]
    assert shown[2] == ["bits", "per", "row", "←", "1,235", "±35"]
    assert shown[3] == ["active", "numbers", "7"]
    assert shown[4] == ["stored", "numbers", "1,234,567"]
    assert " ".join(shown[6]).startswith("1 row of 1 text held out of 4; behind ± half the width of 90% intervals")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["{f}/x"], "nothing says how many components to fit: give -k, or the folder of a mixture by --mixture"),
        (["{f}/two", "-k", "2"], "holds the layers [3, 4]: name one with --layer"),
        (["{f}/x", "-k", "2", "--target", "9"], "layer 9 is not in this store"),
        (["{f}/x", "-k", "2", "--target", "{f}/none.npy"], "there is no "),
        (["{f}/x", "-k", "2", "--mixture", "{f}/x"], "/x"),
        (["{f}/x", "-k", "2", "--losses"], "cannot load model 'm'"),
        (["{f}/table.npy", "-k", "2", "--losses"], "does not say which language model it is of: leave --losses out"),
        (["{f}/x", "-k", "2", "--test-size", "2"], "test_size"),
        (["{f}/x", "-k", "2", "--resolution", "-1"], "resolution == -1.0, must be > 0"),
        (["{f}/x", "-k", "2", "-o", "{f}/t.txt"], "its name must end in .csv"),
        (["{f}/x", "-k", "2", "--plot", "{f}/t.csv"], "its name must end in .png or .pdf or .svg"),
        (["{f}/x", "-k", "1000"], "n_components=1000 is more than"),
    ],
)
def test_mistakes_get_one_clear_line(
    folder: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *(word.format(f=folder) for word in words)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and len(said.err.splitlines()) == 1 and says in said.err


def test_losses_of_the_embedded_model(tmp_path: Path) -> None:
    pytest.importorskip("transformer_lens")
    from mfa_sklearn import ActivationExtractor, datasets

    texts = datasets.load_concepts().texts[:200:10]
    ActivationExtractor(datasets.tiny_lm(), layer=1).extract_to(tmp_path / "x", texts)
    found = table_of([tmp_path / "x", *SIZE, "--losses", "--device", "cpu"], tmp_path)
    assert float(found["(model as it is)", "cross-entropy"]["value"]) < float(found["PCA", "cross-entropy"]["value"])


def test_homes_are_written_out(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    found = table_of(["~/x", "--mixture", "~/mix", "--target", "~/table.npy", "--resamples", "2"], tmp_path)
    assert ("mix", "target R2 by region") in found
