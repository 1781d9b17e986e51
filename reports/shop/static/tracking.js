// What the shop tells the tracker. A blocked tracker is none, and the shop works without: nothing here fails.

import { keep, recall } from "./text.js";

const call = (name, ...given) => window.tripstream?.[name]?.(...given);
const CAME = "shop:came";
const CAME_MAX = 50;
const CAME_MS = 86400000;

export const isThere = () => Boolean(window.tripstream?.init);
export const allows = () => recall("shop:record") !== "no";

export function begin() {
  call("init", { site: "default", manual: true, consent: allows() });
}

export function allow(is) {
  keep("shop:record", is ? null : "no");
  call("consent", is);
}

export const { page, track, search, results, list, dwell, filter, sort, identify, flush } = Object.fromEntries(
  ["page", "track", "search", "results", "list", "dwell", "filter", "sort", "identify", "flush"].map((name) => [
    name,
    (...given) => call(name, ...given),
  ]),
);

/** Who asks, for the recommender's log; nothing where nothing may be recorded. */
export const asker = () => (isThere() && allows() ? { anonymous_id: call("visitor"), session_id: call("session") } : {});
export const visitor = () => (isThere() && allows() ? call("visitor") : null);

/** Which list a trip was opened from: a new tab knows it too, and so does the page after a reload. */
export function came(tripId, from) {
  const known = Object.entries(all()).filter(([id, one]) => id !== String(tripId) && Date.now() - one.at < CAME_MS);
  keep(CAME, JSON.stringify(Object.fromEntries([...known.slice(1 - CAME_MAX), [tripId, { ...from, at: Date.now() }]])));
}

export const cameFrom = (tripId) => all()[tripId] || {};

function all() {
  try {
    return JSON.parse(recall(CAME)) || {};
  } catch {
    return {};
  }
}
