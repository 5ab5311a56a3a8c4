// Two mixtures side by side by their matched regions.

function comparePage() {
  const [first, second] = mixtures;
  const pair = (match) => [first.byComponent.get(match.first), second.byComponent.get(match.second)];
  const matches = (atlas.matches || []).filter((match) => pair(match).every(Boolean));
  const names = [first, second].map((mixture) => visible(mixture.name));
  const table = sortableTable({
    name: "pair",
    caption: `Matched regions of ${names[0]} and ${names[1]}`,
    sort: 0,
    columns: [
      {
        title: "Jaccard",
        note: "Shared rows over all rows of both: 1 is the same region",
        numeric: true,
        value: (match) => match.jaccard,
        bar: (match) => match.jaccard,
        cell: (match) =>
          make(
            "a",
            { href: `#/compare/${match.first}/${match.second}` },
            fixed(match.jaccard),
            hidden(`: regions ${match.first} and ${match.second} side by side`),
          ),
      },
      {
        title: "Shared",
        note: "Rows that both regions hold",
        numeric: true,
        value: (match) => match.shared,
        cell: (match) => whole(match.shared),
      },
      ...[0, 1].map((side) => ({
        title: names[side] || `mixture ${side + 1}`,
        kind: "tokens",
        note: "The region of this mixture",
        value: (match) => pair(match)[side].component,
        cell: (match) => regionLink(pair(match)[side], 70),
      })),
      ...[0, 1].map((side) => ({
        title: side ? "Rows (second)" : "Rows (first)",
        numeric: true,
        note: `Rows of the region in ${names[side]}`,
        value: (match) => pair(match)[side].size,
        cell: (match) => whole(pair(match)[side].size),
      })),
    ],
  });
  table.fill(matches);
  const average = matches.reduce((sum, match) => sum + match.jaccard, 0) / Math.max(1, matches.length);
  const good = matches.filter((match) => match.jaccard >= 0.5).length;
  return [
    make("h1", { tabindex: -1 }, "Two mixtures side by side"),
    make("div", { class: "pair" }, [first, second].map(mixtureFacts)),
    section(
      "Matched regions",
      `Pairs chosen so that together they share as many rows as possible. ${plural(matches.length, "pair")}; ` +
        `mean Jaccard index ${fixed(average)}; ${whole(good)} of at least 0.5.`,
      table.element,
    ),
    unmatchedPanel(
      first,
      matches.map((match) => match.first),
    ),
    unmatchedPanel(
      second,
      matches.map((match) => match.second),
    ),
  ];
}

function unmatchedPanel(mixture, matched) {
  const used = new Set(matched);
  const rest = mixture.regions.filter((region) => !used.has(region.component));
  return rest.length
    ? section(
        `Unmatched in ${visible(mixture.name)}`,
        "",
        make(
          "ul",
          { class: "links" },
          rest.map((region) =>
            make(
              "li",
              {},
              regionLink(region),
              make("span", { class: "count" }, ` ${plural(region.size, mixture.noun)}`),
            ),
          ),
        ),
      )
    : "";
}

function pairPage(one, two) {
  const match = atlas.matches.find((some) => some.first === one.component && some.second === two.component);
  const words = (region) => new Set((region.tokens || []).map((item) => stringOf(region.mixture, item.token)));
  const [left, right] = [words(one), words(two)];
  const shared = new Set([...left].filter((word) => right.has(word)));
  const parts = [
    (region) =>
      make(
        "div",
        {},
        make("h2", { class: "side" }, visible(region.mixture.name), ": ", regionLink(region, 60)),
        factList(region),
      ),
    (region) => tokensPanel(region, shared),
    conceptsPanel,
    (region) => contextsPanel(region, { limit: 3 }),
    histogramPanel,
    scatterPanel,
    steeringPanel,
  ];
  // Part by part, so that what is compared stands side by side.
  const rows = parts.map((part) => [named(part(one), one), named(part(two), two)]).filter((row) => row.some(Boolean));
  return [
    make("h1", { tabindex: -1 }, `Regions ${one.component} and ${two.component} side by side`),
    make(
      "p",
      { class: "lead" },
      match
        ? `Jaccard index ${fixed(match.jaccard)}: ${plural(match.shared, one.mixture.noun)} in both. `
        : "These two are not matched. ",
      make("a", { href: "#/compare" }, "All pairs"),
    ),
    make(
      "div",
      { class: "pair" },
      rows.flat().map((element) => element || make("div")),
    ),
  ];
}

// A part says in its heading which mixture it is of.
function named(part, region) {
  if (part && part.matches("section"))
    part.querySelector("h2").append(" ", make("span", { class: "count" }, visible(region.mixture.name)));
  return part;
}
