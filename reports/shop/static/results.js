// `/search/results?…`: the ten departures that fit best. The list that somebody comes back to is the one they left, with
// the same request id: it is asked for anew only in a new page.

import { ask, choices } from "./api.js";
import { card } from "./card.js";
import { h } from "./dom.js";
import { problem } from "./router.js";
import { search } from "./searching.js";
import { money, month, say, t, whole } from "./text.js";
import * as tracking from "./tracking.js";
import { preferences, read, write } from "./wanted.js";

const KEPT_MAX = 20;
const ORDERS = {
  match: (a, b) => a.position - b.position,
  price: (a, b) => a.price - b.price || a.position - b.position,
  date: (a, b) => a.startsOn.localeCompare(b.startsOn) || a.position - b.position,
};
const answers = new Map();

export async function results({ signal, query }) {
  const known = await choices();
  const wanted = read(query);
  const found = h("div", { class: "found" }), summary = h("p", { class: "lead", role: "status" });
  const shown = { found, summary, known, wanted, signal, order: orderOf(query) };
  const element = h(
    "div",
    { class: "wide" },
    h("div", { class: "heading" }, h("div", {}, h("h1", {}, t("results.title")), summary), h("a", { class: "button", href: `/search${write(wanted)}` }, t("results.change"))),
    h("div", { class: "tune" }, filters(known, wanted), sorting(shown)),
    found,
  );
  tracking.list(found);
  return { title: t("results.title"), name: "search_results", element, start: () => look(shown) };
}

const orderOf = (query) => {
  const said = new URLSearchParams(query).get("sort");
  return Object.hasOwn(ORDERS, said || "") ? said : "match";
};

async function look(shown) {
  const { found, summary, wanted, signal } = shown;
  const key = write(wanted);
  try {
    if (!answers.has(key)) {
      summary.textContent = t("results.loading");
      found.replaceChildren(waiting());
      const answer = await ask("/api/v2/recommendations", { body: { ...preferences(wanted), ...tracking.asker() }, signal });
      answers.set(key, answer);
      if (answers.size > KEPT_MAX) answers.delete(answers.keys().next().value);
      tracking.results(answer);
    }
    fill(shown, answers.get(key));
  } catch (error) {
    if (error.name === "AbortError") return;
    summary.textContent = "";
    found.replaceChildren(problem(error, () => look(shown), "h2"));
  }
}

const waiting = () => h("div", { class: "cards", "aria-hidden": "true" }, Array.from({ length: 6 }, () => h("div", { class: "card ghost" })));

function fill(shown, answer) {
  const { found, summary } = shown;
  shown.answer = answer;
  const { results } = answer;
  summary.textContent = counted(answer);
  if (!results.length) {
    found.replaceChildren(h("div", { class: "notice" }, h("h2", {}, t("results.none")), h("p", {}, t("results.noneLead")), h("a", { class: "button primary", href: `/search${write(shown.wanted)}` }, t("results.change"))));
    return;
  }
  const primary = results.filter((one) => !one.isRelaxed), relaxed = results.filter((one) => one.isRelaxed);
  const isAll = write(shown.wanted) === "";
  found.replaceChildren(
    ...[
      primary.length && part("primary", t(isAll ? "results.everything" : "results.primary"), null, primary, 0, "search_results", shown),
      relaxed.length && part("relaxed", t("results.relaxed"), t("results.relaxedLead"), relaxed, primary.length, "relaxed_results", shown),
    ].filter(Boolean),
  );
}

/** Candidates that were found by looking further do not fit, so they are no number to boast of. */
function counted({ results, primaryCount, relaxedCount, totalCandidates }) {
  if (!results.length) return t("results.none");
  if (relaxedCount) return t("results.mixed", { primary: primaryCount, relaxed: relaxedCount });
  return t("results.count", { n: results.length, total: whole(totalCandidates) });
}

/** Positions are those that are seen: they go on from the primary to the relaxed ones. */
function part(name, title, lead, of, before, source, { known, wanted, answer, order }) {
  const sorted = [...of].sort(ORDERS[order]);
  const cards = sorted.map((one, n) => card(one, before + n + 1, { known, wanted, answer, source }));
  return h("section", { class: name, "aria-labelledby": name }, h("h2", { id: name }, title), lead && h("p", { class: "lead" }, lead), h("div", { class: "cards" }, cards));
}

function sorting(shown) {
  const change = ({ target }) => {
    shown.order = target.value;
    const here = new URL(location.href);
    here.searchParams.set("sort", shown.order);
    history.replaceState(history.state, "", here.pathname + here.search.replaceAll("%2C", ","));
    tracking.sort(shown.order);
    if (shown.answer) fill(shown, shown.answer);
  };
  const options = Object.keys(ORDERS).map((name) => h("option", { value: name, selected: name === shown.order }, t(`sort.${name}`)));
  return h("label", { class: "sort" }, t("results.sort"), h("select", { on: { change } }, options));
}

/** What was asked for, each to be taken back. */
function filters(known, wanted) {
  const chips = [...wishes(known, wanted)].map(([name, words, rest]) =>
    h("li", {}, h("button", { type: "button", class: "chip-button", "aria-label": t("results.remove", { name: words }), on: { click: () => (tracking.filter(name, rest), search({ ...wanted, [name]: rest })) } }, words, h("span", { "aria-hidden": "true" }, "×"))),
  );
  return h("ul", { class: "filters", "aria-label": t("results.filters") }, chips);
}

function* wishes(known, wanted) {
  const lists = { continents: known.continents, countries: known.countries, themes: known.themes };
  for (const [name, of] of Object.entries(lists)) {
    for (const id of wanted[name]) yield [name, say(of.find((one) => one.id === id)) || String(id), wanted[name].filter((one) => one !== id)];
  }
  if (wanted.type) yield ["type", say(known.types.find((one) => one.id === wanted.type)) || String(wanted.type), null];
  if (wanted.min) yield ["min", `${t("search.min")}: ${wanted.min}`, null];
  if (wanted.max) yield ["max", `${t("search.max")}: ${wanted.max}`, null];
  if (wanted.budget) yield ["budget", t("results.budget", { amount: money(wanted.budget) }), null];
  if (wanted.difficulty) yield ["difficulty", t(`difficulty.${Math.min(wanted.difficulty, 3)}`), null];
  if (wanted.year) yield ["year", String(wanted.year), null];
  if (wanted.month) yield ["month", month(wanted.month), null];
}
