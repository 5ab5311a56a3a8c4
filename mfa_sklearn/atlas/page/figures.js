// A region's charts with their explanations: the histogram of scores, and the scatter of its rows.

function histogramPanel(region) {
  const histogram = region.histogram;
  if (!histogram?.own?.length || !(histogram.high > histogram.low)) return "";
  const mean = (counts) => {
    const step = (histogram.high - histogram.low) / counts.length;
    const total = counts.reduce((sum, count) => sum + count, 0);
    return total
      ? histogram.low + step * (counts.reduce((sum, count, place) => sum + count * (place + 0.5), 0) / total)
      : null;
  };
  const summary =
    `Its own rows lie around ${digits(mean(histogram.own))} nats, other rows around ` +
    `${digits(mean(histogram.others))}.`;
  return section(
    "Scores",
    "How well rows fit this region: the natural logarithm of its density (nats), of which only differences count. " +
      "The further the two stand apart, the clearer the region; the first bar also holds what lies below it.",
    make(
      "p",
      { class: "key" },
      make("span", { class: "swatch own", "aria-hidden": "true" }),
      "its own rows ",
      make("span", { class: "swatch others", "aria-hidden": "true" }),
      "a sample of other rows",
    ),
    chart(`Histogram of log densities. ${summary}`, (width) => histogramSpec(histogram, width, 210), {
      height: 210,
      lines: (bin) => [
        `${digits(bin.from)} to ${digits(bin.to)} nats`,
        `own: ${whole(bin.count)} (${percent(bin.own)})`,
        `others: ${whole(bin.others)} (${percent(bin.other)})`,
      ],
    }),
    make("p", { class: "explanation" }, summary),
  );
}

// Said of axes where columns of a table have units of their own.
const SCALED =
  "Axes are taken with each column in its standard deviation under the whole mixture, so that no unit settles them.";

// The points of a scatter with their colors: by the concepts that are enriched in the region, the most frequent first.
function scatterPoints(region) {
  const { mixture, scatter } = region;
  const counts = new Map();
  const enriched = new Set(
    (region.concepts || []).filter((item) => (item.q_value ?? 0) <= 0.05).map((item) => item.concept),
  );
  for (const concept of scatter.concept || [])
    if (enriched.has(concept)) counts.set(concept, (counts.get(concept) || 0) + 1);
  const order = [...counts]
    .sort((a, b) => b[1] - a[1])
    .slice(0, 6)
    .map(([concept]) => concept);
  const colors = new Map(order.map((concept, place) => [concept, PALETTE[place]]));
  const place = (value, [low, high]) => low + (value / 1000) * (high - low);
  const labeled = labeledPoints(scatter);
  const points = scatter.x.map((x, i) => ({
    x: place(x, scatter.x_range),
    y: scatter.axes[1] ? place(scatter.y[i], scatter.y_range) : (i * 0.618034) % 1,
    row: scatter.row?.[i],
    token: scatter.token?.[i],
    concept: scatter.concept?.[i],
    color: order.length ? colors.get(scatter.concept?.[i]) || OTHER : PALETTE[0],
    rank: labeled.get(i) ?? 1000,
    text: labeled.has(i) ? cut(label(stringOf(mixture, scatter.token[i])), 18) : "",
  }));
  return { points, colors };
}

// One point of each of the thirty most frequent tokens: the one in the middle of them from left to right.
function labeledPoints(scatter) {
  const places = new Map();
  (scatter.token || []).forEach((token, i) => {
    if (known(token) && token >= 0) places.set(token, [...(places.get(token) || []), i]);
  });
  const most = [...places.values()].sort((a, b) => b.length - a.length).slice(0, 30);
  return new Map(most.map((some, rank) => [some.sort((a, b) => scatter.x[a] - scatter.x[b])[some.length >> 1], rank]));
}

function axisTitle(region, axis, most) {
  const ends = (region.ends || []).find((end) => end.axis === axis.axis);
  const longest = region.tokens?.length ? 12 : 26;
  const words = (tokens) =>
    tokens
      .slice(0, region.tokens?.length ? most : 1)
      .map((token) => cut(label(stringOf(region.mixture, token)), longest))
      .join(" ");
  const name = `axis ${axis.axis} (${percent(axis.share)})`;
  return ends?.low.length || ends?.high.length
    ? `← ${words(ends.low)}   ·   ${name}   ·   ${words(ends.high)} →`
    : name;
}

function scatterPanel(region) {
  const scatter = region.scatter;
  if (!scatter?.x?.length) return "";
  const { points, colors } = scatterPoints(region);
  const titles = {
    x: axisTitle(region, scatter.axes[0], 3),
    y: scatter.axes[1] && axisTitle(region, scatter.axes[1], 2),
  };
  const meaning = titles.y ? "" : " There is one axis; heights are there only to tell the rows apart.";
  const item = (color, text) =>
    make("li", {}, make("span", { class: "swatch", "--swatch": color, "aria-hidden": "true" }), isolated(text));
  const legend = [...colors].map(([concept, color]) => item(color, visible(conceptOf(region.mixture, concept))));
  if (legend.length && points.some((point) => point.color === OTHER)) legend.push(item(OTHER, "other or none"));
  const lines = (point) =>
    [
      known(point.token) && point.token >= 0 ? `“${visible(stringOf(region.mixture, point.token))}”` : "",
      visible(conceptOf(region.mixture, point.concept) || ""),
      known(point.row) ? `row ${point.row}` : "",
    ].filter(Boolean);
  return section(
    "Inside the region",
    "A sample of its rows along the principal axes of its factors, in standard deviations; percentages are " +
      "shares of the variance that the factors model." +
      (region.mixture.scale ? ` ${SCALED}` : "") +
      (scatter.token?.length ? " Each frequent token is named once." : "") +
      meaning,
    legend.length ? make("ul", { class: "legend" }, legend) : "",
    chart(
      `Scatter of ${plural(points.length, "row")}. Horizontally ${titles.x}` +
        (titles.y ? `; vertically ${titles.y}.` : "."),
      (width) => scatterSpec(points, titles, width, titles.y ? 340 : 130),
      { height: titles.y ? 340 : 130, lines },
    ),
  );
}
