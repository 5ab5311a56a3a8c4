// The map of all regions: area by rows, color by what is chosen.

const MEASURES = [
  ["size", "rows"], ["weight", "weight"], ["sharpness", "sharpness"], ["purity", "purity"],
  ["dimension", "dimension"], ["spread", "spread"],
];

// What the map can be colored by: groups, of which the most frequent get colors of their own, or measures.
function colorings(mixture) {
  const choices = [];
  if (has(mixture, "cluster") && (mixture.n_clusters ?? 2) > 1) choices.push({ key: "cluster", title: "cluster", name: (value) => `cluster ${value}` });
  if (has(mixture, "concept")) choices.push({ key: "concept", title: "most enriched concept", name: (value) => visible(conceptOf(mixture, value)) });
  for (const [key, title] of MEASURES) if (has(mixture, key)) choices.push({ key, title, measure: true });
  return choices;
}

function groupsOf(mixture, choice) {
  const counts = new Map();
  for (const region of mixture.regions) {
    if (known(region[choice.key])) counts.set(region[choice.key], (counts.get(region[choice.key]) || 0) + 1);
  }
  const order = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a - b);
  return new Map(order.slice(0, PALETTE.length).map((value, place) => [value, { color: PALETTE[place], count: counts.get(value) }]));
}

function mapSpec(mixture, choice, width, height) {
  const groups = choice && !choice.measure ? groupsOf(mixture, choice) : null;
  const order = [...mixture.regions].sort((a, b) => b.size - a.size);
  const most = order[0]?.size || 1;
  const all = order.reduce((sum, region) => sum + region.size, 0) || 1;
  const largest = Math.min(0.22 * width * height * (most / all), 2400);
  const values = order.map((region, rank) => ({
    component: region.component, x: region.x, y: region.y, size: region.size, rank,
    text: rank < width / 14 ? cut(textOf(region, 200), 22) || String(region.component) : "",
    color: groups ? groups.get(region[choice.key])?.color || OTHER : PALETTE[0],
    value: choice?.measure ? region[choice.key] : null,
  }));
  const extent = (key) => { const all = values.map((value) => value[key]); return [Math.min(...all), Math.max(...all)]; };
  const measured = values.map((value) => value.value).filter(known);
  return {
    width, height, padding: { left: 18, right: 18, top: 14, bottom: 14 }, autosize: { type: "fit", contains: "padding" },
    config: { axis: AXIS, legend: LEGEND },
    signals: [{ name: "found", value: null }],
    data: [{ name: "regions", values }],
    scales: [
      { name: "x", type: "linear", domain: extent("x"), range: "width", zero: false },
      { name: "y", type: "linear", domain: extent("y"), range: "height", zero: false },
      { name: "size", type: "linear", domain: [0, most], range: [10, Math.max(40, largest)] },
      { name: "color", type: "linear", domain: measured.length ? [Math.min(...measured), Math.max(...measured)] : [0, 1], range: { scheme: "viridis" } },
    ],
    legends: choice?.measure
      ? [{ fill: "color", title: choice.title, orient: "bottom-right", direction: "horizontal", gradientLength: Math.min(160, width / 3) }] : [],
    marks: [
      { type: "symbol", name: "dots", from: { data: "regions" }, encode: {
        enter: {
          x: { scale: "x", field: "x" }, y: { scale: "y", field: "y" }, size: { scale: "size", field: "size" },
          fill: choice?.measure ? { signal: `datum.value === null ? '${OTHER}' : scale('color', datum.value)` } : { field: "color" },
          stroke: { value: "var(--paper)" }, cursor: { value: "pointer" }, tooltip: { signal: "datum" },
        },
        update: { fillOpacity: { signal: "found === null || found[datum.component] ? 0.82 : 0.1" }, strokeWidth: { value: 0.7 } },
        hover: { strokeWidth: { value: 2 }, stroke: { value: "var(--ink)" } } } },
      labelMark("dots", { signal: "width" }, { signal: "height" }),
    ],
  };
}

function mapLegend(mixture, choice) {
  if (!choice || choice.measure) return "";
  const groups = groupsOf(mixture, choice);
  const counted = [...groups.values()].reduce((sum, group) => sum + group.count, 0);
  const item = (color, text, count) => make("li", {}, make("span", { class: "swatch", "--swatch": color, "aria-hidden": "true" }),
    isolated(cut(text, 40)), make("span", { class: "count" }, ` ${whole(count)}`));
  const rest = mixture.regions.length - counted;
  return make("ul", { class: "legend", "aria-label": `Colors: ${choice.title}, with numbers of regions` },
    [...groups].map(([value, group]) => item(group.color, choice.name(value), group.count)),
    rest ? item(OTHER, "other or none", rest) : "");
}

function regionLines(region) {
  const mixture = region.mixture;
  const concept = conceptOf(mixture, region.concept);
  return [`${nameOf(region)}  ${textOf(region, 60)}`,
    `${plural(region.size, mixture.noun)}, sharpness ${fixed(region.sharpness)}`, ...(concept ? [visible(concept)] : [])];
}

// The map with its choice of colors. `view.highlight(regions or null)` dims all others.
function mapPanel(mixture) {
  const choices = colorings(mixture);
  const holder = make("div", { class: "map" });
  const panel = { found: null };
  const show = (choice) => {
    forgetCharts(holder);
    const height = () => Math.max(320, Math.min(620, Math.round(window.innerHeight * 0.62)));
    const picture = chart(
      `Map of ${plural(mixture.regions.length, "region")}: near regions are alike. The table lists the same regions.`,
      (width) => mapSpec(mixture, choice, width, height()),
      { height: height(), lines: (datum) => regionLines(mixture.byComponent.get(datum.component)),
        click: (datum) => { location.hash = address(mixture.byComponent.get(datum.component)).slice(1); },
        ready: (view) => { panel.view = view; panel.highlight(panel.found); } });
    holder.replaceChildren(picture, mapLegend(mixture, choice));
  };
  panel.highlight = (found) => {
    panel.found = found;
    const names = found && Object.fromEntries(found.map((region) => [region.component, true]));
    panel.view?.signal("found", names).run();
  };
  const select = make("select", { id: "color", onchange: (event) => show(choices[event.target.value]) },
    choices.map((choice, place) => make("option", { value: place }, choice.title)));
  const control = choices.length ? make("label", { class: "control" }, "Color by ", select) : "";
  panel.element = section("Map", "Each disc is a region; its area is its number of rows, and near discs are regions with similar densities. Select one to open it.",
    control, holder);
  show(choices[0]);
  return panel;
}
