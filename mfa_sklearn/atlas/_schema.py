"""The data of an atlas: what `atlas_data` returns and the page reads, version 1.

Everything is JSON: numbers are finite, what is unknown is null (None). Strings that are shown often, such as tokens,
stand once in `strings` of their mixture and are numbers everywhere else; so are concepts, in `concepts`. A region is a
component of the mixture, and `regions` are in the order of the components.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

FORMAT, VERSION = "mfa-sklearn atlas", 1


class Token(TypedDict):
    """A token that a region over-represents, the most surprising first."""

    token: int
    """Its number in `strings`."""
    count: int
    """Rows of the region with this token."""
    total: int
    """All rows with it."""
    lift: float
    """Its share of the region's rows over its share of all rows."""
    llr: float
    """The log-likelihood ratio of its count (see `mfa_sklearn.top_tokens`), nats."""


class Concept(TypedDict):
    """A label that a region over-represents, the most surprising first."""

    concept: int
    """Its number in `concepts`."""
    count: int
    """Rows of the region with this label."""
    share: float
    """Its share of the region's labeled rows, 0 to 1."""
    lift: float
    """This share over its share of all labeled rows."""
    q_value: float | None
    """False discovery rate at which the region is enriched in it (see `mfa_sklearn.top_concepts`), 0 to 1."""


class Neighbor(TypedDict):
    """A region near another, the nearest first."""

    component: int
    distance: float
    """Bhattacharyya distance, nats: the sum of the next two."""
    mean: float | None
    """Its part that comes of the means."""
    covariance: float | None
    """Its part that comes of the covariances."""
    overlap: float
    """``exp(-distance)``, 0 to 1."""


class Context(TypedDict):
    """A row of a region among the rows around it. Lists are of the pieces, which make a part of the text together."""

    kinds: list[Literal["typical", "token", "outlying"]]
    """Why the row is shown, one reason or more: it has a high log density under the region, a token that the region
    over-represents, a low log density. No row of a region is shown twice."""
    row: int
    """Its number in the activations."""
    text: int | None
    """The number of its text."""
    concept: int | None
    """The number of its label in `concepts`."""
    log_density: float
    """Of the row under the component, nats."""
    at: int
    """Which piece is the row itself."""
    tokens: list[int]
    """The pieces, as numbers in `strings`."""
    responsibility: list[int]
    """Posterior probability of the component for each piece, in per cent; -1 where a piece is no row."""
    score: list[int]
    """Per cent of the region's own rows whose log density under the component is no higher than this piece's; -1 where
    a piece is no row."""


class Histogram(TypedDict):
    """Log densities under a component, counted in bins of equal width."""

    low: float
    """Where the first bin begins, nats; it also holds what is below."""
    high: float
    """Where the last bin ends."""
    own: list[int]
    """Rows of the region, all of them."""
    others: list[int]
    """Rows of other regions, of a sample."""


class Axis(TypedDict):
    """A principal axis of a region's subspace, numbered from 0 by the variance along it; see `Mixture.scale`."""

    axis: int
    share: float
    """Of the variance that the factors model, 0 to 1."""


class Scatter(TypedDict):
    """A sample of a region's rows along its two leading principal axes, or along the only one, with 0 for `y`."""

    axes: list[Axis]
    x: list[int]
    """0 to 1000 from one end of `x_range` to the other."""
    y: list[int]
    x_range: list[float]
    """Two coordinates: posterior means of the factors, in standard deviations of the component."""
    y_range: list[float]
    token: list[int]
    """Numbers in `strings`, -1 where a row has no token; empty where none has."""
    concept: list[int]
    """Numbers in `concepts`, -1 where a row has no label; empty where none has."""
    row: list[int]
    """Numbers in the activations."""


class End(TypedDict):
    """What lies at either end of a principal axis: strings that are over-represented there."""

    axis: int
    share: float
    """Of the variance that the factors model, 0 to 1."""
    low: list[int]
    """Numbers in `strings`: tokens; of rows that are texts, the outermost ones; of other rows, columns that are smaller
    or larger there, with a sign."""
    high: list[int]


class Change(TypedDict):
    """A token whose probability steering to a region changes."""

    token: int
    """Its number in `strings`."""
    change: float
    """Of its log probability behind a prompt, nats, averaged over prompts. Only tokens are listed to which the model
    gives at least an equal share of probability (1 over the size of the vocabulary), before or after."""


class SteeringEffect(TypedDict):
    """What steering a model to a region promotes and demotes, the largest changes first."""

    method: str
    """As of `mfa_sklearn.MFASteerer.steer`."""
    strength: float
    """Its `alpha`."""
    promoted: list[Change]
    demoted: list[Change]


class Region(TypedDict):
    """A component of a mixture."""

    component: int
    label: str
    """A few words for it: its first tokens, or its columns that stand out."""
    weight: float
    """Of the component, 0 to 1."""
    size: int
    """Rows whose most probable component it is."""
    sharpness: float | None
    """Mean responsibility for these rows, 0 to 1."""
    spread: float
    """Root of the trace of its covariance, in the unit of the activations or in `Mixture.scale`."""
    dimension: float
    """Participation ratio of its covariance, as it is in `Mixture.scale`."""
    factors_90: int
    """Principal axes that carry 90 % of the modeled variance."""
    purity: float | None
    """Largest share of one label among its labeled rows."""
    n_enriched: int | None
    """Labels with a q value of at most 0.05."""
    x: float
    """Its place on the map."""
    y: float
    cluster: int
    """From 0."""
    concept: int | None
    """The label that stands for it: the one that it over-represents most of those that are enriched (a q value of at
    most 0.05) and have at least a fifth of its labeled rows, or of as many as a region of its size has on average if it
    has fewer; None if there is no such one."""
    tokens: list[Token]
    concepts: list[Concept]
    neighbors: list[Neighbor]
    contexts: list[Context]
    """Empty where rows have neither tokens nor texts."""
    typical: list[int]
    """Rows with a high log density, the highest first."""
    outlying: list[int]
    """Rows with a low one, the lowest first."""
    histogram: Histogram | None
    scatter: Scatter | None
    ends: list[End]
    steering: SteeringEffect | None


class Mixture(TypedDict):
    """A mixture and its regions."""

    name: str
    source: dict[str, Any] | None
    """Where the activations came from: model, layer, site, ..."""
    n_components: int
    n_factors: int
    n_features: int
    n_rows: int
    noise: str
    """"shared" or "component"."""
    log_likelihood: float
    """Mean over the rows, nats."""
    row_noun: Literal["token", "text", "row"]
    """What a row is."""
    strings: list[str]
    concepts: list[str]
    n_clusters: int
    scale: Literal["columns"] | None
    """What principal axes, their shares, spread and dimension are measured in: "columns" where each column counts in
    its standard deviation under the whole mixture, as in tables whose columns have different units; None for the rows'
    own unit."""
    regions: list[Region]


class Match(TypedDict):
    """Two regions of two mixtures that share rows."""

    first: int
    second: int
    shared: int
    """Rows in both."""
    jaccard: float
    """Of all rows in either, 0 to 1."""


class Atlas(TypedDict):
    """The data of an atlas, what `atlas_data` returns: one mixture or two, and which of their regions correspond."""

    format: str
    version: int
    title: str
    made_with: str
    """The library and its version."""
    mixtures: list[Mixture]
    """One or two."""
    matches: list[Match] | None
    """Of two mixtures, one to one; None of one."""
