// `/`: an invitation, ways in, and what leaves soon.

import { ask, choices } from "./api.js";
import { card } from "./card.js";
import { h, icon } from "./dom.js";
import { problem } from "./router.js";
import { scene } from "./scene.js";
import { addressOf, told } from "./searching.js";
import { say, t } from "./text.js";
import * as tracking from "./tracking.js";
import { read } from "./wanted.js";

const SHOWN = 6;
const HERO = 20; // a dawn with mountains

export async function home({ signal }) {
  const known = await choices();
  const soon = h("div", { class: "cards" });
  const element = h(
    "div",
    {},
    hero(),
    ways(t("home.places"), known.continents, ({ id }) => ({ continents: [id] }), ({ id }) => scene({ continent: id, kind: id === "OC" ? "cruise" : "geographic_depth", seed: id.charCodeAt(0) * 7 })),
    ways(t("home.types"), known.types, ({ id }) => ({ type: id }), ({ code, id }) => scene({ continent: "EU", kind: code, seed: 40 + id })),
    h("section", { class: "wide" }, h("h2", {}, t("home.soon")), h("p", { class: "lead" }, t("home.soonLead")), soon),
  );
  return { title: t("tagline"), name: "home", element, start: () => fill(soon, known, signal) };
}

const hero = () =>
  h(
    "section",
    { class: "hero" },
    scene({ continent: "SA", kind: "trekking", seed: HERO, align: "xMidYMax" }),
    h("div", { class: "over" }, h("h1", {}, t("home.title")), h("p", {}, t("home.lead")), h("a", { class: "button primary large", href: "/search" }, icon("search"), t("home.search"))),
  );

/** Each a search with one wish. */
const ways = (title, of, wish, picture) =>
  h(
    "section",
    { class: "wide" },
    h("h2", {}, title),
    h(
      "ul",
      { class: "ways" },
      of.map((one) => {
        const wanted = { ...read(""), ...wish(one) };
        return h("li", {}, h("a", { href: addressOf(wanted), on: { click: () => told(wanted) } }, picture(one), h("span", {}, say(one))));
      }),
    ),
  );

/** The recommender's own choice for somebody who said nothing. */
async function fill(soon, known, signal) {
  try {
    const answer = await ask("/api/v2/recommendations", { body: { limit: SHOWN, ...tracking.asker() }, signal });
    const wanted = read("");
    soon.replaceChildren(...answer.results.map((one, n) => card(one, n + 1, { wanted, known, answer, source: "homepage", isScored: false })));
    tracking.list(soon);
  } catch (error) {
    if (error.name !== "AbortError") soon.replaceChildren(problem(error, () => fill(soon, known, signal), "h3"));
  }
}
