// The page of one region, and the parts of it that the comparison shows as well.

function factsOf(region) {
  const mixture = region.mixture;
  const unit = mixture.scale ? "standard deviations of the columns" : "the unit of the rows";
  const axes = region.factors_90;
  const carry = axes === 1 ? "1 axis carries" : `${whole(axes)} axes carry`;
  const carried = known(axes) ? `; ${carry} 90\u00a0% of what the factors model` : "";
  return [
    [
      "Rows",
      whole(region.size),
      `of ${plural(mixture.n_rows, mixture.noun)}: those for which this region is the most probable`,
    ],
    ["Weight", percents(region.weight), "its share of the mixture"],
    [
      "Sharpness",
      fixed(region.sharpness),
      "mean responsibility of its own rows; 1 means that no other region lays claim to them",
    ],
    known(region.purity) && ["Purity", percent(region.purity), "of its labeled rows are of its most frequent concept"],
    ["Spread", digits(region.spread), `typical distance of a row from the center, in ${unit}`],
    ["Dimension", digits(region.dimension), "directions that its variance is spread over" + carried],
  ].filter(Boolean);
}

const factList = (region) =>
  make(
    "dl",
    { class: "facts" },
    factsOf(region).map(([name, value, note]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, value), make("dd", { class: "explanation" }, note)),
    ),
  );

function simpleTable(caption, heads, rows) {
  return make(
    "table",
    { class: "simple" },
    make("caption", { class: "visually-hidden" }, caption),
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        heads.map(([title, numeric]) => make("th", { scope: "col", class: numeric && "numeric" }, title)),
      ),
    ),
    make(
      "tbody",
      {},
      rows.map((cells) =>
        make(
          "tr",
          {},
          cells.map((cell, place) =>
            make(place ? "td" : "th", { scope: place ? null : "row", class: heads[place][1] && "numeric" }, cell),
          ),
        ),
      ),
    ),
  );
}

function tokensPanel(region, shared) {
  if (!region.tokens?.length) return "";
  const mixture = region.mixture;
  const rows = region.tokens.map((item) => [
    make(
      "span",
      { class: shared?.has(stringOf(mixture, item.token)) && "shared" },
      tokenChip(stringOf(mixture, item.token)),
    ),
    whole(item.count),
    known(item.total) ? percent(item.count / item.total) : "–",
    `${aligned(item.lift)}×`,
  ]);
  return section(
    "Distinguishing tokens",
    `Tokens more frequent here than elsewhere. Lift: how many times as frequent as among all rows; “of all” is ` +
      `the share of the token’s rows that are here.${shared ? " Tokens of both regions are bold." : ""}`,
    simpleTable("Distinguishing tokens", [["Token"], ["Here", true], ["Of all", true], ["Lift", true]], rows),
  );
}

function conceptsPanel(region) {
  if (!region.concepts?.length) return "";
  const rows = region.concepts.map((item) => [
    isolated(visible(conceptOf(region.mixture, item.concept))),
    whole(item.count),
    percent(item.share),
    `${aligned(item.lift)}×`,
    known(item.q_value) ? make("span", { class: item.q_value <= 0.05 && "significant" }, small(item.q_value)) : "–",
  ]);
  const several = known(region.n_enriched) ? ` ${plural(region.n_enriched, "concept")} with q of at most 0.05.` : "";
  return section(
    "Concepts",
    `Labels of the rows. The q-value is the expected share of false finds among all concepts that look at least ` +
      `as enriched; bold: at most 0.05.${several}`,
    simpleTable(
      "Concepts",
      ...knownColumns([["Concept"], ["Rows", true], ["Share", true], ["Lift", true], ["q", true]], rows),
    ),
  );
}

// Leaves out the columns in which nothing is known.
function knownColumns(heads, rows) {
  const kept = heads.map((_, place) => rows.some((row) => row[place] !== "–"));
  return [heads.filter((_, place) => kept[place]), rows.map((row) => row.filter((_, place) => kept[place]))];
}

function endsPanel(region) {
  if (!region.ends?.length) return "";
  const chips = (tokens) =>
    make(
      "span",
      { class: "chips" },
      tokens.map((token) => tokenChip(stringOf(region.mixture, token))),
    );
  const scaled = region.mixture.scale ? ` ${SCALED}` : "";
  const what = region.tokens?.length ? "Tokens over-represented" : "What stands out";
  return section(
    "Ends of the axes",
    `${what} at either end of each principal axis, against the rest of the region.${scaled}`,
    simpleTable(
      "Ends of the axes",
      [["Axis"], ["Share", true], ["Low end"], ["High end"]],
      region.ends.map((end) => [String(end.axis), percent(end.share), chips(end.low), chips(end.high)]),
    ),
  );
}

function neighborsPanel(region) {
  const rows = (region.neighbors || [])
    .map((item) => [item, region.mixture.byComponent.get(item.component)])
    .filter(([, other]) => other);
  if (!rows.length) return "";
  return section(
    "Neighbors",
    "Regions nearest by Bhattacharyya distance: the part from their centers and the part from their shapes. " +
      "Overlap: 1 for the same density, 0 for none in common.",
    simpleTable(
      "Neighbors",
      ...knownColumns(
        [["Region"], ["Distance", true], ["Centers", true], ["Shapes", true], ["Overlap", true]],
        rows.map(([item, other]) => [
          regionLink(other, 34),
          aligned(item.distance),
          aligned(item.mean),
          aligned(item.covariance),
          known(item.overlap) && item.overlap < 0.001 ? "< 0.001" : aligned(item.overlap),
        ]),
      ),
    ),
  );
}

function rowsPanel(region) {
  const list = (rows) => rows.join(", ");
  if (region.contexts?.length || !region.typical?.length) return "";
  return section(
    "Rows",
    "Numbers of rows in the table that the mixture was asked about, counted from 0.",
    make("p", {}, `With the highest log density: ${list(region.typical)}.`),
    region.outlying?.length ? make("p", {}, `With the lowest: ${list(region.outlying)}.`) : "",
  );
}

function steeringPanel(region) {
  const steering = region.steering;
  if (!steering) return "";
  const list = (title, items) =>
    make(
      "div",
      {},
      make("h3", {}, title),
      simpleTable(
        title,
        [["Token"], ["Change", true]],
        items.map((item) => [tokenChip(stringOf(region.mixture, item.token)), signed(item.change)]),
      ),
    );
  return section(
    "Steering",
    `What the model says next when its activations are moved to this region (${visible(steering.method)}, ` +
      `strength ${digits(steering.strength)}): the tokens that gain and lose the most.`,
    make("div", { class: "pair" }, list("Promoted", steering.promoted), list("Demoted", steering.demoted)),
  );
}

function regionSteps(region) {
  const regions = region.mixture.regions;
  const place = regions.indexOf(region);
  const step = (other, text, rel) =>
    other
      ? make("a", { href: address(other), rel, id: `step-${rel}` }, text, hidden(` region, ${other.component}`))
      : make("span", { class: "off" }, text);
  return make(
    "nav",
    { class: "steps", "aria-label": "Previous and next region" },
    step(regions[place - 1], "← Previous", "prev"),
    " ",
    step(regions[place + 1], "Next →", "next"),
  );
}

function matchLine(region) {
  const side = region.mixture.number ? "second" : "first";
  const match = (atlas.matches || []).find((one) => one[side] === region.component);
  if (!atlas.matches) return "";
  const own = `Of ${visible(region.mixture.name)}. `;
  if (!match) return make("p", {}, own, "No region of the other mixture matches it.");
  const other = mixtures[1 - region.mixture.number].byComponent.get(match[side === "first" ? "second" : "first"]);
  return make(
    "p",
    {},
    own,
    `Matched in ${visible(other.mixture.name)}: `,
    regionLink(other),
    ` (Jaccard ${fixed(match.jaccard)}). `,
    make("a", { href: `#/compare/${match.first}/${match.second}` }, "Side by side"),
  );
}

function conceptLine(region) {
  if (!region.concepts?.length) return "";
  const own = region.concepts.find((item) => item.concept === region.concept);
  if (!own)
    return make("p", { class: "lead" }, "No concept stands for this region: none is enriched and frequent enough.");
  return make(
    "p",
    { class: "lead" },
    "Concept: ",
    make("b", {}, isolated(visible(conceptOf(region.mixture, own.concept)))),
    `, ${percent(own.share)} of its labeled rows`,
  );
}

function regionPage(region) {
  const text = textOf(region, 120);
  const contexts = contextsPanel(region);
  return [
    make(
      "div",
      { class: "title" },
      make("h1", { tabindex: -1 }, nameOf(region), text && " ", text && isolated(text, { class: "tokens" })),
      regionSteps(region),
    ),
    conceptLine(region),
    matchLine(region),
    factList(region),
    make(
      "div",
      { class: "columns" },
      make(
        "div",
        {},
        contexts || histogramPanel(region),
        region.steering ? steeringPanel(region) : neighborsPanel(region),
        rowsPanel(region),
      ),
      make(
        "div",
        {},
        tokensPanel(region),
        conceptsPanel(region),
        contexts ? histogramPanel(region) : "",
        scatterPanel(region),
        endsPanel(region),
        region.steering ? neighborsPanel(region) : "",
      ),
    ),
  ];
}
