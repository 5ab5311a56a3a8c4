"""What extraction costs besides the model: tokens per second of `extract_to` beside the bare forward pass.

    python examples/benchmarks/extraction.py              # the embedded model and a GPT-2: several minutes
    python examples/benchmarks/extraction.py --models tiny --texts 1000

The texts are paragraphs of docstrings of installed packages. The bare forward pass runs the same model over the same
batches up to the same layer, from token ids that are padded already, and throws its activations away. Extraction reads
the texts, makes tokens and facts of them, runs the same batches, and writes a store with checksums, on disk. The two
run in turn; the share is the median over pairs of runs of the seconds of the bare pass to those of the extraction, in
processor time of the process, all its threads together (so that other work on the machine matters less), and in wall
time. GPT-2 is the small one (12 layers of width 768) with random weights, which take as long as trained ones, and a
tokenizer of 20,000 tokens trained on the texts.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mfa_sklearn import ActivationExtractor, datasets, load_model
from mfa_sklearn.activations._forward import run_batches
from mfa_sklearn.activations._tokenize import tokenize

BACKENDS = ("transformer_lens", "transformers")
PACKAGES = ("sklearn", "scipy", "numpy", "pandas")
LAYERS = {"tiny": 1, "gpt2": 5}
SHARD = 1000


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


def bare_pass(model: Any, shards: list[list[np.ndarray]], hook: str, options: dict[str, Any]) -> None:
    """Every batch of every shard, up to the hook point."""
    for ids in shards:
        for _ in run_batches(model, ids, [hook], **options):
            pass


def seconds(run: Callable[[], Any]) -> np.ndarray:
    """Processor time and wall time of a run."""
    begun = time.process_time(), time.perf_counter()
    run()
    return np.array([time.process_time(), time.perf_counter()]) - begun


def measured(directory: Path, layer: int, backend: str, texts: list[str], asked: argparse.Namespace) -> dict[str, Any]:
    """A line of the table."""
    options = {"batch_size": asked.batch_size, "batch_tokens": asked.batch_tokens}
    extractor = ActivationExtractor(directory, layer, backend=backend, device="cpu", **options)
    model, hook = load_model(directory, "cpu", backend=backend), f"blocks.{layer}.hook_resid_post"
    ids = [sequence.ids for sequence in tokenize(model, texts, quiet=True)]
    shards = [ids[start : start + SHARD] for start in range(0, len(ids), SHARD)]
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(asked.repeat + 1):
            store = Path(folder) / str(number)
            extraction = seconds(lambda store=store: extractor.extract_to(store, texts, shard_size=SHARD))
            pairs.append((seconds(lambda: bare_pass(model, shards, hook, options)), extraction))
    bare, all_of_it = (np.median([pair[side] for pair in pairs[1:]], axis=0) for side in (0, 1))  # the first warms up
    n_tokens = sum(map(len, ids))
    shares = [statistics.median(float(pair[0][kind] / pair[1][kind]) for pair in pairs[1:]) for kind in (0, 1)]
    rates = {"bare, tokens/s": n_tokens / bare[0], "extract_to, tokens/s": n_tokens / all_of_it[0]}
    return {"tokens": n_tokens, **rates, "share": shares[0], "share, wall time": shares[1]}


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--texts", type=int, default=3000, help="GPT-2 gets a tenth")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batch-tokens", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    texts, lines = paragraphs(asked.texts), []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that texts are cut, in both alike
        for name in asked.models:
            some = texts if name == "tiny" else texts[: len(texts) // 10]
            directory = datasets.tiny_lm() if name == "tiny" else save_gpt2(Path(folder), texts)
            for backend in asked.backends:
                line = measured(directory, LAYERS[name], backend, some, asked)
                lines.append({"model": name, "layer": LAYERS[name], "backend": backend, **line})
    table = pd.DataFrame(lines)
    print(table.to_string(index=False, float_format="{:,.2f}".format))
    return table


if __name__ == "__main__":
    main()
