// `/trips/{id}`: one departure, and what can be done about it. What is done here is counted for the list it came from.

import { ask, choices } from "./api.js";
import { status } from "./card.js";
import { dialog } from "./dialog.js";
import { h, icon } from "./dom.js";
import { saveButton } from "./saved.js";
import { sceneOf } from "./scene.js";
import { day, list, money, say, t } from "./text.js";
import * as tracking from "./tracking.js";

const PHONE = "12025550123"; // kept free for fiction: it rings nowhere
const OTHERS = 6;

export async function trip({ signal, id }) {
  const [shown, known] = await Promise.all([ask(`/api/v2/occurrences/${id}`, { signal }), choices()]);
  const { at: _, source: __, ...from } = tracking.cameFrom(shown.occurrenceId);
  const fields = { recommendation_request_id: from.recommendation_request_id, source: "trip_detail" };
  const others = h("section", { class: "others", hidden: true });
  const element = h(
    "article",
    { class: "trip", data: { tripId: shown.occurrenceId, source: "trip_detail", requestId: from.recommendation_request_id, position: from.position, score: from.score } },
    h("div", { class: "banner" }, sceneOf(shown), h("div", { class: "over" }, h("p", { class: "place" }, where(shown, known)), h("h1", {}, say(shown, "title")))),
    h("div", { class: "columns" }, offer(shown), h("div", {}, back(), about(shown, known), others)),
  );
  const start = () => {
    tracking.dwell(shown.occurrenceId, fields);
    return more(others, shown, signal);
  };
  return { title: say(shown, "title"), name: "trip_detail", element, start };
}

const where = (shown, known) =>
  list([say(shown.country), ...shown.moreCountries.map((code) => say(known.countries.find((one) => one.id === code)))]);

/** Back to the list as it was, where somebody came from one in this tab; a shared link has none. */
function back() {
  const link = h("a", { class: "back", href: "/search" }, t("trip.back"));
  link.addEventListener("click", (event) => {
    if (!history.state?.came) return;
    event.preventDefault();
    history.back();
  });
  return h("p", {}, link);
}

function about(shown, known) {
  const facts = [
    ["trip.dates", `${day(shown.startsOn)} – ${day(shown.endsOn)}`],
    ["trip.length", t("card.days", { n: shown.durationDays })],
    ["trip.difficulty", t(`difficulty.${shown.difficulty}`)],
    ["trip.type", say(shown.type)],
    ["trip.guide", say(shown.guide) || t("trip.noGuide")],
    ["trip.company", h("bdi", {}, shown.company.name)],
    ["trip.countries", where(shown, known)],
  ];
  return h(
    "section",
    {},
    h("h2", {}, t("trip.about")),
    h("p", { class: "story" }, say(shown, "description")),
    h("ul", { class: "tags" }, shown.tags.map((tag) => h("li", {}, say(tag)))),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, t(name)), h("dd", {}, value)))),
  );
}

function offer(shown) {
  const title = say(shown, "title");
  const hello = encodeURIComponent(t("trip.hello", { title, date: day(shown.startsOn) }));
  const taken = shown.seats - shown.seatsLeft;
  return h(
    "aside",
    { class: "offer", "aria-label": t("trip.price") },
    h("p", { class: "price" }, h("strong", {}, money(shown.price)), h("span", {}, t("card.from")), status(shown)),
    h("p", { class: "when" }, icon("calendar"), `${day(shown.startsOn)} – ${day(shown.endsOn)}`),
    h("p", { class: "seats" }, h("meter", { min: 0, max: shown.seats, value: taken, "aria-label": t("trip.seats", { left: shown.seatsLeft, all: shown.seats }) }), t("trip.seats", { left: shown.seatsLeft, all: shown.seats })),
    h("button", { type: "button", id: "book", class: "button primary large", data: { event: "booking_start" }, disabled: ["Full", "Cancelled"].includes(shown.status), on: { click: booking } }, t("trip.book")),
    h("a", { class: "button whatsapp", id: "whatsapp", href: `https://wa.me/${PHONE}?text=${hello}`, target: "_blank", rel: "noopener noreferrer", data: { event: "contact_whatsapp" } }, icon("chat"), t("trip.whatsapp")),
    h("a", { class: "button", id: "phone", href: `tel:+${PHONE}`, data: { event: "contact_phone" } }, icon("phone"), t("trip.phone")),
    h("div", { class: "pair" }, saveButton(shown.occurrenceId, title, { words: true }), share()),
  );
}

const booking = () => dialog(t("trip.demoTitle"), h("p", {}, t("trip.demo")));

function share() {
  const said = h("span", { role: "status" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(location.origin + location.pathname);
      said.textContent = t("trip.shared");
    } catch {
      said.textContent = location.href;
    }
  };
  return h("span", { class: "share" }, h("button", { type: "button", class: "button", on: { click: copy } }, t("trip.share")), said);
}

/** The same trip on other days. That they cannot be had takes nothing from the page. */
async function more(others, shown, signal) {
  try {
    const { items } = await ask(`/api/v2/occurrences?templateId=${shown.templateId}&limit=${OTHERS + 1}`, { signal });
    const rest = items.filter((one) => one.id !== shown.occurrenceId).slice(0, OTHERS);
    if (!rest.length) return;
    others.replaceChildren(h("h2", {}, t("trip.other")), h("ul", { class: "dates" }, rest.map((one) => h("li", {}, h("a", { href: `/trips/${one.id}` }, h("span", {}, day(one.startsOn)), h("strong", {}, money(one.price)), status(one))))));
    others.hidden = false;
  } catch {
    // the page is whole without
  }
}
