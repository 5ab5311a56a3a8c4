"""What a search calls its candidates, and how it passes on what their fits warn of and what goes wrong in them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .._base.checks import gathered_warnings, warn_user

# Letters of a structure: loadings common, noise shared by components, noise isotropic (C), or each the other (U).
STRUCTURES = tuple("".join(letters) for letters in itertools.product("UC", repeat=3))
# What fits of different sizes say differently though they mean the same: figures, and lists of them.
_FIGURES = re.compile(r"\[[^\]]*\](?: and \d+ more)?|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
# Candidates to name in one warning; `cv_results_` has all.
_MOST_NAMES = 12


class Fit(NamedTuple):
    """Which fit of a search is meant."""

    params: dict[str, Any]
    split: int | None = None  # of held-out rows; None for a fit to all rows

    @property
    def name(self) -> str:
        """Such as ``n_components=3, n_factors=2, structure CCU``."""
        sizes = [f"{name}={value!r}" for name, value in self.params.items() if name.startswith("n_")]
        return ", ".join([*sizes, *([f"structure {code(None, self.params)}"] if "noise" in self.params else [])])

    @property
    def rows(self) -> str:
        """Which rows it is of, as `cv_results_` calls the splits."""
        return "all rows" if self.split is None else f"split{self.split}"


class Complaint(NamedTuple):
    """What one fit warned of."""

    fit: Fit
    category: type[Warning]
    message: str


def structure(letters: str) -> dict[str, str]:
    """Settings of the estimator that a structure's letters stand for."""
    if letters not in STRUCTURES:
        raise ValueError(f"structures holds {letters!r}; a structure is one of {STRUCTURES}")
    return {
        "loading_type": "common" if letters[0] == "C" else "component",
        "noise": "shared" if letters[1] == "C" else "component",
        "noise_form": "isotropic" if letters[2] == "C" else "diagonal",
    }


def code(estimator: Any, params: dict[str, Any]) -> str:
    """The letters of a candidate's structure."""
    names = ("loading_type", "noise", "noise_form")
    loadings, noise, form = (params[name] if name in params else getattr(estimator, name) for name in names)
    return "".join("C" if tied else "U" for tied in (loadings == "common", noise == "shared", form == "isotropic"))


@contextmanager
def spoken_for(fit: Fit, random_state: Any, complaints: list[Complaint]) -> Iterator[None]:
    """Keep what a fit warns of, to be said at the end; an error says whose it is."""
    with gathered_warnings() as found:
        try:
            yield
        except Exception as error:
            _name_error(error, f"in MFASearch, at {fit.name}, {fit.rows}{_seed(random_state)}")
            raise
    complaints.extend(Complaint(fit, category, message) for category, message in found)


def _name_error(error: Exception, where: str) -> None:
    """Add to an error's own words where it happened; its type and what it was raised from stay."""
    if error.args and isinstance(error.args[0], str):
        error.args = (f"{error.args[0]} ({where})", *error.args[1:])
    else:
        error.add_note(where)


def warn_of(complaints: Sequence[Complaint], n_fits: int, n_splits: int, random_state: Any) -> None:
    """One warning for all fits that say the same, whatever their figures, with the candidates' names.

    The words of the first come first, so that filters of warnings that know them still do. `n_splits` is 0 where all
    fits are to all rows.
    """
    kinds: dict[tuple[type[Warning], str], list[Complaint]] = {}
    for complaint in complaints:
        kinds.setdefault((complaint.category, _FIGURES.sub("#", complaint.message)), []).append(complaint)
    for (category, _), alike in kinds.items():
        own = ", with figures of their own" if len({complaint.message for complaint in alike}) > 1 else ""
        count = f"{len(alike)} of {n_fits} fits of MFASearch say{'s' * (len(alike) == 1)} so{own}"
        warn_user(f"{alike[0].message} ({count}: {_named(alike, n_splits)}{_seed(random_state)})", category)


def _named(complaints: Sequence[Complaint], n_splits: int) -> str:
    """The candidates, each with the splits it is about."""
    fits: dict[str, list[Fit]] = {}
    for complaint in complaints:
        fits.setdefault(complaint.fit.name, []).append(complaint.fit)
    names = [f"{name} ({_rows(own, n_splits)})" if n_splits else name for name, own in fits.items()]
    more = [f"and {len(names) - _MOST_NAMES} more candidates, see cv_results_['warnings']"]
    return "; ".join(names[:_MOST_NAMES] + (more if len(names) > _MOST_NAMES else []))


def _rows(fits: Sequence[Fit], n_splits: int) -> str:
    """Of which rows a candidate's fits are."""
    rows = dict.fromkeys(fit.rows for fit in fits)
    every = [f"split{number}" for number in range(n_splits)]
    if n_splits > 1 and set(every) <= set(rows):
        rows = {"all splits": None} | {name: None for name in rows if name not in every}
    return ", ".join(rows)


def _seed(random_state: Any) -> str:
    return "" if random_state is None else f"; random_state={random_state!r}"


def messages(complaints: Sequence[Complaint], candidates: Sequence[dict[str, Any]]) -> np.ndarray:
    """What the fits of each candidate said, an object array of tuples of str, each message once."""
    found = np.empty(len(candidates), dtype=object)
    for i, params in enumerate(candidates):
        found[i] = tuple(
            dict.fromkeys(message for fit, _, message in complaints if fit.params.items() <= params.items())
        )
    return found
