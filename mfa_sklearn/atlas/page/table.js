// A table that can be sorted by every column, and shows a hundred lines until more are asked for.
// A column: {title, note, value(row) to sort by, cell(row) to show, numeric, bar(row) from 0 to 1}.

const LINES = 100;
const FIRST = 30;

// What is asked of it stays in `memory`, so that it is there again when a reader comes back.

function sortableTable({ columns, caption, sort, name, described, memory = {} }) {
  const state = Object.assign(memory, { sort, descending: true, lines: LINES, ...memory, rows: [] });
  const body = make("tbody");
  const more = make("p", { class: "more" });
  const heads = columns.map((column, place) =>
    make(
      "th",
      { scope: "col", class: column.numeric && "numeric" },
      make("button", { type: "button", title: column.note, onclick: () => sortBy(place) }, column.title),
    ),
  );
  const table = make(
    "table",
    { class: "sortable" },
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, heads)),
    body,
  );

  function sortBy(place) {
    state.descending = state.sort === place ? !state.descending : Boolean(columns[place].numeric);
    state.sort = place;
    fill(true);
    described?.(`Sorted by ${columns[place].title}, ${state.descending ? "descending" : "ascending"}.`);
  }

  function compare(one, two) {
    const [a, b] = [columns[state.sort].value(one), columns[state.sort].value(two)];
    if (!known(a) || !known(b)) return Number(!known(a)) - Number(!known(b)); // what is unknown stands last
    const order = typeof a === "string" ? a.localeCompare(b) : a - b;
    return state.descending ? -order : order;
  }

  function line(row) {
    return make(
      "tr",
      {},
      columns.map((column, place) =>
        make(
          place ? "td" : "th",
          {
            scope: place ? null : "row",
            class: column.numeric ? "numeric" : column.kind,
            "--part": column.bar?.(row),
            "data-bar": Boolean(column.bar),
          },
          column.cell(row),
        ),
      ),
    );
  }

  // While a reader types or sorts, the first lines answer at once, and the rest follows.
  function fill(hurried = false) {
    heads.forEach((head, place) =>
      head.setAttribute("aria-sort", place !== state.sort ? "none" : state.descending ? "descending" : "ascending"),
    );
    const rows = [...state.rows].sort(compare);
    const first = hurried ? FIRST : state.lines;
    clearTimeout(state.following);
    body.replaceChildren(...rows.slice(0, Math.min(first, state.lines)).map(line));
    if (hurried) state.following = setTimeout(() => body.append(...rows.slice(first, state.lines).map(line)), 60);
    const left = rows.length - state.lines;
    more.replaceChildren(
      ...(left <= 0
        ? []
        : [
            make(
              "button",
              { type: "button", onclick: () => show(state.lines + 5 * LINES) },
              `Show ${whole(Math.min(left, 5 * LINES))} more of ${plural(rows.length, name)}`,
            ),
          ]),
    );
  }

  function show(lines) {
    const first = state.lines;
    state.lines = lines;
    fill();
    body.rows[first]?.querySelector("a")?.focus();
  }

  const region = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
  return {
    element: make("div", {}, region, more),
    fill: (rows, hurried) => {
      state.rows = rows;
      fill(hurried);
    },
  };
}

// The table of all regions: its columns, without those of which nothing is known.
function regionColumns(mixture, asked) {
  const most = Math.max(1, ...mixture.regions.map((region) => region.size));
  const measure = (key, title, note, cell, bar) =>
    has(mixture, key) && {
      title,
      note,
      numeric: true,
      value: (region) => region[key],
      cell: (region) => cell(region[key]),
      bar,
    };
  return [
    {
      title: "Region",
      note: "Number of the component",
      numeric: true,
      value: (region) => region.component,
      cell: (region) => make("a", { href: address(region) }, hidden("Region "), String(region.component)),
    },
    mixture.regions.some((region) => region.label) && {
      title: mixture.regions.some((region) => region.tokens?.length) ? "Tokens" : "Label",
      note: "What stands out in the region",
      kind: "tokens",
      value: (region) => textOf(region),
      cell: (region) => [isolated(textOf(region, 90)), foundMark(region, asked())],
    },
    mixture.regions.some((region) => known(foremost(region))) && {
      title: "Concept",
      note: `The concept that stands for the region: ${STANDS_FOR}; faint where none does, only the first of its list`,
      kind: "concept",
      value: (region) => conceptOf(mixture, foremost(region)),
      cell: (region) =>
        known(foremost(region))
          ? isolated(visible(conceptOf(mixture, foremost(region))), { class: known(region.concept) ? null : "weak" })
          : "–",
    },
    measure(
      "size",
      "Rows",
      `Rows (${mixture.noun}s) whose most probable component it is`,
      whole,
      (region) => region.size / most,
    ),
    measure("weight", "Weight", "Share of the mixture", percents),
    measure(
      "sharpness",
      "Sharpness",
      "Mean responsibility of its own rows: 1 is certain",
      fixed,
      (region) => region.sharpness || 0,
    ),
    measure(
      "purity",
      "Purity",
      "Largest share of one concept among its labeled rows",
      fixed,
      (region) => region.purity || 0,
    ),
    measure("dimension", "Dimension", "Participation ratio of its covariance", aligned),
    measure("spread", "Spread", "Root of its total variance", aligned),
    {
      title: "Nearest",
      note: "The region with the smallest Bhattacharyya distance, and that distance",
      numeric: true,
      value: (region) => nearest(region)?.distance,
      cell: (region) => nearestCell(region),
    },
  ].filter(Boolean);
}

function nearestCell(region) {
  const close = nearest(region);
  const other = close && region.mixture.byComponent.get(close.component);
  return other
    ? [
        make("a", { href: address(other) }, hidden("Region "), String(other.component)),
        make("span", { class: "count" }, ` ${aligned(close.distance)}`),
      ]
    : "–";
}

function foundMark(region, question) {
  const text = question && snippetOf(region, question);
  return text ? make("div", { class: "found" }, isolated(text)) : "";
}

// The table with its search. `changed(regions or null)` hears what was found.
function tablePanel(mixture, changed, ...beside) {
  const memory = (mixture.memory ??= { question: "" });
  let question = memory.question;
  const status = make("p", { role: "status", "aria-live": "polite", class: "status" });
  const input = make("input", {
    type: "search",
    id: "search",
    autocomplete: "off",
    spellcheck: "false",
    value: question,
    placeholder: mixture.regions.some((region) => region.tokens?.length)
      ? "token, concept, word of a context, number"
      : "word of a label, concept, number",
    "aria-describedby": "search-help",
    oninput: () => {
      memory.lines = LINES;
      find(input.value, true);
    },
  });
  const columns = regionColumns(mixture, () => question);
  const table = sortableTable({
    columns,
    sort: Math.max(
      0,
      columns.findIndex((column) => column.title === "Rows"),
    ),
    name: "region",
    memory,
    caption: `Regions of ${visible(mixture.name || "the mixture")}`,
    described: (text) => status.replaceChildren(`${counted()} ${text}`),
  });
  let found = mixture.regions;
  const counted = () => `${question ? `${whole(found.length)} of ` : ""}${plural(mixture.regions.length, "region")}.`;
  const find = (text, hurried = false) => {
    question = memory.question = text.trim();
    found = search(mixture, question);
    table.fill(found, hurried);
    status.replaceChildren(counted());
    changed?.(question ? found : null);
  };
  const controls = make(
    "div",
    { class: "controls", role: "search" },
    make("label", { class: "control", for: "search" }, "Search"),
    input,
    make(
      "span",
      { id: "search-help", class: "visually-hidden" },
      "In tokens, concepts, numbers and contexts; every word has to occur.",
    ),
    ...beside,
    status,
  );
  return { element: section("Table", "", table.element), controls, find, start: () => find(question) };
}
