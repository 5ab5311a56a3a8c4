"""Arms compared where they cost the same: strengths chosen on one half of the prompts, judged on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..._base.checks import check_choice, check_count, check_flag, import_optional
from .._generation import check_seed
from .prompts import HALVES
from .sweep import RATIOS
from .table import PLACE, UNSTEERED

if TYPE_CHECKING:
    import pandas as pd

_KEYS = [*PLACE, "arm", "concept", "strength", "half"]
_DIVERGENCES = ("kl", "collateral")  # never below 0, where the model as it is stands
_RULES = ("first", "most")
_AVERAGES: dict[str, Callable[..., Any]] = {"median": np.median, "mean": np.mean}
_TAIL = 0.025  # of resamples, left out at either end of an interval


def summarize_steering(table: pd.DataFrame) -> pd.DataFrame:
    """Medians over the concepts and both halves of the prompts of what `evaluate_steering` measured.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `evaluate_steering`; several may be concatenated (layers, selections of tokens), and columns of one's own
        may be among its measures.

    Returns
    -------
    pandas.DataFrame
        A line per layer, site, select, arm and strength, in the table's order, with the medians of its measures.
    """
    check_table(table)
    measures = measures_of(table)
    return table.groupby([*PLACE, "arm", "strength"], sort=False)[measures].median().reset_index()


def steering_at_cost(
    table: pd.DataFrame,
    costs: Sequence[float] = (0.1, 0.5, 2.0),
    *,
    cost: str = "collateral",
    effect: str = "share_next",
    rule: str = "first",
    against: str | None = "difference of means",
    average: str = "median",
    crossed: bool = True,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> pd.DataFrame:
    """The effect of each arm where all cost the same.

    For every concept the strength is chosen on the half of the prompts called "choose", along the line through the
    strengths tried and, at 0, the model as it is. Effect and cost are then read off the half called "judge", at that
    strength, by linear interpolation as well. And the other way round: what is reported of a concept is the mean of the
    two, as prompts differ in what they cost, and no split makes the halves quite alike.

    Which strength has a cost is plain where costs grow with strength. Where they rise and fall again, there are two
    fair readings, and `rule` says which:

    * "first": the least strength at which the cost comes to what is asked, from that of the model as it is: rises to
      it, or falls to it, as a log probability does. Where it never comes to it, the strongest is taken.
    * "most": the strength with the largest effect, on "choose", among all that cost no more than what is asked. Where
      all cost more, the cheapest is taken.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `evaluate_steering`; several may be concatenated (layers, selections of tokens). Any other table with the
        columns layer, site, select, arm, concept, strength and half will do, whose arm "none" is the model as it is, at
        strength 0.
    costs : sequence of float
        Of a divergence above 0, of any other cost any numbers.
    cost : str, default="collateral"
        Any measure of the table, or column of numbers; with ``rule="most"`` one of which less is better.
    effect : str, default="share_next"
        As `cost`; with ``rule="most"`` one of which more is better. Else it may be another cost: "log_prob" says how
        likely the text is at the same setting.
    rule : {"first", "most"}, default="first"
    against : str or None, default="difference of means"
        The arm that all are compared with, concept by concept.
    average : {"median", "mean"}, default="median"
        Over the concepts. A mean also tells of the few that an arm fails with, where for most it does all that it can.
    crossed : bool, default=True
        False chooses on "choose" and judges on "judge" alone, for the figures of a setting that is to be kept.
    n_resamples : int, default=1000
        Of the concepts, for the intervals.
    random_state : int, default=0

    Returns
    -------
    pandas.DataFrame
        A line per layer, site, select, cost and arm, with the columns n_concepts; value, low, high: the average effect
        over the concepts and its interval; difference, difference_low, difference_high: the average over the concepts
        that both have of the effect less that of `against`; paid: the average cost on "judge"; strength: the average
        chosen; reached: the share of concepts for which the cost was reached on "choose", at any strength; weaker: the
        share of concepts whose chosen strength is below all that were tried, where effect and cost are read off a
        straight line from the unsteered model. Where that is much, measure weaker strengths.
        Intervals are the middle 95 % of averages of concepts drawn with replacement (the percentile bootstrap).

    Raises
    ------
    TypeError, ValueError
        If the table is none of `evaluate_steering`, lacks a half or what is asked for, if the cost is not known on all
        of its lines, or if an argument is out of range.

    References
    ----------
    Efron & Tibshirani, "An introduction to the bootstrap" (1993), chapter 13.

    Examples
    --------
    Two arms of one concept, tried at strength 1, which costs 1 nat:

    >>> import pandas as pd
    >>> from mfa_sklearn.steering import steering_at_cost
    >>> lines = [("none", 0, 0.0, 0.0), ("means", 1, 1.0, 0.4), ("region", 1, 1.0, 0.6)]
    >>> table = pd.DataFrame(lines, columns=["arm", "strength", "collateral", "share_next"])
    >>> table = table.assign(layer=0, site="residual", select="prompt", concept="river").merge(
    ...     pd.DataFrame({"half": ["choose", "judge"]}), how="cross")
    >>> found = steering_at_cost(table, [0.5], against="means")
    >>> found[["arm", "value", "difference", "paid", "strength", "reached", "weaker"]]
          arm  value  difference  paid  strength  reached  weaker
    0   means    0.2         0.0   0.5       0.5      1.0     1.0
    1  region    0.3         0.1   0.5       0.5      1.0     1.0
    """
    pandas = import_optional("pandas", "steering_at_cost")
    check_table(table)
    for name, value, known in (("cost", cost, measures_of(table)), ("effect", effect, measures_of(table))):
        check_choice(name, value, known)
    asked = _checked_costs(costs, cost)
    check_choice("rule", rule, _RULES)
    check_choice("average", average, list(_AVERAGES))
    arms = [arm for arm in dict.fromkeys(table["arm"]) if arm != UNSTEERED]
    if against is not None:
        check_choice("against", against, arms)
    resample = Resample(check_count("n_resamples", n_resamples), check_seed(random_state), average)
    ways = [HALVES, HALVES[::-1]] if check_flag("crossed", crossed) else [HALVES]
    lines = []
    for place, here in table.groupby(PLACE, sort=False):
        curves = {arm: _curves(here, arm, cost, effect, ways) for arm in arms if (here["arm"] == arm).any()}
        for level in asked:
            points = {a: {c: _mean_point(both, level, rule) for c, both in own.items()} for a, own in curves.items()}
            facts = dict(zip(PLACE, place, strict=True)) | {"cost": level}
            lines += [facts | line for line in _compared(points, against, resample)]
    return pandas.DataFrame(lines)


class Point(NamedTuple):
    """One concept where it costs what is asked."""

    strength: float
    effect: float
    paid: float
    reached: float
    weaker: float


class Curve(NamedTuple):
    """Cost and effect of one concept by strength, ascending from 0, each (s,)."""

    strength: np.ndarray
    cost: np.ndarray  # on the half that chooses
    gain: np.ndarray  # the effect on the half that chooses
    effect: np.ndarray  # on the half that judges
    paid: np.ndarray  # the cost on the half that judges

    def at(self, level: float, rule: str) -> Point:
        """What is judged at the strength that a rule chooses for a level of cost."""
        meets = self._meets(level)
        strength = self._most(level, meets) if rule == "most" else self._first(meets)
        effect, paid = (float(np.interp(strength, self.strength, part)) for part in (self.effect, self.paid))
        weaker = 0 < strength < self.strength[1]  # strength 0 is the unsteered model
        return Point(strength, effect, paid, float(len(meets) > 0), float(weaker))

    def _meets(self, level: float) -> np.ndarray:
        """All strengths at which the line through the costs comes to a level, ascending."""
        above = self.cost - level
        start, end = above[:-1], above[1:]
        inside = np.flatnonzero(start * end < 0)
        share = start[inside] / (start[inside] - end[inside])
        between = self.strength[inside] + share * np.diff(self.strength)[inside]
        return np.sort(np.concatenate([self.strength[above == 0], between]))

    def _first(self, meets: np.ndarray) -> float:
        return float(meets[0] if len(meets) else self.strength[-1])

    def _most(self, level: float, meets: np.ndarray) -> float:
        allowed = np.concatenate([self.strength[self.cost <= level], meets])
        if not len(allowed):
            return float(self.strength[self.cost.argmin()])
        allowed = np.sort(allowed)
        gain = np.interp(allowed, self.strength, self.gain)
        return float(allowed[gain.argmax()])  # the least of those that are as good


def _mean_point(curves: Sequence[Curve], level: float, rule: str) -> Point:
    """The mean over the ways of choosing on one half and judging on the other."""
    return Point(*np.mean([curve.at(level, rule) for curve in curves], axis=0).tolist())


def _curves(
    table: pd.DataFrame, arm: str, cost: str, effect: str, ways: Sequence[Sequence[str]]
) -> dict[str, list[Curve]]:
    """The curves of each concept of an arm, the model as it is at strength 0; `ways` are (choose, judge)."""
    found = {}
    own = table[table["arm"].isin([arm, UNSTEERED])]
    concepts = set(table["concept"][table["arm"] == arm])
    for concept, lines in own[own["concept"].isin(concepts)].groupby("concept", sort=False):
        halves = {half: lines[lines["half"] == half].sort_values("strength") for half in HALVES}
        strength, other = (part["strength"].to_numpy(float) for part in halves.values())
        if not len(strength) or strength[0] != 0 or not np.array_equal(strength, other):
            raise ValueError(
                f"{arm!r} has not the same strengths, {UNSTEERED!r} at 0 among them, on both halves for {concept!r}: "
                "measure with two prompts or more, and keep all lines of the table"
            )
        columns = {half: [part[name].to_numpy(float) for name in (cost, effect)] for half, part in halves.items()}
        _check_known(cost, [own[0] for own in columns.values()], arm, str(concept))
        found[str(concept)] = [Curve(strength, *columns[a], *columns[b][::-1]) for a, b in ways]
    return found


class Resample(NamedTuple):
    """How concepts are averaged, and how the interval of their average is found."""

    n_drawn: int
    seed: int | None
    average: str = "median"

    def of(self, values: np.ndarray) -> float:
        """The average."""
        return float(_AVERAGES[self.average](values))

    def interval(self, name: str, prefix: str, values: np.ndarray) -> dict[str, float]:
        """The average and the percentiles of those of resamples, without what is not defined."""
        values = values[~np.isnan(values)]
        if not len(values):
            return dict.fromkeys((name, f"{prefix}low", f"{prefix}high"), float("nan"))
        drawn = np.random.default_rng(self.seed).integers(len(values), size=(self.n_drawn, len(values)))
        low, high = np.quantile(_AVERAGES[self.average](values[drawn], axis=1), [_TAIL, 1 - _TAIL])
        return {name: self.of(values), f"{prefix}low": float(low), f"{prefix}high": float(high)}


def _compared(points: dict[str, dict[str, Point]], against: str | None, resample: Resample) -> list[dict]:
    """A line for each arm."""
    lines = []
    for arm, own in points.items():
        effect = np.array([point.effect for point in own.values()])
        line = {"arm": arm, "n_concepts": len(own), **resample.interval("value", "", effect)}
        if against is not None:
            other = points.get(against, {})
            pairs = np.array([own[concept].effect - other[concept].effect for concept in own if concept in other])
            line |= resample.interval("difference", "difference_", pairs)
        line["paid"], line["strength"] = (resample.of(np.array([p[i] for p in own.values()])) for i in (2, 0))
        for name in ("reached", "weaker"):
            line[name] = float(np.mean([getattr(point, name) for point in own.values()]))
        lines.append(line)
    return lines


def check_table(table: Any) -> None:
    """Refuse what is no table of `evaluate_steering`."""
    missing = [name for name in _KEYS if name not in getattr(table, "columns", ())]
    if missing:
        raise ValueError(f"the table has no columns {missing}: give what evaluate_steering returns")
    double = table.duplicated(_KEYS)
    if double.any():
        line = table.loc[double, _KEYS].iloc[0].to_dict()
        raise ValueError(f"the table holds {line} twice: concatenate tables of different layers or arms only")


def measures_of(table: pd.DataFrame) -> list[str]:
    """Columns that can be costs and effects: the measures of `evaluate_steering`, and after them any other numbers."""
    own = [name for name in RATIOS if name in table]
    numbers = table.select_dtypes("number").columns
    return own + [name for name in numbers if name not in {*own, *_KEYS, "n_prompts"}]


def _check_known(cost: str, values: Sequence[np.ndarray], arm: str, concept: str) -> None:
    if not np.isfinite(values).all():
        raise ValueError(
            f"{cost!r} is not a finite number on every line of {arm!r} and {UNSTEERED!r} for {concept!r}, so no "
            "strength can be chosen by it: measure it on all lines, or take another cost"
        )


def _checked_costs(costs: Any, cost: str) -> list[float]:
    if isinstance(costs, str) or not isinstance(costs, Iterable):
        raise TypeError(f"costs={costs!r} must be a list: pass [{costs!r}]")
    found = list(costs)
    for value in found:
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not is_number or not isfinite(value):
            raise ValueError(f"costs holds {value!r}: give finite numbers, in units of {cost!r}")
        if cost in _DIVERGENCES and value <= 0:
            raise ValueError(f"costs holds {value!r}: give numbers above 0, in nats")
    if not found:
        raise ValueError("costs is empty: give at least one")
    return [float(value) for value in found]
