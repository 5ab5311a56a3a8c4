"""The same activations and facts, written as other programs would in each format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

N_ROWS, WIDTH = 30, 5
CUTS = (0, 7, 7, 19, N_ROWS)
VALUES = np.random.default_rng(0).standard_normal((N_ROWS, WIDTH)).astype(np.float32)
FACTS: dict[str, np.ndarray] = {
    "token_ids": np.arange(N_ROWS) % 9,
    "positions": np.arange(N_ROWS),
    "labels": np.arange(N_ROWS) // 10,
}
FORMATS = ("npy", "safetensors", "pt", "parquet", "parquet of features")


class Tokenizer:
    """Stands for one of transformers."""

    def decode(self, ids: Any, **options: Any) -> str:
        return "".join(f" t{number}" for number in ids)

    def convert_ids_to_tokens(self, ids: Any) -> list[str]:
        return [f"t{number}" for number in ids]


def write(folder: Path, kind: str, values: np.ndarray, name: str = "part", **facts: np.ndarray) -> Path:
    """One file of rows with their facts; of ``.npy`` several."""
    folder.mkdir(exist_ok=True)
    if kind == "npy":
        for fact, entries in facts.items():
            np.save(folder / f"{name}.{fact}.npy", entries)
        np.save(folder / f"{name}.npy", values)
        return folder / f"{name}.npy"
    path = folder / f"{name}.{kind.split()[0]}"
    tensors = {"activations": torch.from_numpy(values), **{n: torch.from_numpy(f.copy()) for n, f in facts.items()}}
    if kind == "safetensors":
        save_file({n: t.contiguous() for n, t in tensors.items()}, path)
    elif kind == "pt":
        torch.save(tensors, path)
    else:
        write_parquet(path, values, features="features" in kind, **facts)
    return path


def write_parquet(path: Path, values: np.ndarray, features: bool = False, group: int = 4, **facts: Any) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {name: pa.array(list(fact)) for name, fact in facts.items()}
    if features:
        columns |= {f"f{i}": pa.array(values[:, i]) for i in range(values.shape[1])}
    else:
        flat = pa.array(values.reshape(-1))
        columns["activations"] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    pq.write_table(pa.table(columns), path, row_group_size=group)


def shards(folder: Path, kind: str, names: tuple[str, ...] = ("part1", "part2", "part9", "part10")) -> Path:
    """A folder of several files, one of them without rows, whose names are not in the order of an alphabet."""
    for name, start, stop in zip(names, CUTS, CUTS[1:], strict=False):
        write(folder, kind, VALUES[start:stop], name, **{n: f[start:stop] for n, f in FACTS.items()})
    return folder
