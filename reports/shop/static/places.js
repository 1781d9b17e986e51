// Countries under their continents, to search and to tick. In: all places, those chosen. Out: a fieldset that calls back.

import { h, icon } from "./dom.js";
import { say, t } from "./text.js";

const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const matches = (one, sought) => [one.nameEn, one.nameHe].some((name) => plain(name).includes(sought));

/** `changed(kind, code, isChosen)`: kind is countries or continents. */
export function places(known, wanted, changed) {
  const said = h("p", { class: "unseen", role: "status" });
  const count = h("span", { class: "count" });
  const counted = () => {
    const n = wanted.countries.length + wanted.continents.length;
    count.textContent = n ? t("search.chosen", { n }) : "";
  };
  const tick = (kind, code, isChosen) => (changed(kind, code, isChosen), counted());
  const groups = known.continents.map((continent) => group(continent, known, wanted, tick));
  const none = h("p", { class: "none", hidden: true }, t("search.nowhere"));
  const look = ({ target }) => {
    const sought = plain(target.value.trim());
    const n = groups.reduce((sum, one) => sum + one.look(sought), 0);
    none.hidden = n > 0;
    said.textContent = sought ? (n ? t("search.found", { n }) : t("search.nowhere")) : "";
  };
  counted();
  return h(
    "fieldset",
    { class: "panel places" },
    h("legend", {}, t("search.where"), count),
    h("div", { class: "seek" }, icon("search"), h("input", { type: "search", "aria-label": t("search.placeholder"), placeholder: t("search.placeholder"), autocomplete: "off", on: { input: look, keydown: stay } })),
    said,
    h("div", { class: "groups", tabindex: 0, role: "group", "aria-label": t("search.where") }, groups.map((one) => one.element), none),
  );
}

/** Enter in the search of places looks for places, not yet for trips. */
const stay = (event) => event.key === "Enter" && event.preventDefault();

function group(continent, known, wanted, tick) {
  const countries = known.countries.filter((one) => one.continent === continent.id && one.continent !== "AN");
  const all = box("continents", continent, t("search.all", { place: say(continent) }), wanted, tick);
  const rows = countries.map((one) => ({ one, element: box("countries", one, say(one), wanted, tick) }));
  rows.sort((a, b) => say(a.one).localeCompare(say(b.one), document.documentElement.lang));
  const isOpen = wanted.continents.includes(continent.id) || countries.some(({ id }) => wanted.countries.includes(id));
  const element = h("details", { open: isOpen }, h("summary", {}, say(continent)), h("div", { class: "boxes" }, all, rows.map((row) => row.element)));
  const look = (sought) => {
    const isWhole = matches(continent, sought);
    let n = isWhole ? 1 : 0;
    all.hidden = !isWhole;
    for (const row of rows) {
      row.element.hidden = !isWhole && !matches(row.one, sought);
      n += sought && matches(row.one, sought) ? 1 : 0;
    }
    element.hidden = n === 0;
    element.open = sought ? n > 0 : isOpen;
    return n;
  };
  return { element, look };
}

function box(kind, { id }, name, wanted, tick) {
  const input = h("input", { type: "checkbox", name: kind, value: id, checked: wanted[kind].includes(id), on: { change: ({ target }) => tick(kind, id, target.checked) } });
  return h("label", { class: kind === "continents" ? "box all" : "box" }, input, name);
}
