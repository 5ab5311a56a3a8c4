// A region's rows in the texts they come from, shaded by what is known of each token.

const KINDS = { typical: "Typical", token: "Of a distinguishing token", outlying: "Outlying" };

// A row that is shown for several reasons stands under the first of them and names the others.
function contextFigure(mixture, context, shade) {
  const parts = pieces(mixture, context);
  const values = context[shade] || [];
  const spans = parts.map((text, place) => {
    const value = values[place] ?? -1;
    const responsibility = context.responsibility?.[place] ?? -1;
    const score = context.score?.[place] ?? -1;
    const title =
      value < 0
        ? "no row of this mixture"
        : `responsibility ${(responsibility / 100).toFixed(2)}` +
          (score < 0 ? "" : `, score above ${score} % of its own rows`);
    const core = text.trimStart();
    return [
      core ? visible(text.slice(0, text.length - core.length)) : "",
      make(
        place === context.at ? "mark" : "span",
        { class: "t", title, "--shade": value > 0 ? value / 100 : null },
        visible(core || text),
      ),
    ];
  });
  const concept = conceptOf(mixture, context.concept);
  const notes = [
    concept && isolated(visible(concept)),
    known(context.log_density) && `log density ${digits(context.log_density)} nats`,
    known(context.row) && `row ${context.row}`,
    ...context.kinds.slice(1).map((kind) => `also ${KINDS[kind].toLowerCase()}`),
  ].filter(Boolean);
  return make(
    "li",
    {},
    make("p", { class: "context", dir: "auto" }, spans),
    make(
      "p",
      { class: "count" },
      notes.flatMap((note, place) => (place ? [" · ", note] : [note])),
    ),
  );
}

function contextsPanel(region, { limit = 6 } = {}) {
  const contexts = region.contexts || [];
  if (!contexts.length) return "";
  const mixture = region.mixture;
  const holder = make("div");
  let shown = "responsibility";
  const fill = (shade) => {
    shown = shade;
    holder.replaceChildren(
      ...Object.entries(KINDS)
        .map(([kind, title]) => {
          const some = contexts.filter((context) => context.kinds[0] === kind);
          if (!some.length) return "";
          return make(
            "div",
            {},
            make("h3", {}, title),
            make(
              "ul",
              { class: "contexts" },
              some.slice(0, limit).map((context) => contextFigure(mixture, context, shade)),
            ),
            some.length > limit
              ? make(
                  "button",
                  {
                    type: "button",
                    class: "small",
                    onclick: () => {
                      limit = Infinity;
                      fill(shown);
                    },
                  },
                  `Show ${some.length - limit} more`,
                )
              : "",
          );
        })
        .filter(Boolean),
    );
  };
  const name = `shade-${section.count}`;
  const choice = (shade, text) =>
    make(
      "label",
      {},
      make("input", {
        type: "radio",
        name,
        value: shade,
        checked: shade === "responsibility",
        onchange: () => fill(shade),
      }),
      ` ${text}`,
    );
  fill("responsibility");
  return section(
    "Contexts",
    "Rows in the text they come from; the row itself is underlined. The darker a token, the more of it belongs " +
      "to this region (responsibility), or the higher its log density here among the region’s own rows (score). " +
      "Log densities are natural logarithms (nats): higher is more typical, and only differences count.",
    make(
      "fieldset",
      { class: "switch" },
      make("legend", {}, "Shade by"),
      choice("responsibility", "responsibility"),
      choice("score", "score"),
    ),
    holder,
  );
}
