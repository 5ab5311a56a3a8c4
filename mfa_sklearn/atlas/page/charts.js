// Charts by Vega. Colors are properties of the style sheet: a chart follows the theme without being drawn again.

const PALETTE = [
  "var(--c0)",
  "var(--c1)",
  "var(--c2)",
  "var(--c3)",
  "var(--c4)",
  "var(--c5)",
  "var(--c6)",
  "var(--c7)",
];
const OTHER = "var(--other)";
const FONT = "system-ui, sans-serif";
const AXIS = {
  labelColor: "var(--muted)",
  titleColor: "var(--ink)",
  tickColor: "var(--line)",
  domainColor: "var(--line)",
  gridColor: "var(--line)",
  titleFontWeight: "normal",
  labelFont: FONT,
  titleFont: FONT,
  labelFontSize: 11,
  titleFontSize: 12,
  titlePadding: 6,
  tickSize: 4,
};
const LEGEND = {
  labelColor: "var(--ink)",
  titleColor: "var(--ink)",
  labelFont: FONT,
  titleFont: FONT,
  labelFontSize: 11,
  titleFontSize: 12,
  titleFontWeight: "normal",
  labelLimit: 170,
  titleLimit: 200,
  symbolStrokeColor: "transparent",
};

// Draws what comes into view, and again when its width changes. `specify(width)` returns a Vega specification.
const seen = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      resized.observe(entry.target);
      drawNow(entry.target);
    }
  },
  { rootMargin: "200px" },
);
const resized = new ResizeObserver((entries) => entries.forEach((entry) => drawNow(entry.target)));

// A chart is a picture with a text in its place for those who do not see it.
function chart(alternative, specify, options = {}) {
  const canvas = make("div", {
    class: "chart",
    role: "img",
    "aria-label": alternative,
    "--height": `${options.height || 220}px`,
  });
  canvas.drawing = { specify, options, width: null, view: null };
  seen.observe(canvas);
  return canvas;
}

async function drawNow(canvas) {
  const drawing = canvas.drawing;
  const width = Math.floor(canvas.clientWidth);
  if (!width || width === drawing.width) return;
  drawing.width = width;
  const place = make("div", { "aria-hidden": "true" });
  const settings = {
    mode: "vega",
    ast: true,
    actions: false,
    renderer: "svg",
    defaultStyle: false,
    tooltip: pointAt(drawing),
  };
  const { view, finalize } = await vegaEmbed(place, drawing.specify(width), settings);
  if (drawing.width !== width) return finalize();
  drawing.finalize?.();
  Object.assign(drawing, { view, finalize });
  canvas.replaceChildren(place);
  canvas.dataset.drawn = "";
  const { click, ready } = drawing.options;
  if (click) view.addEventListener("click", (event, item) => item?.datum && click(item.datum.datum ?? item.datum));
  ready?.(view);
}

function forgetCharts(root) {
  for (const canvas of root.querySelectorAll(".chart")) {
    seen.unobserve(canvas);
    resized.unobserve(canvas);
    canvas.drawing?.finalize?.();
  }
  document.getElementById("tooltip").hidden = true;
}

// What is said of the thing pointed at: lines of text beside the pointer.
const pointAt = (drawing) => (handler, event, item, value) => {
  const box = document.getElementById("tooltip");
  box.hidden = !value || !drawing.options.lines;
  if (box.hidden) return;
  const lines = drawing.options.lines(value.datum ?? value);
  box.replaceChildren(...lines.map((line) => make("div", { dir: "auto" }, line)));
  const left = Math.min(event.clientX + 14, window.innerWidth - box.offsetWidth - 8);
  const top = Math.min(event.clientY + 14, window.innerHeight - box.offsetHeight - 8);
  box.style.setProperty("left", `${Math.max(8, left)}px`);
  box.style.setProperty("top", `${Math.max(8, top)}px`);
};

// Labels beside points, the first ones first, none over another.
// `apart`: they stand over no point either.
// They are placed again when a signal of `moved` changes; Vega looks at the size only, so the size depends on them.
function labelMark(name, text, { moved = [], apart = false } = {}) {
  return {
    type: "text",
    from: { data: name },
    interactive: false,
    encode: {
      update: { text, opacity: { value: 1 }, x: { field: "x" }, y: { field: "y" } },
      enter: {
        fontSize: { value: 11 },
        font: { value: FONT },
        fill: { value: "var(--ink)" },
        stroke: { value: "var(--paper)" },
        strokeWidth: { value: 3 },
        strokeJoin: { value: "round" },
      },
    },
    transform: [
      {
        type: "label",
        size: { signal: `[width, ${["height", ...moved.map((signal) => `0 * isValid(${signal})`)].join(" + ")}]` },
        avoidBaseMark: apart,
        offset: [2],
        padding: 0,
        anchor: ["right", "left", "top", "bottom", "top-right", "bottom-right", "top-left", "bottom-left"],
        sort: { field: "datum.rank", order: "ascending" },
      },
    ],
  };
}

// The histogram of a region: its own rows filled, other rows as a line, both as shares of their number.
function histogramSpec(histogram, width, height) {
  const step = (histogram.high - histogram.low) / histogram.own.length;
  const total = (counts) =>
    Math.max(
      1,
      counts.reduce((sum, count) => sum + count, 0),
    );
  const [owns, others] = [total(histogram.own), total(histogram.others)];
  const bins = histogram.own.map((count, place) => ({
    from: histogram.low + place * step,
    to: histogram.low + (place + 1) * step,
    own: count / owns,
    other: histogram.others[place] / others,
    count,
    others: histogram.others[place],
  }));
  const end = bins[bins.length - 1];
  const x = (field) => ({ scale: "x", field });
  return {
    width,
    height,
    padding: 3,
    autosize: { type: "fit", contains: "padding" },
    config: { axis: AXIS },
    data: [
      { name: "bins", values: bins },
      { name: "line", values: [...bins, { ...end, from: end.to }] },
    ],
    scales: [
      { name: "x", type: "linear", domain: [histogram.low, histogram.high], range: "width", nice: false, zero: false },
      {
        name: "y",
        type: "linear",
        domain: [0, Math.max(...bins.map((bin) => Math.max(bin.own, bin.other)))],
        range: "height",
        nice: true,
      },
    ],
    axes: [
      { orient: "bottom", scale: "x", title: "log density under this component (nats)", tickCount: 6 },
      { orient: "left", scale: "y", title: "share of the rows", format: ".0%", tickCount: 4, grid: true },
    ],
    marks: [
      {
        type: "rect",
        from: { data: "bins" },
        encode: {
          enter: {
            x: x("from"),
            x2: x("to"),
            y: { scale: "y", field: "own" },
            y2: { scale: "y", value: 0 },
            fill: { value: "var(--accent)" },
            fillOpacity: { value: 0.55 },
            tooltip: { signal: "datum" },
          },
        },
      },
      {
        type: "line",
        from: { data: "line" },
        interactive: false,
        encode: {
          enter: {
            x: x("from"),
            y: { scale: "y", field: "other" },
            interpolate: { value: "step-after" },
            stroke: { value: "var(--second)" },
            strokeWidth: { value: 1.8 },
          },
        },
      },
    ],
  };
}

// The scatter of a region's rows along its principal axes, one label for each of the frequent tokens.
function scatterSpec(points, titles, width, height) {
  const domain = (key) => [
    Math.min(...points.map((point) => point[key])),
    Math.max(...points.map((point) => point[key])),
  ];
  const scale = (name, range) => ({ name, type: "linear", domain: domain(name), range, zero: false, nice: true });
  const axis = (orient, name) => ({
    orient,
    scale: name,
    title: titles[name],
    grid: true,
    tickCount: 5,
    titleLimit: (orient === "left" ? height : width) - 40,
  });
  return {
    width,
    height,
    padding: 2,
    autosize: { type: "fit", contains: "padding" },
    config: { axis: AXIS },
    data: [{ name: "points", values: points }],
    scales: [scale("x", "width"), scale("y", "height")],
    axes: titles.y ? [axis("bottom", "x"), axis("left", "y")] : [axis("bottom", "x")],
    marks: [
      {
        type: "symbol",
        name: "dots",
        from: { data: "points" },
        encode: {
          enter: {
            x: { scale: "x", field: "x" },
            y: { scale: "y", field: "y" },
            size: { value: points.length > 400 ? 14 : 24 },
            fill: { field: "color" },
            fillOpacity: { value: 0.8 },
            tooltip: { signal: "datum" },
          },
        },
      },
      labelMark("dots", { field: "datum.text" }),
    ],
  };
}
