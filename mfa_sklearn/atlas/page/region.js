// The page of one region, and the parts of it that the comparison shows as well.

function factsOf(region) {
  const mixture = region.mixture;
  const axes = region.factors_90;
  return [
    ["Rows", whole(region.size), `of ${plural(mixture.n_rows, mixture.noun)}: those for which this region is the most probable`],
    ["Weight", percents(region.weight), "its share of the mixture"],
    ["Sharpness", fixed(region.sharpness), "mean responsibility of its own rows; 1 means that no other region lays claim to them"],
    known(region.purity) && ["Purity", percent(region.purity), "of its labeled rows are of its most frequent concept"],
    ["Spread", digits(region.spread), "typical distance of a row from the center, in the unit of the rows"],
    ["Dimension", digits(region.dimension), `directions that its variance is spread over${known(axes) ? `; ${plural(axes, "axis").replace("axiss", "axes")} carry 90 % of what the factors model` : ""}`],
  ].filter(Boolean);
}

const factList = (region) => make("dl", { class: "facts" },
  factsOf(region).map(([name, value, note]) => make("div", {}, make("dt", {}, name), make("dd", {}, value), make("dd", { class: "explanation" }, note))));

function simpleTable(caption, heads, rows) {
  return make("table", { class: "simple" }, make("caption", { class: "visually-hidden" }, caption),
    make("thead", {}, make("tr", {}, heads.map(([title, numeric]) => make("th", { scope: "col", class: numeric && "numeric" }, title)))),
    make("tbody", {}, rows.map((cells) => make("tr", {}, cells.map((cell, place) =>
      make(place ? "td" : "th", { scope: place ? null : "row", class: heads[place][1] && "numeric" }, cell))))));
}

function tokensPanel(region, shared) {
  if (!region.tokens?.length) return "";
  const mixture = region.mixture;
  const rows = region.tokens.map((item) => [
    make("span", { class: shared?.has(stringOf(mixture, item.token)) && "shared" }, tokenChip(stringOf(mixture, item.token))),
    whole(item.count), known(item.total) ? percent(item.count / item.total) : "–", `${aligned(item.lift)}×`]);
  return section("Distinguishing tokens",
    `Tokens more frequent here than elsewhere. Lift: how many times as frequent as among all rows; “of all” is the share of the token’s rows that are here.${shared ? " Tokens of both regions are bold." : ""}`,
    simpleTable("Distinguishing tokens", [["Token"], ["Here", true], ["Of all", true], ["Lift", true]], rows));
}

function conceptsPanel(region) {
  if (!region.concepts?.length) return "";
  const rows = region.concepts.map((item) => [isolated(visible(conceptOf(region.mixture, item.concept))), whole(item.count), percent(item.share), `${aligned(item.lift)}×`,
    known(item.q_value) ? make("span", { class: item.q_value <= 0.05 && "significant" }, small(item.q_value)) : "–"]);
  const several = known(region.n_enriched) ? ` ${plural(region.n_enriched, "concept")} with q of at most 0.05.` : "";
  return section("Concepts", `Labels of the rows. The q-value is the expected share of false finds among all concepts that look at least as enriched; bold: at most 0.05.${several}`,
    simpleTable("Concepts", ...knownColumns([["Concept"], ["Rows", true], ["Share", true], ["Lift", true], ["q", true]], rows)));
}

// Leaves out the columns in which nothing is known.
function knownColumns(heads, rows) {
  const kept = heads.map((_, place) => rows.some((row) => row[place] !== "–"));
  return [heads.filter((_, place) => kept[place]), rows.map((row) => row.filter((_, place) => kept[place]))];
}

const KINDS = { typical: "Typical", token: "Of a distinguishing token", outlying: "Outlying" };

function contextFigure(mixture, context, shade) {
  const parts = pieces(mixture, context);
  const values = context[shade] || [];
  const spans = parts.map((text, place) => {
    const value = values[place] ?? -1;
    const responsibility = context.responsibility?.[place] ?? -1;
    const score = context.score?.[place] ?? -1;
    const title = value < 0 ? "no row of this mixture" : `responsibility ${(responsibility / 100).toFixed(2)}${score >= 0 ? `, score above ${score} % of its own rows` : ""}`;
    const core = text.trimStart();
    return [core ? visible(text.slice(0, text.length - core.length)) : "",
      make(place === context.at ? "mark" : "span", { class: "t", title, "--shade": value > 0 ? value / 100 : null }, visible(core || text))];
  });
  const concept = conceptOf(mixture, context.concept);
  const notes = [concept && isolated(visible(concept)), known(context.log_density) && `log density ${digits(context.log_density)} nats`, known(context.row) && `row ${context.row}`].filter(Boolean);
  return make("li", {}, make("p", { class: "context", dir: "auto" }, spans),
    make("p", { class: "count" }, notes.flatMap((note, place) => (place ? [" · ", note] : [note]))));
}

function contextsPanel(region, { limit = 6 } = {}) {
  const contexts = region.contexts || [];
  if (!contexts.length) return "";
  const mixture = region.mixture;
  const holder = make("div");
  let shown = "responsibility";
  const fill = (shade) => {
    shown = shade;
    holder.replaceChildren(...Object.entries(KINDS).map(([kind, title]) => {
      const some = contexts.filter((context) => context.kind === kind);
      if (!some.length) return "";
      return make("div", {}, make("h3", {}, title), make("ul", { class: "contexts" }, some.slice(0, limit).map((context) => contextFigure(mixture, context, shade))),
        some.length > limit ? make("button", { type: "button", class: "small", onclick: () => { limit = Infinity; fill(shown); } }, `Show ${some.length - limit} more`) : "");
    }).filter(Boolean));
  };
  const name = `shade-${section.count}`;
  const choice = (shade, text) => make("label", {}, make("input", { type: "radio", name, value: shade, checked: shade === "responsibility", onchange: () => fill(shade) }), ` ${text}`);
  fill("responsibility");
  return section("Contexts", "Rows in the text they come from; the row itself is underlined. The darker a token, the more of it belongs to this region (responsibility), or the higher its log density here among the region’s own rows (score).",
    make("fieldset", { class: "switch" }, make("legend", {}, "Shade by"), choice("responsibility", "responsibility"), choice("score", "score")), holder);
}

function histogramPanel(region) {
  const histogram = region.histogram;
  if (!histogram?.own?.length || !(histogram.high > histogram.low)) return "";
  const mean = (counts) => {
    const step = (histogram.high - histogram.low) / counts.length;
    const total = counts.reduce((sum, count) => sum + count, 0);
    return total ? histogram.low + step * (counts.reduce((sum, count, place) => sum + count * (place + 0.5), 0) / total) : null;
  };
  const summary = `Its own rows lie around ${digits(mean(histogram.own))} nats, other rows around ${digits(mean(histogram.others))}.`;
  return section("Scores", "How well rows fit this region’s density. The further the two stand apart, the clearer the region; the first bar also holds what lies below it.",
    make("p", { class: "key" }, make("span", { class: "swatch own", "aria-hidden": "true" }), "its own rows ",
      make("span", { class: "swatch others", "aria-hidden": "true" }), "a sample of other rows"),
    chart(`Histogram of log densities. ${summary}`, (width) => histogramSpec(histogram, width, 210), {
      height: 210, lines: (bin) => [`${digits(bin.from)} to ${digits(bin.to)} nats`, `own: ${whole(bin.count)} (${percent(bin.own)})`, `others: ${whole(bin.others)} (${percent(bin.other)})`] }),
    make("p", { class: "explanation" }, summary));
}

// The points of a scatter with their colors: by the concepts that are enriched in the region, the most frequent first.
function scatterPoints(region) {
  const { mixture, scatter } = region;
  const counts = new Map();
  const enriched = new Set((region.concepts || []).filter((item) => (item.q_value ?? 0) <= 0.05).map((item) => item.concept));
  for (const concept of scatter.concept || []) if (enriched.has(concept)) counts.set(concept, (counts.get(concept) || 0) + 1);
  const order = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 6).map(([concept]) => concept);
  const colors = new Map(order.map((concept, place) => [concept, PALETTE[place]]));
  const place = (value, [low, high]) => low + (value / 1000) * (high - low);
  const labeled = labeledPoints(scatter);
  const points = scatter.x.map((x, i) => ({
    x: place(x, scatter.x_range), y: scatter.axes[1] ? place(scatter.y[i], scatter.y_range) : (i * 0.618034) % 1, row: scatter.row?.[i], token: scatter.token?.[i], concept: scatter.concept?.[i],
    color: order.length ? colors.get(scatter.concept?.[i]) || OTHER : PALETTE[0],
    rank: labeled.get(i) ?? 1000, text: labeled.has(i) ? cut(label(stringOf(mixture, scatter.token[i])), 18) : "",
  }));
  return { points, colors };
}

// One point of each of the thirty most frequent tokens: the one in the middle of them from left to right.
function labeledPoints(scatter) {
  const places = new Map();
  (scatter.token || []).forEach((token, i) => { if (known(token) && token >= 0) places.set(token, [...(places.get(token) || []), i]); });
  const most = [...places.values()].sort((a, b) => b.length - a.length).slice(0, 30);
  return new Map(most.map((some, rank) => [some.sort((a, b) => scatter.x[a] - scatter.x[b])[some.length >> 1], rank]));
}

function axisTitle(region, axis, most) {
  const ends = (region.ends || []).find((end) => end.axis === axis.axis);
  const longest = region.tokens?.length ? 12 : 26;
  const words = (tokens) => tokens.slice(0, region.tokens?.length ? most : 1).map((token) => cut(label(stringOf(region.mixture, token)), longest)).join(" ");
  const name = `axis ${axis.axis} (${percent(axis.share)})`;
  return ends?.low.length || ends?.high.length ? `← ${words(ends.low)}   ·   ${name}   ·   ${words(ends.high)} →` : name;
}

function scatterPanel(region) {
  const scatter = region.scatter;
  if (!scatter?.x?.length) return "";
  const { points, colors } = scatterPoints(region);
  const titles = { x: axisTitle(region, scatter.axes[0], 3), y: scatter.axes[1] && axisTitle(region, scatter.axes[1], 2) };
  const meaning = titles.y ? "" : " There is one axis; heights are there only to tell the rows apart.";
  const item = (color, text) => make("li", {}, make("span", { class: "swatch", "--swatch": color, "aria-hidden": "true" }), isolated(text));
  const legend = [...colors].map(([concept, color]) => item(color, visible(conceptOf(region.mixture, concept))));
  if (legend.length && points.some((point) => point.color === OTHER)) legend.push(item(OTHER, "other or none"));
  const lines = (point) => [known(point.token) && point.token >= 0 ? `“${visible(stringOf(region.mixture, point.token))}”` : "", visible(conceptOf(region.mixture, point.concept) || ""), known(point.row) ? `row ${point.row}` : ""].filter(Boolean);
  return section("Inside the region", "A sample of its rows along the principal axes of its factors, in standard deviations; percentages are shares of the variance that the factors model." + (scatter.token?.length ? " Each frequent token is named once." : "") + meaning,
    legend.length ? make("ul", { class: "legend" }, legend) : "",
    chart(`Scatter of ${plural(points.length, "row")}. Horizontally ${titles.x}${titles.y ? `; vertically ${titles.y}` : ""}.`, (width) => scatterSpec(points, titles, width, titles.y ? 340 : 130), { height: titles.y ? 340 : 130, lines }));
}

function endsPanel(region) {
  if (!region.ends?.length) return "";
  const chips = (tokens) => make("span", { class: "chips" }, tokens.map((token) => tokenChip(stringOf(region.mixture, token))));
  const what = region.tokens?.length ? "Tokens over-represented" : "What stands out";
  return section("Ends of the axes", `${what} at either end of each principal axis, against the rest of the region.`,
    simpleTable("Ends of the axes", [["Axis"], ["Share", true], ["Low end"], ["High end"]],
      region.ends.map((end) => [String(end.axis), percent(end.share), chips(end.low), chips(end.high)])));
}

function neighborsPanel(region) {
  const rows = (region.neighbors || []).map((item) => [item, region.mixture.byComponent.get(item.component)]).filter(([, other]) => other);
  if (!rows.length) return "";
  return section("Neighbors", "Regions nearest by Bhattacharyya distance: the part from their centers and the part from their shapes. Overlap: 1 for the same density, 0 for none in common.",
    simpleTable("Neighbors", ...knownColumns([["Region"], ["Distance", true], ["Centers", true], ["Shapes", true], ["Overlap", true]],
      rows.map(([item, other]) => [regionLink(other, 34), aligned(item.distance), aligned(item.mean), aligned(item.covariance), known(item.overlap) && item.overlap < 0.001 ? "< 0.001" : aligned(item.overlap)]))));
}

function rowsPanel(region) {
  const list = (rows) => rows.join(", ");
  if (region.contexts?.length || !region.typical?.length) return "";
  return section("Rows", "Numbers of rows in the table that the mixture was asked about, counted from 0.",
    make("p", {}, `With the highest log density: ${list(region.typical)}.`), region.outlying?.length ? make("p", {}, `With the lowest: ${list(region.outlying)}.`) : "");
}

function steeringPanel(region) {
  const steering = region.steering;
  if (!steering) return "";
  const list = (title, items) => make("div", {}, make("h3", {}, title), simpleTable(title, [["Token"], ["Change", true]],
    items.map((item) => [tokenChip(stringOf(region.mixture, item.token)), signed(item.change)])));
  return section("Steering", `What the model says next when its activations are moved to this region (${visible(steering.method)}, strength ${digits(steering.strength)}): the tokens that gain and lose the most.`,
    make("div", { class: "pair" }, list("Promoted", steering.promoted), list("Demoted", steering.demoted)));
}

function regionSteps(region) {
  const regions = region.mixture.regions;
  const place = regions.indexOf(region);
  const step = (other, text, rel) => (other ? make("a", { href: address(other), rel, id: `step-${rel}` }, text, hidden(` region, ${other.component}`)) : make("span", { class: "off" }, text));
  return make("nav", { class: "steps", "aria-label": "Previous and next region" }, step(regions[place - 1], "← Previous", "prev"), " ", step(regions[place + 1], "Next →", "next"));
}

function matchLine(region) {
  const side = region.mixture.number ? "second" : "first";
  const match = (atlas.matches || []).find((one) => one[side] === region.component);
  if (!atlas.matches) return "";
  const own = `Of ${visible(region.mixture.name)}. `;
  if (!match) return make("p", {}, own, "No region of the other mixture matches it.");
  const other = mixtures[1 - region.mixture.number].byComponent.get(match[side === "first" ? "second" : "first"]);
  return make("p", {}, own, `Matched in ${visible(other.mixture.name)}: `, regionLink(other), ` (Jaccard ${fixed(match.jaccard)}). `,
    make("a", { href: `#/compare/${match.first}/${match.second}` }, "Side by side"));
}

function conceptLine(region) {
  if (!known(region.concept)) return "";
  if (!known(leading(region))) return make("p", { class: "lead" }, "No concept is enriched beyond chance.");
  return make("p", { class: "lead" }, "Most enriched concept: ", isolated(visible(conceptOf(region.mixture, region.concept))));
}

function regionPage(region) {
  const text = textOf(region, 120);
  const contexts = contextsPanel(region);
  return [
    make("div", { class: "title" }, make("h1", { tabindex: -1 }, nameOf(region), text && " ", text && isolated(text, { class: "tokens" })), regionSteps(region)),
    conceptLine(region),
    matchLine(region), factList(region),
    make("div", { class: "columns" },
      make("div", {}, contexts || histogramPanel(region), region.steering ? steeringPanel(region) : neighborsPanel(region), rowsPanel(region)),
      make("div", {}, tokensPanel(region), conceptsPanel(region), contexts ? histogramPanel(region) : "", scatterPanel(region), endsPanel(region), region.steering ? neighborsPanel(region) : "")),
  ];
}
