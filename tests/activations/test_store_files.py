"""Files of a store that were lost, exchanged or changed: refused by name where they are read, and found by verify."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_stores import TEXTS, token_rows, two_layers, written

from mfa_sklearn import ActivationStore
from mfa_sklearn.activations._store_manifest import OWN

LAYER, IDS, TEXTS_FILE = "shard-00001.layer-7.npy", "shard-00001.token_ids.npy", "shard-00001.texts.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole")
    written(path, two_layers, [2, 7])
    return path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def without_sizes(folder: Path) -> None:
    """As earlier versions wrote it, so that damage of the same size or another has to be found in the file itself."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest[OWN]
    for shard in manifest["shards"]:
        del shard["files"]
    path.write_text(json.dumps(manifest))


def read_all(folder: Path) -> None:
    store = ActivationStore(folder)
    rows = store.load(7)
    assert len(rows) and store.texts[len(TEXTS) - 1] == TEXTS[-1]


def saved(values: object) -> Callable[[Path], None]:
    return lambda path: np.save(path, np.asarray(values), allow_pickle=True)


def wrote(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


DAMAGE = {
    "a layer missing": (LAYER, Path.unlink),
    "a layer empty": (LAYER, wrote(b"")),
    "a layer cut": (LAYER, lambda path: path.write_bytes(path.read_bytes()[:-7])),
    "a layer of other things": (LAYER, wrote(b"\x93NUMPY nonsense" * 40)),
    "a layer whose head never ends": (LAYER, lambda path: path.write_bytes(path.read_bytes().replace(b"}", b"y", 1))),
    "a layer of fewer rows": (LAYER, lambda path: np.save(path, np.load(path)[:-1])),
    "a layer of other columns": (LAYER, lambda path: np.save(path, np.load(path)[:, :-1])),
    "a layer in another precision": (LAYER, lambda path: np.save(path, np.load(path).astype(np.float32))),
    "a layer of objects": (LAYER, saved(np.array([{}], dtype=object))),
    "a layer that is a folder": (LAYER, lambda path: (path.unlink(), path.mkdir())),
    "ids missing": (IDS, Path.unlink),
    "ids of fewer rows": (IDS, lambda path: np.save(path, np.load(path)[:-1])),
    "ids of text": (IDS, lambda path: np.save(path, np.load(path).astype(str))),
    "ids that have no string": (IDS, lambda path: np.save(path, np.load(path) + 1000)),
    "ids between those that have": (IDS, lambda path: np.save(path, np.load(path) * 0 - 5)),
    "strings missing": ("shard-00001.vocabulary.npy", Path.unlink),
    "strings of fewer ids": ("shard-00001.vocabulary.npy", lambda path: np.save(path, np.load(path)[:-1])),
    "numbers for strings": ("shard-00001.vocabulary.npy", lambda path: np.save(path, np.arange(9))),
    "numbers of other texts": ("shard-00001.text_index.npy", lambda path: np.save(path, np.load(path) - 7)),
    "labels of fewer rows": ("shard-00001.labels.npy", lambda path: np.save(path, np.load(path)[:-1])),
    "texts missing": (TEXTS_FILE, Path.unlink),
    "texts cut": (TEXTS_FILE, lambda path: path.write_bytes(path.read_bytes()[:-3])),
    "fewer texts": (TEXTS_FILE, wrote(b'["only one"]')),
    "texts that are numbers": (TEXTS_FILE, wrote(b"[1, 2, 3, 4, 5, 6, 7]")),
    "texts that are an object": (TEXTS_FILE, wrote(b'{"a": 1}')),
    "texts in another encoding": (TEXTS_FILE, wrote('["é"]'.encode("latin-1"))),
    "texts nested deeply": (TEXTS_FILE, wrote(b"[" * 100_000)),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("sizes", [True, False])
def test_damaged_files_are_refused_by_name(
    folder: Path, name: str, damage: Callable[[Path], object], sizes: bool
) -> None:
    if not sizes:
        without_sizes(folder)
    read_all(folder)
    damage(folder / name)
    with pytest.raises(ValueError, match=r"/store/shard-00001\.[a-z_0-9.-]*' cannot be read .*extract again"):
        read_all(folder)


@pytest.mark.parametrize("name", [LAYER, IDS, TEXTS_FILE, "shard-00001.vocabulary.npy"])
def test_links_out_of_the_folder_are_not_followed(folder: Path, name: str) -> None:
    outside = folder.parent / name
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    with pytest.raises(ValueError, match=rf"{name}' cannot be read \(it is a link or no file"):
        read_all(folder)


def test_a_lost_part_is_told_before_any_is_read(folder: Path) -> None:
    store = ActivationStore(folder)
    (folder / LAYER).unlink()
    with pytest.raises(ValueError, match=LAYER):
        store.open(7)
    assert store.open(2)[:3].shape[0] == 3


def test_verify_counts_what_is_as_it_was(folder: Path) -> None:
    store = ActivationStore(folder)
    assert store.verify() == len([path for path in folder.iterdir() if path.name != "manifest.json"])


def test_every_changed_byte_is_found(tmp_path: Path) -> None:
    store = written(tmp_path, token_rows, [7])
    rng = np.random.default_rng(0)
    for path in sorted(tmp_path.glob("shard-00002.*")):
        whole = path.read_bytes()
        for place in {0, len(whole) - 1, *rng.integers(len(whole), size=4).tolist()}:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :])
            with pytest.raises(ValueError, match=rf"is damaged: {path.name}: its checksum is another; restore it"):
                store.verify()
        path.write_bytes(whole)
    assert store.verify()


def test_all_that_is_wrong_is_counted(folder: Path) -> None:
    store = ActivationStore(folder)
    for path in folder.glob("*.layer-7.npy"):
        path.unlink()
    with pytest.raises(ValueError, match=r"shard-00000\.layer-7\.npy: .*No such file.* and 2 more; restore"):
        store.verify()


def test_verify_of_stores_without_checksums_and_of_others(folder: Path) -> None:
    store = ActivationStore(folder)
    without_sizes(folder)
    with pytest.raises(ValueError, match=r"is another store by now: open it again"):
        store.verify()
    with pytest.raises(ValueError, match=r"has no checksums, an earlier version wrote it: extract again"):
        ActivationStore(folder).verify()


def test_a_whole_store_that_was_moved_behind_a_link_is_read(folder: Path) -> None:
    folder.rename(folder.parent / "moved")
    folder.symlink_to(folder.parent / "moved")
    read_all(folder)
    assert ActivationStore(folder).verify()
