// Elements of the page. Strings become text nodes and nothing else, whatever is in them.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

// A part of a page under a heading, with a sentence that says what is seen.
function section(title, explanation, ...content) {
  if (!content.some(Boolean)) return "";
  const id = `section-${section.count++}`;
  return make(
    "section",
    { "aria-labelledby": id, class: "panel" },
    make("h2", { id }, title),
    explanation && make("p", { class: "explanation" }, explanation),
    ...content,
  );
}
section.count = 0;

const hidden = (text) => make("span", { class: "visually-hidden" }, text);

// Numbers: counts with separators, measures with three digits, shares in percent.
const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const DIGITS = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });
const ALIGNED = new Intl.NumberFormat("en-US", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const known = (value) => value !== null && value !== undefined;
const write = (format) => (value) => (known(value) ? format(value).replace("-", "−") : "–");
const whole = write((value) => WHOLE.format(value));
const digits = write((value) => DIGITS.format(value));
const aligned = write((value) => ALIGNED.format(value));
const fixed = write((value) => value.toFixed(2));
const percent = write((value) => `${value >= 0.9995 ? 100 : (100 * value).toFixed(1)}\u00a0%`);
const percents = write((value) => `${(100 * value).toFixed(value && value < 0.001 ? 3 : 2)}\u00a0%`);
const signed = write((value) => `${value < 0 ? "" : "+"}${value.toFixed(2)}`);
const small = write((value) =>
  value < 1e-4 ? (value < 1e-12 ? "< 1e-12" : value.toExponential(0)) : DIGITS.format(value),
);
const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;

// What a text is as a reader may see it: what controls direction, has no width or no sign of its own is written out.
const SIGNS = { "\n": "↵", "\r": "↵", "\t": "⇥" };
function visible(text) {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (sign) => SIGNS[sign] ?? `\\u${sign.codePointAt(0).toString(16).padStart(4, "0")}`,
  );
}
const label = (text) => visible(text).trim() || "␣".repeat(text.length) || "∅";
const cut = (text, length) => {
  const signs = [...text];
  return signs.length > length ? `${signs.slice(0, length - 1).join("")}…` : text;
};

// A text whose direction stays its own.
const isolated = (text, attributes = {}) => make("bdi", attributes, text);

// A token by itself: its blanks are a part of it, so they are shown, faintly.
function tokenChip(text) {
  const shown = visible(text);
  const core = shown.trim();
  const lead = core ? shown.length - shown.trimStart().length : 0;
  const blank = lead ? make("span", { class: "blank", "aria-hidden": "true" }, "·".repeat(lead)) : "";
  return make("bdi", { class: "token" }, blank, core || label(text));
}
