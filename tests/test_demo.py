"""The demo in an empty folder: what it keeps, what it says, and that the documentation says the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from cli_cases import PNG, read_csv
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score

from mfa_sklearn._demo_atlas import browse
from mfa_sklearn._demo_meaning import showcase
from mfa_sklearn._demo_regions import ANNEALED, COLUMNS, HELD_OUT, KEPT, SEED, Fitted, concept_labels, fit
from mfa_sklearn._demo_report import Report
from mfa_sklearn._demo_steering import place_inside
from mfa_sklearn.evaluation import as_candidate, evaluate
from mfa_sklearn.evaluation._held_out import split_texts
from mfa_sklearn.interpret import concept_components, top_tokens

REPOSITORY = Path(__file__).resolve().parents[1]
NUMBER = re.compile(r"(?<![\w.-])-?\d[\d,]*(?:\.\d+)?%?")
# How far a figure of the demo may be from docs/demo.txt: processors round differently, and a fit can end in another
# place. Seeds differ by as much.
TOLERANCES = {
    "NMI": 0.03,
    "detection AUROC": 0.005,
    "detection AUROC, hard negatives": 0.02,
    "reconstruction R2": 0.01,
    "target R2 by region": 0.03,
    "target R2 by region and coordinates": 0.02,
    "bits per row": 5,
}
SHARE_TOLERANCE, LOG_PROB_TOLERANCE = 0.1, 0.3  # of steering: text is sampled
STEERED = (
    *("not steered", "as far in a random direction", "as far to another concept", "difference of means, prompt"),
    "to its regions",
)
NATS_TOLERANCE = 3.0


def documented() -> str:
    return (REPOSITORY / "docs/demo.txt").read_text(encoding="utf-8")


def of_the_readme() -> str:
    """The part on the demo."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return readme.partition("## See it")[2].partition("\n## ")[0]


def test_figures_of_the_readme_on_a_real_model_are_documented() -> None:
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("## On a real model")[2]
    rows = re.findall(r"^\| [A-Za-z].*\d.*$", section.partition("\n## ")[0], re.MULTILINE)
    assert len(rows) == 6
    documented_rows = (REPOSITORY / "docs/demo.md").read_text(encoding="utf-8").splitlines()
    assert set(rows) - set(documented_rows) == set()


def entries(text: str, name: str) -> list[float]:
    """Figures in the line of the summary that starts with a name; NaN where there is none."""
    line = next(line for line in text.splitlines() if line.startswith(f"   {name} "))
    found = re.findall(r"(?<=\s)(-|-?[\d.]+%?)\*?(?=\s|$)", line.strip()[len(name) :] + " ")
    return [float("nan") if word == "-" else float(word.rstrip("%")) / (100 if "%" in word else 1) for word in found]


def candidates(text: str) -> dict[str, dict[str, float]]:
    """The table of the summary: figures by candidate and measure."""
    names = ("PCA", "k-means", "k-means + local PCA", "diagonal mixture", KEPT, ANNEALED)
    return {name: dict(zip(COLUMNS, line_of(text, name), strict=True)) for name in names}


def line_of(text: str, name: str) -> list[float]:
    """`entries` of a candidate; "k-means" is no beginning of "k-means + local PCA"."""
    return entries(text, f"{name}  ")


def test_figures_of_the_readme_are_those_of_the_demo() -> None:
    section = of_the_readme()
    prose = re.sub(r"\]\([^)]*\)", "]", section)  # without addresses
    assert set(NUMBER.findall(prose)) - set(NUMBER.findall(documented())) == set()
    rows = re.findall(r"^\| ([^|]*[^| ]) +\|(.*)\|$", section, re.MULTILINE)
    names = set(candidates(documented()))
    shown = {name: NUMBER.findall(cells) for name, cells in rows if name in names}
    assert set(shown) == names
    for name, figures in shown.items():
        assert [float(figure) for figure in figures] == [x for x in line_of(documented(), name) if x == x], name


def test_texts_of_the_readme_are_those_of_the_demo() -> None:
    section = of_the_readme()
    quoted = re.findall(r"^    (?:before|after): +(.*)$", section, re.MULTILINE)
    assert len(quoted) >= 2
    assert [text for text in quoted if text not in documented()] == []
    caption = re.findall(r"\(([\w' ]+(?:, [\w' ]+)+)\)", section)
    picture = documented().partition("== Picture")[2].partition("== Steering")[0]
    assert len(caption) >= 3
    words = [word for words in caption for word in words.split(", ")]
    assert [word for word in words if not re.search(rf"(?:: +|· ){re.escape(word)}(?: ·|$)", picture, re.M)] == []


def test_what_the_documentation_says_of_the_table_is_so() -> None:
    check_claims(candidates(documented()))


def check_claims(table: dict[str, dict[str, float]]) -> None:
    """What the demo says in words below its table."""
    kept, annealed, kmeans = table[KEPT], table[ANNEALED], table["k-means"]
    for measure in ("reconstruction R2", "target R2 by region and coordinates"):
        assert annealed[measure] > kept[measure] > table["k-means + local PCA"][measure] > table["PCA"][measure]
    assert annealed["bits per row"] < kept["bits per row"] < table["k-means + local PCA"]["bits per row"]
    assert kept["NMI"] > annealed["NMI"] + 0.05
    assert kmeans["NMI"] > kept["NMI"]
    assert kept["detection AUROC, hard negatives"] > annealed["detection AUROC, hard negatives"]


def test_what_is_said_of_steering_is_so() -> None:
    check_steering(documented())


def check_steering(summary: str) -> None:
    """Text reaches its concept nearly always, and farther than by difference of means, at most a nat less likely."""
    own, ours, means, drawn = (entries(summary, STEERED[number]) for number in (0, 4, 3, 1))
    assert ours[1] > means[1] > 0.5 > drawn[1]
    assert ours[2] > own[2] - 1
    reached, shown = re.findall(r"(\d+) of (\d+) have more words of their concept than of any other", summary)[0]
    assert int(shown) == 8 and int(reached) >= 7


def run(folder: Path, *options: str) -> tuple[Path, str]:
    """The demo's folder and what it printed; nothing on the error stream, where warnings go."""
    command = [sys.executable, "-m", "mfa_sklearn", "demo", *options]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-4000:]
    assert "warning" not in result.stderr.lower(), result.stderr
    return folder / "mfa-demo", result.stdout


@pytest.mark.slow
def test_quick_demo_in_an_empty_folder(tmp_path: Path) -> None:
    kept, said = run(tmp_path, "--quick")
    assert {path.name for path in kept.iterdir()} == {
        *("atlas.html", "components.csv", "evaluation.csv", "evaluation.png", "generated.csv", "logit_diff.csv"),
        *("logit_diff_two_stage.csv", "mixture", "pipeline.joblib", "regions.csv", "steering.csv", "subspace.png"),
        *("summary.txt", "top_concepts.csv", "top_tokens.csv"),
    }
    assert f"All of this is in {kept}\n" in said
    assert (kept / "subspace.png").read_bytes().startswith(PNG)
    assert "Steering" in (kept / "atlas.html").read_text(encoding="utf-8")
    assert said.rstrip().endswith(f"To browse the regions open {(kept / 'atlas.html').as_uri()}")
    summary = (kept / "summary.txt").read_text(encoding="utf-8")
    assert summary.strip() in said
    found = {(row["candidate"], row["measure"]): float(row["value"]) for row in read_csv(kept / "evaluation.csv")}
    for name, figures in candidates(summary).items():
        for measure, value in figures.items():
            digits = COLUMNS[measure][1]
            assert np.isnan(value) or value == pytest.approx(found[name, measure], abs=0.51 * 10.0**-digits)
    labels = joblib.load(kept / "pipeline.joblib").predict(["The river ran under the old bridge."])
    assert labels.ndim == 1 and len(labels) >= 7


@pytest.mark.slow
def test_the_demo_finds_what_the_documentation_shows(tmp_path: Path) -> None:
    kept, _ = run(tmp_path)
    now, then = (kept / "summary.txt").read_text(encoding="utf-8"), documented()
    found = candidates(now)
    for name, figures in candidates(then).items():
        for measure, value in figures.items():
            assert found[name][measure] == pytest.approx(value, abs=TOLERANCES[measure], nan_ok=True), (name, measure)
    check_claims(found)
    for name in STEERED:
        *shares, log_prob = entries(now, name)
        *earlier, log_prob_then = entries(then, name)
        assert shares == pytest.approx(earlier, abs=SHARE_TOLERANCE)
        assert log_prob == pytest.approx(log_prob_then, abs=LOG_PROB_TOLERANCE)
    check_steering(now)
    nats = [[float(x) for x in re.findall(r"(-[\d.]+) nats a held-out token; converged", text)] for text in (now, then)]
    assert len(nats[1]) == 2 and nats[0] == pytest.approx(nats[1], abs=NATS_TOLERANCE)
    regions = [re.findall(r"^   (\w+) +\d+ +\d\.\d{3} +\d\.\d{3} ", text, re.MULTILINE) for text in (now, then)]
    assert len(regions[1]) == 10 and len(set(regions[0]) & set(regions[1])) >= 6


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Fitted]:
    pytest.importorskip("transformer_lens")
    report = Report(tmp_path_factory.mktemp("demo"))
    return report, fit(report, quick=True)


def test_regions_stand_in_the_order_of_their_quality(fitted: tuple[Report, Fitted]) -> None:
    """AUROCs as scikit-learn has them, of the greatest log odds in each held-out sentence."""
    report, found = fitted
    shown = showcase(report, found)
    quality = list(zip(shown["auroc_near"].round(3), shown["llr"], strict=True))
    assert quality == sorted(quality, reverse=True)
    regions = concept_components(found.mfa, found.train)["component"]
    scores = np.asarray(as_candidate(found.mfa).detectors(found.test))
    texts, of_rows = np.unique(np.asarray(found.test.text_index), return_inverse=True)
    greatest = np.stack([scores[of_rows == text].max(0) for text in range(len(texts))])
    labels = concept_labels(found.test, found.words)
    with_it = {c: np.array([(labels[of_rows == text] == c).any() for text in range(len(texts))]) for c in shown.index}
    for concept, line in shown.iterrows():
        assert line["component"] == regions[concept]
        expected = roc_auc_score(with_it[concept], greatest[:, int(line["component"])])
        assert line["auroc"] == pytest.approx(expected)


def test_the_place_inside_is_that_of_a_token_that_says_much(fitted: tuple[Report, Fitted]) -> None:
    report, found = fitted
    component = int(showcase(report, found)["component"].iloc[0])
    token, place = place_inside(found, component)
    best = top_tokens(found.mfa, found.test, components=component)
    assert token in set(best["token"].str.strip())
    assert token.isalpha()
    rows = best["row"].to_numpy()
    scores = found.mfa.posterior_mean(found.test[rows], component)
    np.testing.assert_allclose(np.linalg.norm(place), np.linalg.norm(scores, axis=1).max())


def test_the_evaluation_holds_out_what_the_demo_does() -> None:
    """Else a fitted candidate would be measured on rows that it has seen."""

    class Remembers(BaseEstimator):
        """A clustering of one cluster that keeps the rows it was asked of."""

        asked: list[np.ndarray]

        def fit(self, X: Any) -> Remembers:
            self.asked, self.fitted_ = [], True
            return self

        def predict(self, X: Any) -> np.ndarray:
            self.asked.append(np.asarray(X)[:, 0])
            return np.zeros(len(X), dtype=int)

        def __sklearn_is_fitted__(self) -> bool:
            return True

    rng = np.random.default_rng(0)
    groups, X = rng.integers(0, 30, 200), np.column_stack([np.arange(200.0), rng.normal(size=200)])
    split, candidate = split_texts(groups, HELD_OUT, SEED), Remembers().fit(X)
    evaluate({"it": candidate}, X, groups % 2, groups=groups, test_size=HELD_OUT, random_state=SEED)
    np.testing.assert_array_equal(candidate.asked[0], split.test)


def test_without_the_packages_of_the_page_the_demo_goes_on(
    fitted: tuple[Report, Fitted], monkeypatch: pytest.MonkeyPatch
) -> None:
    report, found = fitted
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    browse(report, found)
    assert "pip install 'mfa-sklearn[atlas]'" in report.lines[-2]
    assert not (report.folder / "atlas.html").exists()


def test_tables_are_aligned(tmp_path: Path) -> None:
    report = Report(tmp_path)
    report.table(["a", "two\nlines", "text"], {"one": ["1.5", "2", "x"], "another": ["10.5", "3", "longer"]}, n_texts=1)
    assert report.lines == [
        "                      two",
        "                a   lines   text",
        "   one        1.5       2   x",
        "   another   10.5       3   longer",
    ]
