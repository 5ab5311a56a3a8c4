"""JSON of any kind of damage, and checksums."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from mfa_sklearn._base.stored import OWN, DigestedFile, check_unchanged, file_entry, own_digest, parse_json, with_digest


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1,]",
        b"\xff\xfe\x00",
        b"\x80abc",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"NaN",
        b'{"a": -Infinity}',
        b"1" * 5000,
    ],
)
def test_damage_of_any_kind_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(content)


def test_sound_json() -> None:
    assert parse_json('{"a": [1, 2.5, null, true, "ä"]}'.encode()) == {"a": [1, 2.5, None, True, "ä"]}


def test_a_description_that_was_changed_is_noticed(tmp_path: Path) -> None:
    content = {"b": [1, 2.5e-300], "a": {"x": "ü", "y": None}}
    whole = content | {OWN: own_digest(content)}
    check_unchanged(tmp_path, parse_json(json.dumps(whole, indent=2).encode()))
    check_unchanged(tmp_path, content)
    assert parse_json(with_digest(content)) == parse_json(with_digest(whole)) == whole
    with pytest.raises(ValueError, match=r"was changed after it was written.*remove its entry 'sha256'"):
        check_unchanged(tmp_path, whole | {"b": [1, 2.6e-300]})


def test_sizes_and_checksums_of_what_is_written(tmp_path: Path) -> None:
    for values in (np.arange(1000.0).reshape(10, 100).T, np.empty((0, 3)), np.array(["a", "bc"])):
        with (tmp_path / "a.npy").open("wb") as file:
            digested = DigestedFile(file)
            np.save(digested, values)
        content = (tmp_path / "a.npy").read_bytes()
        assert digested.entry == file_entry(tmp_path / "a.npy")
        assert digested.entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values)
