// The visitor's own events, arriving. In: what the tracker keeps in this browser until it is answered for, and what the
// server says of this visitor. Out: a panel; each event goes from "in the browser" over "queued" to its verdict.

import { ask } from "./api.js";
import { h, icon } from "./dom.js";
import { t, time } from "./text.js";
import * as tracking from "./tracking.js";

const WAITING = "tripstream:b:"; // where the tracker keeps events until the server has answered for them
const EVERY_MS = 700;
const ASKED_MAX = 50;
const PENDING = ["here", "sent"];

const known = new Map(); // by event id, in the order in which they came
let whose = null; // the visitor whose events these are: after signing out somebody else's

export function drawer() {
  const element = h("div", { class: "drawer-place" });
  let panel, timer, away = false, turn = 0;

  const button = h("button", { type: "button", class: "drawer-button", "aria-expanded": "false", "aria-controls": "drawer", on: { click: () => (panel ? close() : open()) } });

  const draw = () => {
    button.replaceChildren(icon("pulse"), h("span", {}, t("drawer.title")));
    if (panel) panel.fill(away);
  };
  const tick = async (mine) => {
    if (document.visibilityState === "visible") {
      look();
      away = !(await hear().then(() => true, () => false));
      if (mine !== turn) return; // closed meanwhile, and perhaps opened again, with a turn of its own
      draw();
    }
    timer = setTimeout(tick, EVERY_MS, mine);
  };
  const open = () => {
    panel = made(close, draw);
    element.prepend(panel.element);
    button.setAttribute("aria-expanded", "true");
    draw();
    tick(++turn);
  };
  const close = () => {
    clearTimeout(timer);
    turn++;
    panel.element.remove();
    panel = null;
    button.setAttribute("aria-expanded", "false");
    button.focus();
  };

  element.append(button);
  element.addEventListener("keydown", (event) => event.key === "Escape" && panel && close());
  draw();
  const show = () => {
    if (panel) (clearTimeout(timer), panel.element.remove(), open());
    else draw();
  };
  return { element, show };
}

/** What is in the browser still, and what has left it since: that was answered with 202. */
function look() {
  const visitor = tracking.visitor();
  if (visitor !== whose) known.clear();
  whose = visitor;
  const here = new Map(kept().map((event) => [event.event_id, event]));
  for (const [id, { event_type, client_timestamp, trip_id }] of here) {
    if (!known.has(id)) known.set(id, { id, type: event_type, at: new Date(client_timestamp).toISOString(), trip: trip_id, state: "here" });
  }
  for (const one of known.values()) if (one.state === "here" && !here.has(one.id)) one.state = "sent";
}

function kept() {
  try {
    return Object.keys(localStorage).filter((name) => name.startsWith(WAITING)).flatMap((name) => JSON.parse(`[${localStorage.getItem(name)}]`));
  } catch {
    return [];
  }
}

async function hear(before) {
  const visitor = tracking.visitor();
  if (!visitor) return;
  const pending = [...known.values()].filter((one) => PENDING.includes(one.state)).map((one) => one.id);
  const body = { anonymous_id: visitor, event_ids: pending.slice(-ASKED_MAX), before };
  for (const one of (await ask("/shop/events", { body, tries: 1 })).events) {
    const had = known.get(one.event_id) || { id: one.event_id, type: one.event_type, at: one.occurred_at, trip: one.trip_id };
    known.set(one.event_id, { ...had, type: one.event_type || had.type, state: one.verdict, reason: one.reason, again: one.again });
  }
}

function made(close, draw) {
  const counts = h("p", { class: "counts", role: "status" }), list = h("ol", { class: "events" });
  const note = h("p", { class: "note" });
  const earlier = h("button", { type: "button", class: "button", on: { click: () => more(draw) } }, t("drawer.more"));
  const record = h("input", { type: "checkbox", checked: tracking.allows(), on: { change: ({ target }) => (tracking.allow(target.checked), target.checked || known.clear()) } });
  const element = h(
    "section",
    { id: "drawer", class: "drawer", "aria-labelledby": "drawer-title" },
    h("div", { class: "heading" }, h("h2", { id: "drawer-title" }, t("drawer.title")), h("button", { type: "button", class: "quiet", "aria-label": t("close"), on: { click: close } }, icon("miss"))),
    h("p", { class: "note" }, t("drawer.lead")),
    h("label", { class: "box" }, record, t("drawer.record")),
    counts,
    note,
    h("div", { class: "scroll", tabindex: 0, role: "group", "aria-labelledby": "drawer-title" }, list, earlier),
  );
  let drawn;
  const listed = new Set();
  const fill = (away) => {
    const now = JSON.stringify([[...known.values()], away]);
    if (drawn === now) return; // a list that is drawn anew cannot be read, nor listened to
    drawn = now;
    const shown = [...known.values()].sort((a, b) => Date.parse(b.at || 0) - Date.parse(a.at || 0));
    const waiting = shown.filter((one) => PENDING.includes(one.state)).length;
    counts.textContent = t("drawer.counts", { stored: shown.length - waiting, waiting });
    note.textContent = !tracking.isThere() ? t("drawer.blocked") : away ? t("drawer.away") : shown.length ? "" : t("drawer.empty");
    earlier.hidden = shown.length < ASKED_MAX;
    list.replaceChildren(...shown.map((one) => row(one, !listed.has(one.id))));
    for (const one of shown) listed.add(one.id);
  };
  return { element, fill };
}

function row({ type, at, trip, state, reason, again }, isNew) {
  const remark = [reason, again && t("state.again", { n: again })].filter(Boolean).join("; ");
  return h(
    "li",
    { class: isNew ? "new" : null },
    h("code", { dir: "ltr" }, type || "?"),
    trip && h("span", { class: "of" }, `#${trip}`),
    h("span", { class: `state ${state}` }, t(`state.${state}`)),
    h("time", { datetime: at }, at ? time(at) : ""),
    remark && h("span", { class: "remark" }, remark),
  );
}

/** The page before the oldest that is shown. */
async function more(draw) {
  const oldest = [...known.values()].filter((one) => one.at).sort((a, b) => Date.parse(a.at) - Date.parse(b.at))[0];
  if (oldest) await hear([oldest.at, oldest.id]).catch(() => {});
  draw();
}
