"""Data of made-up atlases: for the page's tests, of any size, with strings that try to do harm."""

from __future__ import annotations

from typing import Any

import numpy as np

HOSTILE = [
    "<script>window.harmed = 1</script>",
    "</script><img src=x onerror='window.harmed = 1'>",
    '"><svg onload="window.harmed = 1">',
    "<!-- <script>",
    "{{ 7 * 7 }} ${7 * 7} `x`",
    " \u202egnp.exe",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "zero\u200bwidth\ufeff\u2066",
    "half \ud83d",
    "line\u2028end\u2029\n\t\x00",
    "javascript:window.harmed=1",
    "=1+1",
    "&lt;b&gt;&amp;",
    "\U0001f469\u200d\U0001f52c e\u0301",
]
_SYLLABLES = ("ka", "ro", "mi", "tu", "sel", "an", "dor", "vi", "pe", "lo", "gra", "nes", "ti", "bur", "sha", "o")


def words(count: int, rng: np.random.Generator) -> list[str]:
    """Words that nobody knows, each with the blank in front of it."""
    made = ["".join(rng.choice(_SYLLABLES, size=rng.integers(2, 5))) for _ in range(count)]
    return [f" {word}" for word in made]


def atlas_case(
    n_regions: int = 12,
    *,
    seed: int = 0,
    texts: bool = True,
    mixtures: int = 1,
    hostile: bool = False,
    n_contexts: int = 6,
    n_points: int = 60,
) -> dict[str, Any]:
    """The data of an atlas as `atlas_data` returns it, of rows that were never there.

    Without `texts` it is that of a table of numbers: no tokens, no contexts, no concepts. Two `mixtures` are matched
    but for their last regions.
    """
    rng = np.random.default_rng(seed)
    made = [_mixture(rng, f"seed {i}", n_regions, texts, hostile, n_contexts, n_points) for i in range(mixtures)]
    pairs = [
        {"first": k, "second": k, "shared": 40 + k, "jaccard": round(1 / (k + 1.2), 3)} for k in range(n_regions - 1)
    ]
    return {
        "format": "mfa-sklearn atlas",
        "version": 1,
        "title": HOSTILE[1] + HOSTILE[8] if hostile else "Made-up regions",
        "made_with": "mfa-sklearn 0.1.0",
        "mixtures": made,
        "matches": pairs if mixtures == 2 else None,
    }


def _mixture(
    rng: np.random.Generator, name: str, n_regions: int, texts: bool, hostile: bool, n_contexts: int, n_points: int
) -> dict[str, Any]:
    strings = words(30 + 3 * n_regions, rng) if texts else [f"higher column {i}" for i in range(8)]
    concepts = [f"concept {i}" for i in range(9)] if texts else []
    if hostile:
        strings[: len(HOSTILE)], name = HOSTILE, f"{name} {HOSTILE[0]}"
        concepts[: len(HOSTILE)] = HOSTILE[: len(concepts)]
    sizes = np.maximum(1, rng.pareto(1.5, n_regions) * 200).astype(int)
    places = rng.normal(size=(n_regions, 2))
    regions = []
    for k in range(n_regions):
        region = _region(rng, k, n_regions, int(sizes[k]), places[k], float(sizes[k] / sizes.sum()))
        region |= _figures(rng, n_points, len(strings), len(concepts))
        region |= _meaning(rng, k, strings, concepts, n_contexts) if texts else _columns(strings, k)
        regions.append(region)
    return {
        "name": name,
        "source": {"model": "made up", "layer": 3} if texts else None,
        "n_components": n_regions,
        "n_factors": 2,
        "n_features": 8,
        "n_rows": int(sizes.sum()),
        "noise": "shared",
        "log_likelihood": -12.345,
        "row_noun": "token" if texts else "row",
        "strings": strings,
        "concepts": concepts,
        "n_clusters": 5,
        "scale": None if texts else "columns",
        "regions": regions,
    }


def _region(
    rng: np.random.Generator, k: int, n_regions: int, size: int, place: np.ndarray, weight: float
) -> dict[str, Any]:
    near = [(k + step) % n_regions for step in range(1, min(n_regions, 6))]
    return {
        "component": k,
        "weight": round(weight, 5),
        "size": size,
        "sharpness": round(float(rng.uniform(0.6, 1)), 3),
        "spread": round(float(rng.uniform(5, 50)), 2),
        "dimension": round(float(rng.uniform(2, 8)), 2),
        "factors_90": 2,
        "x": round(float(place[0]), 3),
        "y": round(float(place[1]), 3),
        "cluster": k % 5,
        "typical": [3 * k, 3 * k + 1],
        "outlying": [3 * k + 2],
        "neighbors": [
            {
                "component": other,
                "distance": 1.5 * i + 1,
                "mean": 1.0 * i,
                "covariance": 0.5 * i + 1,
                "overlap": 0.2 / i,
            }
            for i, other in enumerate(near, start=1)
        ],
    }


def _figures(rng: np.random.Generator, n_points: int, n_strings: int, n_concepts: int) -> dict[str, Any]:
    own, others = rng.normal(-20, 4, 200), rng.normal(-60, 12, 300)
    low, high = float(others.min()), float(own.max())
    bins = np.linspace(low, high, 31)
    points = np.clip(rng.normal(500, 170, (2, n_points)), 0, 1000).astype(int)
    known = n_concepts > 0
    return {
        "histogram": {
            "low": round(low, 2),
            "high": round(high, 2),
            "own": np.histogram(own, bins)[0].tolist(),
            "others": np.histogram(others, bins)[0].tolist(),
        },
        "scatter": {
            "axes": [{"axis": 0, "share": 0.7}, {"axis": 1, "share": 0.3}],
            "x": points[0].tolist(),
            "y": points[1].tolist(),
            "x_range": [-3.1, 2.9],
            "y_range": [-2.8, 3.3],
            "token": rng.integers(0, n_strings, n_points).tolist() if known else [],
            "concept": rng.integers(-1, n_concepts, n_points).tolist() if known else [],
            "row": list(range(n_points)),
        },
    }


def _meaning(
    rng: np.random.Generator, k: int, strings: list[str], concepts: list[str], n_contexts: int
) -> dict[str, Any]:
    chosen = [(3 * k + i) % len(strings) for i in range(6)]
    contexts = [_context(rng, kind, i, len(strings), chosen[0]) for i, kind in enumerate(_kinds(n_contexts))]
    first = k % len(concepts)
    return {
        "label": " · ".join(strings[i].strip() for i in chosen[:3]),
        "purity": round(float(rng.uniform(0.2, 1)), 3),
        "n_enriched": 1,
        "concept": first,
        "tokens": [{"token": i, "count": 9, "total": 12, "lift": 8.25, "llr": 20.5} for i in chosen],
        "concepts": [
            {"concept": first, "count": 20, "share": 0.5, "lift": 4.5, "q_value": 1e-7},
            {"concept": (first + 1) % len(concepts), "count": 4, "share": 0.1, "lift": 1.1, "q_value": 0.4},
        ],
        "contexts": contexts,
        "ends": [
            {"axis": 0, "share": 0.7, "low": chosen[:2], "high": chosen[2:4]},
            {"axis": 1, "share": 0.3, "low": chosen[4:5], "high": chosen[5:]},
        ],
        "steering": {
            "method": "centroid",
            "strength": 0.6,
            "promoted": [{"token": i, "change": 2.5} for i in chosen[:3]],
            "demoted": [{"token": i, "change": -1.25} for i in chosen[3:]],
        },
    }


def _kinds(count: int) -> list[str]:
    return [("typical", "token", "outlying")[3 * i // max(1, count)] for i in range(count)]


def _context(rng: np.random.Generator, kind: str, row: int, n_strings: int, token: int) -> dict[str, Any]:
    length = 20
    pieces = rng.integers(0, n_strings, length).tolist()
    pieces[7] = token
    return {
        "kinds": ["typical", "token"] if kind == "typical" and not row else [kind],
        "row": row,
        "text": row // 3,
        "concept": None,
        "log_density": -20.5,
        "at": 7,
        "tokens": pieces,
        "responsibility": [-1, *rng.integers(0, 101, length - 1).tolist()],
        "score": [-1, *rng.integers(0, 101, length - 1).tolist()],
    }


def _columns(strings: list[str], k: int) -> dict[str, Any]:
    return {
        "label": strings[k % len(strings)],
        "purity": None,
        "n_enriched": None,
        "concept": None,
        "tokens": [],
        "concepts": [],
        "contexts": [],
        "ends": [{"axis": 0, "share": 0.7, "low": [0], "high": [1]}, {"axis": 1, "share": 0.3, "low": [2], "high": []}],
        "steering": None,
    }
