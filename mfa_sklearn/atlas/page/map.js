// The map of all regions: area by rows, color by what is chosen.

const SHAPES = ["circle", "square", "diamond", "triangle-up", "cross"]; // for groups beyond the colors
const PADDING = { left: 18, right: 18, top: 14, bottom: 14 };
const MEASURES = [
  ["size", "rows"],
  ["weight", "weight"],
  ["sharpness", "sharpness"],
  ["purity", "purity"],
  ["dimension", "dimension"],
  ["spread", "spread"],
];

// What the map can be colored by: groups, of which the most frequent get colors of their own, or measures.
function colorings(mixture) {
  const choices = [];
  if (has(mixture, "concept"))
    choices.push({
      key: "concept",
      title: "concept",
      note: `The concept that stands for a region is ${STANDS_FOR}.`,
      value: (region) => region.concept,
      name: (value) => visible(conceptOf(mixture, value)),
    });
  if (has(mixture, "cluster") && (mixture.n_clusters ?? 2) > 1)
    choices.push({
      key: "cluster",
      title: "cluster",
      value: (region) => region.cluster,
      name: (value) => `cluster ${value}`,
    });
  for (const [key, title] of MEASURES)
    if (has(mixture, key)) choices.push({ key, title, value: (region) => region[key], measure: true });
  return choices;
}

function groupsOf(mixture, choice) {
  const counts = new Map();
  for (const region of mixture.regions) {
    const value = choice.value(region);
    if (known(value)) counts.set(value, (counts.get(value) || 0) + 1);
  }
  const order = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || a - b);
  const named = order.slice(0, PALETTE.length * SHAPES.length);
  return new Map(
    named.map((value, place) => [
      value,
      {
        color: PALETTE[place % PALETTE.length],
        shape: SHAPES[Math.floor(place / PALETTE.length)],
        count: counts.get(value),
      },
    ]),
  );
}

// Most labels: one for so many pixels. They stand over no mark, so that fewer find room on narrow windows.
const LABEL_WIDTH = 7;
const shortLabel = (region) =>
  cut(textOf(region, 200).split(" · ").slice(0, 2).join(" · "), 22) || String(region.component);

// Marks that would hide each other are moved apart on the whole map, small ones farther than large ones.
function apart(values, radius, width, height) {
  const marks = values.map((value) => ({ value, r: radius(value), h: value.x * width, v: value.y * height }));
  const widest = Math.max(...marks.map((mark) => mark.r));
  for (let moved = true, turn = 0; moved && turn < 60; turn++) {
    moved = false;
    marks.sort((a, b) => a.h - b.h);
    marks.forEach((one, i) => {
      for (let j = i + 1; j < marks.length && marks[j].h - one.h < one.r + widest; j++) {
        const other = marks[j];
        const [across, upward] = [other.h - one.h, other.v - one.v || 0.01];
        const [distance, wanted] = [Math.hypot(across, upward), one.r + other.r];
        if (distance > wanted - 0.1) continue;
        const part = other.r ** 2 / (one.r ** 2 + other.r ** 2);
        const by = (0.5 * (wanted - distance)) / distance;
        one.h -= part * by * across;
        one.v -= part * by * upward;
        other.h += (1 - part) * by * across;
        other.v += (1 - part) * by * upward;
        moved = true;
      }
    });
  }
  for (const { value, h, v } of marks) [value.x, value.y] = [h / width, v / height];
}

function mapSpec(mixture, choice, width, height) {
  const groups = choice && !choice.measure ? groupsOf(mixture, choice) : null;
  const order = [...mixture.regions].sort((a, b) => b.size - a.size);
  const most = order[0]?.size || 1;
  const all = order.reduce((sum, region) => sum + region.size, 0) || 1;
  const largest = Math.min(0.12 * width * height * (most / all), 1800);
  const sizes = [10, Math.max(40, largest)];
  const unit = (key) => {
    const all = mixture.regions.map((region) => region[key]);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    return (value) => (value - low) / (high - low || 1);
  };
  const [across, upward] = [unit("x"), unit("y")];
  const values = order.map((region, rank) => {
    const group = groups?.get(choice.value(region));
    return {
      component: region.component,
      x: across(region.x),
      y: upward(region.y),
      size: region.size,
      rank,
      text: shortLabel(region),
      color: groups ? group?.color || OTHER : PALETTE[0],
      shape: group?.shape || "circle",
      value: choice?.measure ? choice.value(region) : null,
      opacity: groups && !group ? 0.55 : 0.82,
    };
  });
  const reach = (value) => (["square", "cross"].includes(value.shape) ? 0.6 : 0.5); // of corners
  const radius = (value) => reach(value) * Math.sqrt(sizes[0] + (sizes[1] - sizes[0]) * (value.size / most));
  apart(values, radius, width - PADDING.left - PADDING.right, height - PADDING.top - PADDING.bottom);
  const extent = (key) => {
    const all = values.map((value) => value[key]);
    return [Math.min(...all), Math.max(...all)];
  };
  const measured = values
    .map((value) => value.value)
    .filter(known)
    .sort((a, b) => a - b);
  // A few extremes take no color from the rest.
  const share = (part) => measured[Math.round(part * (measured.length - 1))] ?? part;
  return {
    width,
    height,
    padding: PADDING,
    autosize: { type: "fit", contains: "padding" },
    config: { axis: AXIS, legend: LEGEND },
    signals: [
      { name: "found", value: null },
      { name: "labels", update: `width / ${LABEL_WIDTH}` },
      { name: "across", value: extent("x") },
      { name: "upward", value: extent("y") },
    ],
    data: [{ name: "regions", values }],
    scales: [
      { name: "x", type: "linear", domain: { signal: "across" }, range: "width", zero: false },
      { name: "y", type: "linear", domain: { signal: "upward" }, range: "height", zero: false },
      { name: "size", type: "linear", domain: [0, most], range: sizes },
      { name: "color", type: "linear", domain: [share(0.02), share(0.98)], clamp: true, range: { scheme: "viridis" } },
    ],
    legends: choice?.measure
      ? [
          {
            fill: "color",
            title: choice.title,
            orient: "bottom",
            direction: "horizontal",
            gradientLength: 180,
            tickCount: 4,
          },
        ]
      : [],
    marks: [
      {
        type: "symbol",
        name: "dots",
        from: { data: "regions" },
        encode: {
          enter: {
            size: { scale: "size", field: "size" },
            shape: { field: "shape" },
            fill: choice?.measure
              ? { signal: `datum.value === null ? '${OTHER}' : scale('color', datum.value)` }
              : { field: "color" },
            stroke: { value: "var(--paper)" },
            cursor: { value: "pointer" },
            tooltip: { signal: "datum" },
          },
          update: {
            x: { scale: "x", field: "x" },
            y: { scale: "y", field: "y" },
            fillOpacity: { signal: "found === null || found[datum.component] ? datum.opacity : 0.1" },
            strokeWidth: { value: 0.7 },
          },
          hover: { strokeWidth: { value: 2 }, stroke: { value: "var(--ink)" } },
        },
      },
      labelMark(
        "dots",
        {
          signal: "(found === null ? datum.datum.rank < labels : found[datum.datum.component]) ? datum.datum.text : ''",
        },
        { moved: ["labels", "found", "across", "upward"], apart: true },
      ),
    ],
  };
}

function mapLegend(mixture, choice) {
  if (!choice || choice.measure) return "";
  const groups = groupsOf(mixture, choice);
  const counted = [...groups.values()].reduce((sum, group) => sum + group.count, 0);
  const item = (color, text, count, shape = "circle") =>
    make(
      "li",
      {},
      make("span", { class: `swatch ${shape}`, "--swatch": color, "aria-hidden": "true" }),
      isolated(cut(text, 40)),
      make("span", { class: "count" }, ` ${whole(count)}`),
    );
  const rest = mixture.regions.length - counted;
  const none = mixture.regions.filter((region) => !known(choice.value(region))).length;
  return make(
    "div",
    {},
    make(
      "ul",
      { class: "legend", "aria-label": `Colors: ${choice.title}, with their numbers of regions` },
      [...groups].map(([value, group]) => item(group.color, choice.name(value), group.count, group.shape)),
      rest ? item(OTHER, rest > none ? "other or none" : "none", rest) : "",
    ),
    choice.note ? make("p", { class: "explanation" }, choice.note) : "",
  );
}

function regionLines(region) {
  const mixture = region.mixture;
  const concept = conceptOf(mixture, region.concept);
  return [
    `${nameOf(region)}  ${textOf(region, 60)}`,
    `${plural(region.size, mixture.noun)}, sharpness ${fixed(region.sharpness)}`,
    ...(concept ? [visible(concept)] : []),
  ];
}

// Closer and farther, by buttons, by the wheel with Ctrl, and by dragging; `begin` takes up where the last view was.
function zooming(current) {
  const state = { level: 1, center: [0.5, 0.5] };
  let whole = null;
  const apply = () => {
    const span = (domain, center) => {
      if (state.level === 1) return domain;
      const [length, half] = [domain[1] - domain[0] || 1, 0.5 / state.level];
      return [domain[0] + (center - half) * length, domain[0] + (center + half) * length];
    };
    current()
      .signal("across", span(whole[0], state.center[0]))
      .signal("upward", span(whole[1], state.center[1]))
      .signal("labels", (current().width() / LABEL_WIDTH) * state.level ** 2)
      .run();
  };
  const by = (factor) => {
    state.level = Math.min(40, Math.max(1, state.level * factor));
    if (state.level === 1) state.center = [0.5, 0.5];
    if (whole) apply();
  };
  const move = (right, up) => {
    state.center = state.center.map((value, i) => Math.min(1, Math.max(0, value - [right, up][i] / state.level)));
    apply();
  };
  const button = (text, name, factor) =>
    make("button", { type: "button", "aria-label": name, title: name, onclick: () => by(factor) }, text);
  return {
    buttons: make(
      "div",
      { class: "zoom" },
      button("+", "Closer", 1.6),
      button("−", "Farther", 1 / 1.6),
      button("⤢", "The whole map", 0),
    ),
    begin: (view) => {
      whole = [view.signal("across"), view.signal("upward")];
      if (state.level > 1) apply();
    },
    dragged: (picture) => {
      let last = null;
      picture.addEventListener(
        "wheel",
        (event) => {
          if (event.ctrlKey) {
            event.preventDefault();
            by(event.deltaY < 0 ? 1.25 : 0.8);
          }
        },
        { passive: false },
      );
      picture.addEventListener("pointerdown", (event) => {
        document.getElementById("tooltip").hidden = true;
        last = [event.clientX, event.clientY];
      });
      picture.addEventListener("pointermove", (event) => {
        if (!last || !event.buttons || state.level === 1) return;
        move((event.clientX - last[0]) / picture.clientWidth, (last[1] - event.clientY) / picture.clientHeight);
        last = [event.clientX, event.clientY];
      });
    },
  };
}

// The map with its choice of colors. `view.highlight(regions or null)` dims all others.
function mapPanel(mixture) {
  const choices = colorings(mixture);
  const holder = make("div", { class: "map" });
  const panel = { found: null };
  const zoom = zooming(() => panel.view);
  const show = (choice) => {
    forgetCharts(holder);
    const part = mixture.regions.length < 12 ? 0.4 : 0.62; // of the window
    const height = () => Math.max(320, Math.min(620, Math.round(window.innerHeight * part)));
    const picture = chart(
      `Map of ${plural(mixture.regions.length, "region")}: near regions are alike. The table lists the same regions.`,
      (width) => mapSpec(mixture, choice, width, height()),
      {
        height: height(),
        lines: (datum) => regionLines(mixture.byComponent.get(datum.component)),
        click: (datum) => {
          location.hash = address(mixture.byComponent.get(datum.component)).slice(1);
        },
        ready: (view) => {
          panel.view = view;
          zoom.begin(view);
          panel.highlight(panel.found);
        },
      },
    );
    zoom.dragged(picture);
    holder.replaceChildren(picture, zoom.buttons, mapLegend(mixture, choice));
  };
  panel.highlight = (found) => {
    panel.found = found;
    const names = found && Object.fromEntries(found.map((region) => [region.component, true]));
    clearTimeout(panel.waiting); // the table answers first, and the map when no more is typed
    panel.waiting = setTimeout(() => panel.view?.signal("found", names).run(), 80);
  };
  const select = make(
    "select",
    { id: "color", onchange: (event) => show(choices[event.target.value]) },
    choices.map((choice, place) => make("option", { value: place }, choice.title)),
  );
  panel.control = choices.length ? make("label", { class: "control" }, "Color by ", select) : "";
  panel.element = section(
    "Map",
    "Each mark is a region: its area is its number of rows, and what is near is alike (marks that would hide each " +
      "other are moved apart). Select one to open it.",
    holder,
  );
  show(choices[0]);
  return panel;
}
