// `/search?…`: what somebody wishes for. Each change stands in the address at once, so that it can be shared, and that
// the back button brings it back.

import { choices } from "./api.js";
import { h } from "./dom.js";
import { places } from "./places.js";
import { again } from "./router.js";
import { search as begin } from "./searching.js";
import { language, month, say, t } from "./text.js";
import * as tracking from "./tracking.js";
import { read, THEMES_MAX, write } from "./wanted.js";

const YEARS = 3;

export async function search({ query }) {
  const known = await choices();
  const wanted = read(query);
  const changed = (name, value) => {
    wanted[name] = value;
    history.replaceState(history.state, "", `/search${write(wanted)}${langOf(query, wanted)}`);
    tracking.filter(name, value);
  };
  const form = h("form", { class: "search", on: { submit } }, panels(known, wanted, changed), bar());
  function submit(event) {
    event.preventDefault();
    const fault = wanted.min && wanted.max && wanted.min > wanted.max ? t("search.range") : "";
    form.elements.max.setCustomValidity(fault);
    if (fault) form.elements.max.reportValidity();
    else begin(wanted);
  }
  const element = h("div", { class: "wide" }, h("h1", {}, t("search.title")), h("p", { class: "lead" }, t("search.lead")), form);
  return { title: t("search.title"), name: "search", element };
}

/** A language that the address names stays named. */
function langOf(query, wanted) {
  if (!new URLSearchParams(query).has("lang")) return "";
  return `${write(wanted) ? "&" : "?"}lang=${language()}`;
}

function panels(known, wanted, changed) {
  const tick = (kind, code, isChosen) => changed(kind, isChosen ? [...wanted[kind], code] : wanted[kind].filter((one) => one !== code));
  return [
    places(known, wanted, tick),
    h("div", { class: "rest" }, kinds(known, wanted, changed), themes(known, wanted, changed), when(wanted, changed), length(wanted, changed), difficulty(wanted, changed), budget(wanted, changed)),
  ];
}

const bar = () =>
  h(
    "div",
    { class: "bar" },
    h("button", { type: "button", class: "button", on: { click: () => (history.replaceState(null, "", "/search"), again({ isLost: true })) } }, t("search.clear")),
    h("button", { class: "button primary large" }, t("search.go")),
  );

const panel = (title, note, ...inside) => h("fieldset", { class: "panel" }, h("legend", {}, title, note && h("span", { class: "count" }, note)), inside);

/** One of several, with none of them as the first. */
const radios = (name, options, chosen, changed) =>
  h(
    "div",
    { class: "chips" },
    options.map(([value, words]) => h("label", { class: "chip" }, h("input", { type: "radio", name, value: value || "", checked: value === chosen, on: { change: () => changed(name, value) } }), h("span", {}, words))),
  );

const kinds = (known, wanted, changed) =>
  panel(t("search.type"), null, radios("type", [[null, t("search.anyType")], ...known.types.map((one) => [one.id, say(one)])], wanted.type, changed));

const difficulty = (wanted, changed) =>
  panel(t("search.difficulty"), null, radios("difficulty", [[null, t("search.any")], ...[1, 2, 3].map((n) => [n, t(`difficulty.${n}`)])], wanted.difficulty, changed));

function themes(known, wanted, changed) {
  const said = h("p", { class: "note", role: "status" });
  const boxes = known.themes.map(({ id }) => h("input", { type: "checkbox", name: "themes", value: id, checked: wanted.themes.includes(id), on: { change } }));
  function change({ target }) {
    changed("themes", target.checked ? [...wanted.themes, +target.value] : wanted.themes.filter((id) => id !== +target.value));
    limit();
  }
  function limit() {
    const isFull = wanted.themes.length >= THEMES_MAX;
    for (const one of boxes) one.disabled = isFull && !one.checked;
    said.textContent = isFull ? t("search.themesFull") : "";
  }
  limit();
  return panel(t("search.themes"), t("search.themesMost"), h("div", { class: "chips" }, known.themes.map((one, n) => h("label", { class: "chip" }, boxes[n], h("span", {}, say(one))))), said);
}

function choice(name, label, options, chosen, changed) {
  const select = h("select", { name, on: { change: ({ target }) => changed(name, +target.value || null) } }, options.map(([value, words]) => h("option", { value: value || "", selected: value === chosen }, words)));
  return h("label", {}, label, select);
}

function when(wanted, changed) {
  const first = new Date().getUTCFullYear();
  const years = Array.from({ length: YEARS }, (_, n) => [first + n, String(first + n)]);
  const months = Array.from({ length: 12 }, (_, n) => [n + 1, month(n + 1)]);
  const any = [null, t("search.any")];
  return panel(t("search.when"), null, h("div", { class: "pair" }, choice("year", t("search.year"), [any, ...years], wanted.year, changed), choice("month", t("search.month"), [any, ...months], wanted.month, changed)));
}

/** What is no number in its range counts as nothing, and the browser says what is wrong when the form is sent. */
function number(name, label, most, wanted, changed) {
  const field = h("input", { type: "number", name, min: 1, max: most, value: wanted[name], inputmode: "numeric", on: { input } });
  function input() {
    field.form.elements.max.setCustomValidity("");
    changed(name, field.validity.valid && field.value ? +field.value : null);
  }
  return h("label", {}, label, field);
}

const length = (wanted, changed) =>
  panel(t("search.duration"), null, h("div", { class: "pair" }, number("min", t("search.min"), 365, wanted, changed), number("max", t("search.max"), 365, wanted, changed)));

const budget = (wanted, changed) => panel(t("search.budget"), null, number("budget", t("search.budgetUnit"), 1000000, wanted, changed));
