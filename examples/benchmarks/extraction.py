"""What extraction costs besides the model: tokens per second of `extract_to` beside the bare forward pass.

    python examples/benchmarks/extraction.py              # three models: several minutes
    python examples/benchmarks/extraction.py --quick      # a few texts: a minute or two

The texts are paragraphs of docstrings of installed packages. The bare forward pass runs the same model, as the same
backend loads it and with the same hooks in it, over the same batches up to the same layer, from token ids that are
there already, and throws its activations away. Extraction reads the texts, makes tokens and facts of them, runs the
same batches, and writes a store with checksums, on disk.

The two run in turn, each first in every other pair, after a pair that warms up. Shares are medians over the pairs, of
the seconds of the bare pass to those of the extraction: in wall time, which is what a user waits, and in processor
time of the process, all its threads together, which other work on the machine changes less. Tokens per second are of
medians, too. Extraction makes tokens and writes in threads beside the model's, so its wall time needs a processor more
than `--threads`. The encoder is the pretrained one of `examples/real_encoder.py`. GPT-2 is the small one (12 layers of
width 768) with random weights, which take as long as trained ones, and a tokenizer of 20,000 tokens trained on the
texts.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mfa_sklearn import ActivationExtractor, datasets
from mfa_sklearn._base.turns import running
from mfa_sklearn.activations._forward import run_batches
from mfa_sklearn.activations._tokenize import tokenize

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from real_encoder import MODEL as ENCODER

BACKENDS = ("transformer_lens", "transformers")
PACKAGES = ("sklearn", "scipy", "numpy", "pandas")
LAYERS = {"tiny": 1, "encoder": 3, "gpt2": 5}


def paragraphs(n_texts: int, least: int = 80) -> list[str]:
    """So many paragraphs of docstrings."""
    found: list[str] = []
    for name in PACKAGES:
        for path in sorted(Path(importlib.import_module(name).__file__ or "").parent.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    parts = (" ".join(part.split()) for part in (ast.get_docstring(node) or "").split("\n\n"))
                    found += [part for part in parts if len(part) >= least]
            if len(found) >= n_texts:
                return found[:n_texts]
    return found


def save_gpt2(folder: Path, texts: Sequence[str]) -> Path:
    """A GPT-2 small with random weights."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    core, end = Tokenizer(models.BPE()), "<|endoftext|>"
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=20_000, special_tokens=[end], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    special = {"bos_token": end, "eos_token": end, "pad_token": end}
    PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=1024, **special).save_pretrained(folder)
    GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0)).save_pretrained(folder)
    return folder


def seconds(run: Callable[[], Any]) -> np.ndarray:
    """Wall time and processor time of a run."""
    begun = time.perf_counter(), time.process_time()
    run()
    return np.array([time.perf_counter(), time.process_time()]) - begun


class Pair:
    """A bare pass and an extraction of the same batches."""

    def __init__(self, directory: Path, layer: int, backend: str, texts: list[str], asked: argparse.Namespace) -> None:
        self.texts, self.options = texts, {"batch_size": asked.batch_size, "batch_tokens": asked.batch_tokens}
        self.shard_size = asked.shard_size
        self.extractor = ActivationExtractor(directory, layer, backend=backend, device="cpu", **self.options)
        self.model, self.hook = self.extractor.load(), f"blocks.{layer}.hook_resid_post"
        ids = [sequence.ids for sequence in tokenize(self.model, texts, quiet=True)]
        self.n_tokens = sum(map(len, ids))
        self.shards = [ids[start : start + self.shard_size] for start in range(0, len(ids), self.shard_size)]

    def bare(self) -> None:
        """Every batch of every shard, up to the hook point."""
        with running(self.model):
            for ids in self.shards:
                for _ in run_batches(self.model, ids, [self.hook], **self.options):
                    pass

    def extraction(self) -> None:
        """A store of the texts, deleted again (which takes next to no time)."""
        with tempfile.TemporaryDirectory() as folder:
            self.extractor.extract_to(Path(folder) / "store", self.texts, shard_size=self.shard_size)

    def measured(self, repeat: int) -> np.ndarray:
        """Seconds, (repeat, 2, 2): pairs; bare, extraction; wall, processor."""
        runs, pairs = (self.bare, self.extraction), []
        for number in range(repeat + 1):
            order = (0, 1) if number % 2 else (1, 0)
            found = {side: seconds(runs[side]) for side in order}
            pairs.append([found[0], found[1]])
        return np.array(pairs[1:])


def line(pair: Pair, repeat: int) -> dict[str, Any]:
    """A line of the table."""
    found = pair.measured(repeat)
    middle, shares = np.median(found, axis=0), np.median(found[:, 0] / found[:, 1], axis=0)
    line: dict[str, Any] = {"tokens": pair.n_tokens}
    for kind, name in enumerate(("wall", "CPU")):
        line |= {f"bare, tokens/s {name}": pair.n_tokens / middle[0, kind]}
        line |= {f"extract_to, tokens/s {name}": pair.n_tokens / middle[1, kind], f"share {name}": shares[kind]}
    return line


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--models", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    add("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    add("--texts", type=int, help="3,000 by default, 600 with --quick; the larger models get a tenth")
    add("--batch-size", type=int, default=32)
    add("--batch-tokens", type=int)
    add("--shard-size", type=int, help="a third of the texts of each model by default")
    add("--repeat", type=int, help="pairs of runs; 7 by default, 3 with --quick")
    add("--threads", type=int, default=1, help="of the model")
    add("--quick", action="store_true", help="fewer texts and runs")
    asked = parser.parse_args(arguments)
    asked.texts = asked.texts or (600 if asked.quick else 3000)
    asked.repeat = asked.repeat or (3 if asked.quick else 7)
    return asked


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Measure and print."""
    asked = parsed(arguments)
    torch.set_num_threads(asked.threads)
    texts, lines = paragraphs(asked.texts), []
    size, places = asked.shard_size, {"tiny": datasets.tiny_lm, "encoder": lambda: ENCODER}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that texts are cut, in both alike
        for name in asked.models:
            some = texts if name == "tiny" else texts[: len(texts) // 10]
            directory = places[name]() if name in places else save_gpt2(Path(folder), texts)
            for backend in asked.backends:
                asked.shard_size = size or -(-len(some) // 3)
                pair = Pair(directory, LAYERS[name], backend, some, asked)
                lines.append({"model": name, "layer": LAYERS[name], "backend": backend, **line(pair, asked.repeat)})
                print(pd.Series(lines[-1]).to_dict(), flush=True)
    table = pd.DataFrame(lines)
    print(table.to_string(index=False, float_format="{:,.2f}".format))
    return table


if __name__ == "__main__":
    main()
