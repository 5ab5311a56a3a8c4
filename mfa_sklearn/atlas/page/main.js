// Addresses and what they show, the theme, and keys.

const main = document.getElementById("main");
const TITLE = document.title;

function mixtureFacts(mixture) {
  const facts = mixture.source || {};
  const write = { model: (name) => `model “${name}”`, site: (name) => `${name} site` };
  const source = ["model", "revision", "layer", "site", "pooling"]
    .filter((key) => known(facts[key]))
    .map((key) => (write[key] || ((value) => `${key} ${value}`))(cut(String(facts[key]), 24)))
    .join(", ");
  const count = plural(mixture.n_components, "region");
  const text = [
    String(mixture.name).includes(count) ? "" : count,
    plural(mixture.n_factors, "factor"),
    plural(mixture.n_features, "feature"),
    plural(mixture.n_rows, mixture.noun),
  ]
    .filter(Boolean)
    .join(" · ");
  const likelihood =
    known(mixture.log_likelihood) &&
    `Mean log-likelihood ${digits(mixture.log_likelihood)} nats a row, to compare mixtures of the same rows by: ` +
      "higher is better.";
  return make(
    "div",
    { class: "lead" },
    make("p", {}, make("b", {}, isolated(visible(mixture.name || ""))), mixture.name ? " · " : "", text),
    source ? make("p", { class: "explanation" }, `From ${visible(source)}.`) : "",
    likelihood ? make("p", { class: "explanation" }, likelihood) : "",
  );
}

function overviewPage(mixture, tableOnly) {
  const map = tableOnly ? null : mapPanel(mixture);
  const table = tablePanel(mixture, (found) => map?.highlight(found), map?.control ?? "");
  table.start();
  const title = tableOnly ? "All regions" : visible(atlas.title || "Atlas");
  const heading = make("h1", { tabindex: -1, dir: "auto", class: tableOnly ? null : "visually-hidden" }, title);
  return [heading, mixtureFacts(mixture), table.controls, map?.element ?? "", table.element];
}

// From an address to [title, elements of the page].
function pageAt(hash) {
  const parts = hash.replace(/^#\/?/, "").split("/").filter(Boolean);
  const mixture = mixtures[parts[0] === "second" && mixtures.length > 1 ? 1 : 0];
  if (parts[0] === "second") parts.shift();
  const [view, first, second] = parts;
  const region = mixture.byComponent.get(Number(first));
  if (view === "region" && first !== undefined && region)
    return [
      `${nameOf(region)} ${textOf(region, 40)}${mixtures.length > 1 ? ` of ${visible(mixture.name)}` : ""}`,
      () => regionPage(region),
    ];
  if (view === "compare" && mixtures.length > 1) {
    const pair = [mixtures[0].byComponent.get(Number(first)), mixtures[1].byComponent.get(Number(second))];
    if (first !== undefined && second !== undefined && pair.every(Boolean))
      return [`Regions ${first} and ${second}`, () => pairPage(...pair)];
    return ["Comparison", () => comparePage()];
  }
  if (view === "table") return ["All regions", () => overviewPage(mixture, true)];
  if (view)
    return [
      "Not found",
      () => [
        make("h1", { tabindex: -1 }, "There is no such region"),
        make("p", {}, make("a", { href: "#/" }, "To the map")),
      ],
    ];
  return ["", () => overviewPage(mixture, false)];
}

function showViews(hash) {
  const second = /^#\/second/.test(hash) && mixtures.length > 1;
  const base = PREFIX[Number(second)];
  const link = (href, text, current) => make("a", { href, "aria-current": current && "page" }, text);
  const rest = hash.replace(/^#\/(second\/?)?/, "");
  const views = [link(base, "Map", rest === ""), link(`${base}table`, "Table", rest === "table")];
  if (mixtures.length > 1) {
    views.push(
      link("#/compare", "Compare", rest.startsWith("compare")),
      make("span", { class: "divider" }),
      ...mixtures.map((mixture, number) =>
        make(
          "a",
          {
            href: PREFIX[number],
            class: "mixture",
            "aria-current": number === Number(second) && !rest.startsWith("compare") && "true",
          },
          isolated(cut(visible(mixture.name), 24)),
        ),
      ),
    );
  }
  document.getElementById("views").replaceChildren(...views);
}

let searching = false; // whether the next page is opened in order to search
function navigate(moved = true) {
  const [title, build] = pageAt(location.hash);
  forgetCharts(main);
  main.replaceChildren(...build().filter((element) => element !== ""));
  document.title = title ? `${title} – ${TITLE}` : TITLE;
  showViews(location.hash || "#/");
  if (moved) {
    window.scrollTo(0, history.state?.y ?? 0);
    (searching ? document.getElementById("search") : main.querySelector("h1"))?.focus({ preventScroll: true });
  }
  searching = false;
}

function focusSearch() {
  const input = document.getElementById("search");
  searching = !input;
  if (input) input.focus();
  else location.hash = `${/^#\/second/.test(location.hash) ? PREFIX[1] : PREFIX[0]}table`;
}

// Where a page was left is where the way back leads.
document.addEventListener("click", () => history.replaceState({ y: window.scrollY }, ""), { capture: true });

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, [role=region]"))
    return;
  const step = { ArrowLeft: "step-prev", ArrowRight: "step-next" }[event.key];
  if (event.key === "/") focusSearch();
  else if (step && document.getElementById(step)) document.getElementById(step).click();
  else return;
  event.preventDefault();
});

const theme = document.getElementById("theme");
function setTheme(value) {
  document.documentElement.dataset.theme = value;
  theme.value = value;
}
theme.addEventListener("change", () => {
  setTheme(theme.value);
  try {
    localStorage.setItem("atlas-theme", theme.value);
  } catch {
    /* a file may have no storage */
  }
});
try {
  setTheme(localStorage.getItem("atlas-theme") || "");
} catch {
  setTheme("");
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
window.addEventListener("hashchange", () => navigate());
navigate(false);
prepareSearch();
