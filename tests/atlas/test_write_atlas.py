"""The page and the files beside it: whole or not at all, and what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atlas_data_cases import known_mixture, rows_of_texts
from cli_cases import read_csv

from mfa_sklearn import MFA, ActivationArray, write_atlas
from mfa_sklearn.atlas import _write_atlas as module
from mfa_sklearn.atlas import atlas_data

pytest.importorskip("jinja2")
pytest.importorskip("vl_convert")


@pytest.fixture(scope="module")
def mfa() -> MFA:
    return known_mixture()


@pytest.fixture(scope="module")
def rows(mfa: MFA) -> ActivationArray:
    return rows_of_texts(mfa)


def test_one_seed_gives_the_same_page(mfa: MFA, rows: ActivationArray, tmp_path: Path) -> None:
    first = write_atlas(mfa, rows, tmp_path / "a.html", title="Rivers")
    second = write_atlas(mfa, rows, str(tmp_path / "b.html"), title="Rivers")
    assert first.read_bytes() == second.read_bytes() and b"Rivers" in first.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_data_beside_the_page(mfa: MFA, rows: ActivationArray, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    for _ in range(2):  # an earlier atlas is replaced
        write_atlas(mfa, rows, tmp_path / "a.html", against=known_mixture(seed=3), data_folder=folder)
    data = atlas_data(mfa, rows, against=known_mixture(seed=3))
    head = json.loads((folder / "atlas.json").read_text(encoding="utf-8"))
    assert head == {**data, "mixtures": ["mixture-1.json", "mixture-2.json"]}
    read = [json.loads((folder / name).read_text(encoding="utf-8")) for name in head["mixtures"]]
    assert read == data["mixtures"]
    names = {path.name for path in folder.iterdir()}
    tables = {f"{name}-{n}.csv" for name in ("regions", "tokens", "concepts", "neighbors") for n in (1, 2)}
    assert names == {"atlas.json", *head["mixtures"], "matches.csv", *tables}
    assert len(read_csv(folder / "matches.csv")) == len(data["matches"] or [])
    write_atlas(mfa, rows, tmp_path / "a.html", data_folder=folder)
    assert {path.name for path in folder.iterdir()} == {name for name in names if "2." not in name} - {"matches.csv"}


def test_tables_say_what_the_regions_do(mfa: MFA, rows: ActivationArray, tmp_path: Path) -> None:
    write_atlas(mfa, rows, tmp_path / "a.html", data_folder=tmp_path / "data")
    told = atlas_data(mfa, rows)["mixtures"][0]
    regions, tokens = read_csv(tmp_path / "data" / "regions-1.csv"), read_csv(tmp_path / "data" / "tokens-1.csv")
    for line, region in zip(regions, told["regions"], strict=True):
        assert (line["label"], int(line["size"])) == (region["label"], region["size"])
        assert line["concept"] == ("" if region["concept"] is None else told["concepts"][region["concept"]])
    expected = [(r["component"], told["strings"][t["token"]], t["count"]) for r in told["regions"] for t in r["tokens"]]
    assert [(int(line["component"]), line["token"], int(line["count"])) for line in tokens] == expected
    near = read_csv(tmp_path / "data" / "neighbors-1.csv")[0]
    first = told["regions"][0]["neighbors"][0]
    assert (int(near["component"]), int(near["neighbor"])) == (0, first["component"])


def test_progress_and_size_are_said(
    mfa: MFA, rows: ActivationArray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_atlas(mfa, rows, tmp_path / "a.html", verbose=True)
    assert capsys.readouterr().out.splitlines()[-1].endswith("a.html: 4 regions, 1.0 MB")


def test_what_is_refused_before_any_work(
    mfa: MFA, rows: ActivationArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("work was spent on bad input")

    monkeypatch.setattr(module, "atlas_data", refuse)
    (tmp_path / "there.html").write_text("old")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "atlas.json").write_text("[]")
    good = tmp_path / "a.html"
    for path, arguments, error, said in (
        (tmp_path / "a.txt", {}, ValueError, "must end in .html"),
        (tmp_path / "missing" / "a.html", {}, ValueError, "there is no folder"),
        (tmp_path, {}, ValueError, "must end in"),
        (5, {}, TypeError, "path=5 must be a path"),
        (tmp_path / "there.html", {"overwrite": False}, FileExistsError, "it exists"),
        (good, {"data_folder": tmp_path / "full"}, FileExistsError, "it holds other things"),
        (good, {"data_folder": tmp_path / "other"}, FileExistsError, "is no atlas"),
        (good, {"data_folder": tmp_path / "there.html"}, FileExistsError, "it is a file"),
        (good, {"overwrite": "yes"}, TypeError, "overwrite='yes'"),
    ):
        with pytest.raises(error, match=said):
            write_atlas(mfa, rows, path, **arguments)
    assert (tmp_path / "there.html").read_text() == "old" and not good.exists()


def test_an_old_page_stays_where_a_new_one_fails(
    mfa: MFA, rows: ActivationArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> str:
        raise MemoryError

    (tmp_path / "a.html").write_text("old")
    monkeypatch.setattr(module, "render", fail)
    with pytest.raises(MemoryError):
        write_atlas(mfa, rows, tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("package", ["jinja2", "vl_convert"])
def test_what_is_missing_is_named_first(
    package: str, mfa: MFA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ImportError, match=rf"write_atlas needs {package}: pip install 'mfa-sklearn\[atlas\]'"):
        write_atlas(mfa, np.zeros((0, 5)), tmp_path / "a.html")


def test_tokens_that_could_do_harm_stay_text(mfa: MFA, tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(40, 5))
    page = write_atlas(mfa, X, tmp_path / "a.html", tokens=["</script><script>alert(1)</script>", "\u202ea"] * 20)
    assert "</script><script>alert" not in page.read_text(encoding="utf-8")
