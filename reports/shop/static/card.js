// One departure in a list. In: a result of the recommender, its place, what was asked for. Out: an article that says what
// the tracker needs to know of it in data attributes.

import { h, icon } from "./dom.js";
import { saveButton } from "./saved.js";
import { sceneOf } from "./scene.js";
import { day, list, money, say, t } from "./text.js";
import { came } from "./tracking.js";
import { reasons } from "./why.js";

const HIGH = 70;
const SHOWN_REASONS = 3;

/** `low`: below which score the recommender itself speaks of a poor match. */
const colour = (score, low) => (score >= HIGH ? "high" : score >= low ? "middle" : "low");

export const status = (trip) =>
  h("span", { class: `pill ${trip.status.toLowerCase().replace(" ", "-")}` }, t(`status.${trip.status}`));

/** `from`: request, source, and whether there is a score to show: without wishes there is none worth a word. */
export function card(result, position, { wanted, known, answer, source, isScored = true, level = "h3" }) {
  const title = say(result, "title");
  const from = { recommendation_request_id: answer.requestId, source, position, score: result.matchScore };
  const follow = () => came(result.occurrenceId, from);
  const found = isScored ? reasons(result, wanted, known) : [];
  return h(
    "article",
    {
      class: "card",
      data: { tripId: result.occurrenceId, position, score: result.matchScore, source, requestId: answer.requestId },
    },
    h("div", { class: "picture" }, sceneOf(result), isScored && score(result.matchScore, answer.thresholds.lowScore), saveButton(result.occurrenceId, title)),
    h(
      "div",
      { class: "words" },
      h("p", { class: "place" }, `${list([say(result.country), ...more(result, known)])} · ${say(result.type)}`),
      h(level, {}, h("a", { href: `/trips/${result.occurrenceId}`, on: { click: follow, auxclick: follow } }, title)),
      h("p", { class: "when" }, icon("calendar"), `${day(result.startsOn)} · ${t("card.days", { n: result.durationDays })} · ${t(`difficulty.${result.difficulty}`)}`),
      isScored && why(result, found),
      h(
        "p",
        { class: "price" },
        h("strong", {}, money(result.price)),
        h("span", {}, t("card.from")),
        status(result),
      ),
    ),
  );
}

const more = (result, known) => result.moreCountries.map((code) => say(known.countries.find((one) => one.id === code)));

const score = (points, low) =>
  h("span", { class: `score ${colour(points, low)}` }, h("span", { "aria-hidden": "true" }, String(points)), h("span", { class: "unseen" }, t("card.score", { n: points })));

function why(result, found) {
  const shown = found.filter(({ term }) => term !== "base").sort((a, b) => b.points - a.points).slice(0, SHOWN_REASONS);
  return [
    shown.length > 0 &&
      h("ul", { class: "reasons", "aria-label": t("card.fits") }, shown.map(({ points, words }) => h("li", { class: points < 0 ? "against" : "for" }, icon(points < 0 ? "near" : "check"), words))),
    h(
      "details",
      { class: "why" },
      h("summary", {}, t("card.why", { n: result.matchScore })),
      h("ul", {}, found.map(({ points, words }) => h("li", {}, h("span", {}, words), h("bdi", { class: "points", dir: "ltr" }, (points > 0 ? "+" : "−") + Math.abs(points))))),
    ),
  ];
}
