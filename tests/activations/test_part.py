"""Which part a process does: as told, as torchrun or a job array says, or all."""

from __future__ import annotations

from typing import Any

import pytest

from mfa_sklearn.activations._part import ALL, Part, as_part

TASK = "SLURM_ARRAY_TASK_"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ALL),
        ({"RANK": "0", "WORLD_SIZE": "1"}, ALL),
        ({"RANK": "3"}, ALL),
        ({"RANK": "3", "WORLD_SIZE": "4"}, Part(3, 4)),
        ({f"{TASK}ID": "0", f"{TASK}COUNT": "4", f"{TASK}MIN": "0"}, Part(0, 4)),
        ({f"{TASK}ID": "5", f"{TASK}COUNT": "4", f"{TASK}MIN": "2"}, Part(3, 4)),
        ({f"{TASK}ID": "9", f"{TASK}COUNT": "3", f"{TASK}MIN": "1", f"{TASK}STEP": "4"}, Part(2, 3)),
        ({f"{TASK}ID": "1", f"{TASK}COUNT": "2", "RANK": "3", "WORLD_SIZE": "4"}, Part(7, 8)),
    ],
)
def test_what_launched_the_process_says(environment: dict[str, str], expected: Part) -> None:
    assert as_part("auto", environment) == expected
    assert as_part(None, environment) == ALL


@pytest.mark.parametrize(
    ("environment", "match"),
    [
        (
            {f"{TASK}ID": "9", f"{TASK}COUNT": "3", f"{TASK}MIN": "1"},
            r"SLURM_ARRAY_TASK_ID=9 is none of .* without gaps",
        ),
        ({f"{TASK}ID": "4", f"{TASK}COUNT": "3", f"{TASK}MIN": "1", f"{TASK}STEP": "2"}, "in steps of 2"),
        ({"RANK": "4", "WORLD_SIZE": "4"}, "RANK=4 is none of WORLD_SIZE=4"),
        ({"RANK": "one", "WORLD_SIZE": "4"}, "RANK='one' of the environment is no whole number"),
    ],
)
def test_environments_that_make_no_sense(environment: dict[str, str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        as_part("auto", environment)


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        ((4, 4), ValueError, r"parts are counted from 0, so those of 4 are \(0, 4\) to \(3, 4\)"),
        ((0, 0), ValueError, r"part\[1\]=0 must be at least 1"),
        ((-1, 4), ValueError, r"part\[0\]=-1 must be at least 0"),
        ((0.5, 4), TypeError, "must be an integer"),
        ("1/4", TypeError, "part='1/4' must be None, 'auto' or two numbers"),
        (3, TypeError, "part=3 must be None"),
    ],
)
def test_parts_that_are_none(value: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        as_part(value)


@pytest.mark.parametrize("total", [1, 2, 5])
def test_every_shard_has_one_part(total: int) -> None:
    for shard in range(12):
        assert sum(Part(i, total).takes(shard) for i in range(total)) == 1
