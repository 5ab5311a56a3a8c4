"""Manifests that no run writes are refused by name, whatever is wrong with them; sound ones of any age are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_stores import token_rows, two_layers, written

from mfa_sklearn import ActivationStore
from mfa_sklearn._base.stored import OWN, own_digest
from mfa_sklearn.activations._store_manifest import cut_in, is_own, mark_of, shard_name

Damage = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole")
    written(path, two_layers, [2, 7])
    return path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path, dirs_exist_ok=True))


def rewrite(folder: Path, damage: Damage, own: str = "left out") -> None:
    """Damage a manifest; its own checksum is left out, as earlier versions did, made again, or left as it was."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    damage(manifest)
    if own != "kept":
        manifest.pop(OWN, None)
    if own == "made again":
        manifest[OWN] = own_digest(manifest)
    path.write_text(json.dumps(manifest))


def put(*places: Any, value: Any) -> Damage:
    def damage(manifest: dict[str, Any]) -> None:
        for place in places[:-1]:
            manifest = manifest[place]
        manifest[places[-1]] = value

    return damage


def drop(*places: Any) -> Damage:
    def damage(manifest: dict[str, Any]) -> None:
        for place in places[:-1]:
            manifest = manifest[place]
        del manifest[places[-1]]

    return damage


def older(manifest: dict[str, Any]) -> None:
    for shard in manifest["shards"]:
        del shard["files"]


ENTRIES = ["version", "key", "source", "layers", "dtype", "width", "n_texts", "shards"]
OF_PARTS = ["name", "rows", "texts", "facts"]
WRONG: dict[str, Damage] = {
    **{f"{name} missing": drop(name) for name in ENTRIES},
    **{f"{name} null": put(name, value=None) for name in ENTRIES},
    **{f"a part's {name} missing": drop("shards", 1, name) for name in OF_PARTS},
    **{f"a part's {name} null": put("shards", 1, name, value=None) for name in OF_PARTS},
    "version a truth value": put("version", value=True),
    "version zero": put("version", value=0),
    "layers a number": put("layers", value=2),
    "no layers": put("layers", value=[]),
    "a layer twice": put("layers", value=[2, 2]),
    "a layer too many": put("layers", value=[2, 7, 9]),
    "layers of text": put("layers", value=["2", "../7"]),
    "no hooks": drop("source", "hooks"),
    "a hook too few": put("source", "hooks", value=["blocks.2.hook_resid_post"]),
    "width negative": put("width", value=-3),
    "width zero": put("width", value=0),
    "width half": put("width", value=2),
    "width text": put("width", value="5"),
    "another dtype": put("dtype", value="float32"),
    "a dtype that is a list": put("dtype", value=["float16"]),
    "fewer texts": put("n_texts", value=8),
    "parts an object": put("shards", value={}),
    "a part that is null": put("shards", 1, value=None),
    "a part listed twice": lambda manifest: manifest["shards"].append(manifest["shards"][0]),
    "a part listed twice, as if of other texts": lambda manifest: manifest["shards"].__setitem__(
        1, manifest["shards"][0] | {"texts": [7, 14]}
    ),
    "a part left out": drop("shards", 1),
    "the first part left out": drop("shards", 0),
    "parts in another order": lambda manifest: manifest["shards"].reverse(),
    "rows negative": put("shards", 1, "rows", value=-5),
    "rows a fraction": put("shards", 1, "rows", value=3.0),
    "rows text": put("shards", 1, "rows", value="3"),
    "far too many rows": put("shards", 1, "rows", value=10**12),
    "fewer rows": put("shards", 1, "rows", value=1),
    "texts of one": put("shards", 1, "texts", value=[7]),
    "texts backwards": put("shards", 1, "texts", value=[14, 7]),
    "texts overlap": put("shards", 1, "texts", value=[6, 14]),
    "an unknown fact": put("shards", 1, "facts", value=["text_index", "../../etc/passwd"]),
    "a fact too few": put("shards", 1, "facts", value=["text_index"]),
    "a fact twice": put("shards", 1, "facts", value=["text_index", "text_index"]),
    "files null": put("shards", 1, "files", value=None),
    "a file too few": drop("shards", 1, "files", "layer-2.npy"),
    "a file without a checksum": drop("shards", 1, "files", "layer-2.npy", "sha256"),
    "a size that is text": put("shards", 1, "files", "layer-2.npy", "bytes", value="x"),
}


@pytest.mark.parametrize("damage", WRONG.values(), ids=WRONG.keys())
def test_what_no_run_writes_is_refused_by_name(folder: Path, damage: Damage) -> None:
    for own in ("left out", "made again", "kept"):
        whole = (folder / "manifest.json").read_bytes()
        rewrite(folder, damage, own)
        with pytest.raises(ValueError, match=r"manifest\.json|shard-"):
            store = ActivationStore(folder)
            store.load(2), store.texts[0]
        (folder / "manifest.json").write_bytes(whole)


OUTSIDE = ["../part", "/etc/part", "shard-00000/../../x", "..", "", "shard-00001\n", "shard-00001.layer-2", "shard-1"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_parts_elsewhere_are_not_read(folder: Path, name: str) -> None:
    rewrite(folder, put("shards", 1, "name", value=name), "made again")
    with pytest.raises(ValueError, match=r"manifest\.json' is damaged: of part 1, name="):
        ActivationStore(folder)


@pytest.mark.parametrize("own", ["left out", "made again", "kept"])
def test_stores_of_earlier_versions_are_read(folder: Path, own: str) -> None:
    expected = np.asarray(ActivationStore(folder)[7])
    if own == "kept":
        rewrite(folder, lambda _: None, own)
    else:
        rewrite(folder, older, own)
    np.testing.assert_array_equal(np.asarray(ActivationStore(folder)[7]), expected)


def test_a_fact_that_was_changed_is_noticed(folder: Path) -> None:
    rewrite(folder, put("source", "model", value="another"), "kept")
    with pytest.raises(ValueError, match=r"manifest\.json' was changed after it was written"):
        ActivationStore(folder)
    rewrite(folder, lambda _: None, "left out")
    assert ActivationStore(folder).source["model"] == "another"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_a_file_that_is_no_json(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest\.json' is damaged"):
        ActivationStore(folder)


@pytest.mark.parametrize("content", [b"[]", b"3", b"null", b"{}", b'{"format": "other"}', b'{"format": ["x"]}'])
def test_other_programs_manifests(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"manifest\.json' is not the manifest of an activation store"):
        ActivationStore(folder)


def test_a_manifest_elsewhere_is_not_read(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "manifest.json"
    (folder / "manifest.json").rename(elsewhere)
    (folder / "manifest.json").symlink_to(elsewhere)
    with pytest.raises(ValueError, match=r"manifest\.json' is a link, which is not followed"):
        ActivationStore(folder)


def test_any_value_in_any_place_is_read_right_or_refused(tmp_path: Path) -> None:
    """No other exception, no other rows: every entry gets values of every type in turn."""
    store = written(tmp_path, token_rows, [7])
    expected, texts, source = np.asarray(store[7]), list(store.texts), store.source
    whole = json.loads((tmp_path / "manifest.json").read_text())
    whole.pop(OWN)

    def places(content: Any, path: tuple[Any, ...] = ()) -> Any:
        items = (
            content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
        )
        for place, value in items:
            yield (*path, place)
            if len(path) < 3:
                yield from places(value, (*path, place))

    values = [None, True, -1, 0, 1, 2, 10**30, 1.5, "", "x", "/etc/passwd", [], [0], [None], {}, {"a": 1}]
    for path in places(whole):
        if (path[0] == "source" and path[1:] != ("hooks",)) or path == ("key",):
            continue  # facts that no part contradicts
        for value in values:
            manifest = json.loads(json.dumps(whole))
            put(*path, value=value)(manifest)
            (tmp_path / "manifest.json").write_text(json.dumps(manifest))
            try:
                found = ActivationStore(tmp_path)
                rows = found.load()
            except ValueError:
                continue
            n_rows = len(rows)
            np.testing.assert_array_equal(np.asarray(rows), expected[:n_rows], err_msg=f"{path}: {value!r}")
            assert list(found.texts) == texts[: len(found.texts)] and found.source == source
            assert n_rows == len(expected) or not found.complete


def test_names_of_a_stores_own_files() -> None:
    assert shard_name(3) == "shard-00003" and shard_name(123456, "b") == "shard-123456b"
    assert mark_of("shard-00003.layer-12.npy") == "" and mark_of("shard-00003b.texts.json") == "b"
    for name in (
        "shard-notes.npy",
        "shard-00003.notes.npy",
        "shard-00003.npy",
        "x-shard-00003.texts.json",
        "notes.txt",
    ):
        assert mark_of(name) is None and not is_own(name)
    assert is_own("manifest.json") and is_own("manifest.next.json")


def test_what_was_cut_is_summed_up(folder: Path) -> None:
    assert ActivationStore(folder).n_cut_tokens == 0 and "tokens cut" not in repr(ActivationStore(folder))
    rewrite(folder, lambda manifest: manifest["shards"][0].update(cut=[2, 1234]))
    store = ActivationStore(folder)
    assert cut_in(store.manifest) == (2, 1234) and ", 1,234 tokens cut" in repr(store)
    for wrong in ([1], [1, -2], "x"):
        rewrite(folder, lambda manifest, wrong=wrong: manifest["shards"][0].update(cut=wrong))
        with pytest.raises(ValueError, match=r"cut=.* must be two whole numbers"):
            ActivationStore(folder)
