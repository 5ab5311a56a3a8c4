// The atlas's data: parsed once, and what is asked of it everywhere.

const atlas = JSON.parse(document.getElementById("atlas-data").textContent);
const mixtures = atlas.mixtures;
const PREFIX = ["#/", "#/second/"]; // of the addresses of each mixture

mixtures.forEach((mixture, number) => {
  mixture.number = number;
  mixture.byComponent = new Map(mixture.regions.map((region) => [region.component, region]));
  mixture.noun = mixture.row_noun || "row";
  for (const region of mixture.regions) region.mixture = mixture;
});

const stringOf = (mixture, number) => mixture.strings[number] ?? "";
const conceptOf = (mixture, number) => (known(number) && number >= 0 ? mixture.concepts[number] : null);
const address = (region) => `${PREFIX[region.mixture.number]}region/${region.component}`;
const nameOf = (region) => `Region ${region.component}`;
const textOf = (region, length = 80) => cut(visible(region.label || ""), length);
// The concept that a region over-represents most, whether or not it stands for the region as `region.concept` does.
const foremost = (region) => region.concept ?? region.concepts?.[0]?.concept ?? null;
const STANDS_FOR =
  "the one that it over-represents most of those that are enriched (q of at most 0.05) and have at least a fifth of " +
  "its labeled rows, or of as many as a region of its size has on average if it has fewer";
const has = (mixture, key) => mixture.regions.some((region) => known(region[key]));
const nearest = (region) => region.neighbors?.[0] ?? null;

function regionLink(region, length = 40) {
  const text = textOf(region, length);
  return make(
    "a",
    { href: address(region) },
    make("span", { class: "number" }, String(region.component)),
    text && " ",
    text && isolated(text),
  );
}

// The text of a context, piece by piece: blanks stand inside the pieces.
const pieces = (mixture, context) => context.tokens.map((number) => stringOf(mixture, number));

// Search: every word of the question is looked for in what is written of a region. The words are put together when
// nothing else is to be done, or at the first question.
function wordsOf(region) {
  if (region.words === undefined) {
    const mixture = region.mixture;
    const parts = [
      `region ${region.component}`,
      region.label || "",
      ...(region.tokens || []).map((item) => stringOf(mixture, item.token)),
      ...(region.concepts || []).map((item) => conceptOf(mixture, item.concept) || ""),
    ];
    region.head = parts.join("\n").toLowerCase();
    region.words = (region.contexts || [])
      .map((context) => pieces(mixture, context).join(""))
      .join("\n")
      .toLowerCase();
  }
  return region;
}

function search(mixture, question) {
  const asked = question.trim().toLowerCase();
  const number = /^#?\d+$/.test(asked) ? Number(asked.replace("#", "")) : null;
  if (asked.startsWith("#") && number !== null) return mixture.regions.filter((region) => region.component === number);
  const words = asked.split(/\s+/).filter(Boolean);
  return mixture.regions.filter((region) => {
    if (!words.length || region.component === number) return true;
    const { head, words: text } = wordsOf(region);
    return words.every((word) => head.includes(word) || text.includes(word));
  });
}

// Where in a region's contexts a question was found, if nowhere else.
function snippetOf(region, question) {
  const words = question.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const { head, words: text } = wordsOf(region);
  const word = words.find((one) => !head.includes(one));
  const at = word === undefined || /^#?\d+$/.test(question.trim()) ? -1 : text.indexOf(word);
  if (at < 0) return "";
  const line = text.slice(text.lastIndexOf("\n", at) + 1, (text.indexOf("\n", at) + 1 || text.length + 1) - 1);
  const start = Math.max(0, at - text.lastIndexOf("\n", at) - 1 - 30);
  return visible(`${start ? "…" : ""}${line.slice(start, start + 60 + word.length)}…`);
}

function prepareSearch() {
  const waiting = mixtures.flatMap((mixture) => mixture.regions);
  const later = window.requestIdleCallback || ((work) => setTimeout(() => work({ timeRemaining: () => 10 }), 50));
  const work = (deadline) => {
    while (waiting.length && deadline.timeRemaining() > 2) wordsOf(waiting.pop());
    if (waiting.length) later(work);
  };
  later(work);
}
