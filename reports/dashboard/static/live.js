// The live page: /api/live as it comes. EventSource comes back by itself after a broken connection; after an answer that
// is no stream it gives up, so then we ask why, say it, and try again.
import { fill, whole } from "./rows.js";

const SILENT_MS = 12_000; // the server says something every ten seconds, but its signs of life are not told to scripts
const state = document.getElementById("state");
const pause = document.getElementById("pause");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const second = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const titles = new Map();
let source = null;
let heard = 0;
let newest = null;
let tries = 0;
let paused = false; // what moves by itself can be stopped

function say(text, kind) {
  if (state.textContent !== text) state.textContent = text; // each change is read out
  state.className = `state ${kind}`;
}

const trip = (id) => (titles.get(id) ? `${titles.get(id)} (${id})` : String(id));

function show(now) {
  newest = now;
  if (paused) return;
  const figures = {
    activeVisitors: now.activeVisitors,
    visitors: now.visitors,
    lastMinute: now.lastMinute.events,
    lastHalfHour: now.lastHalfHour.events,
  };
  for (const [name, value] of Object.entries(figures))
    document.querySelector(`[data-figure=${name}]`).textContent = whole(value);
  const table = (id) => document.getElementById(id);
  fill(table("minutes"), now.minutes.map((one) => [clock.format(new Date(one.minute)), whole(one.events)]));
  fill(table("trips"), now.topTrips.slice(0, 10).map((one) => [trip(one.tripId), whole(one.interactions)]), [0]);
  fill(table("pages"), now.topPages.slice(0, 10).map((one) => [one.path, whole(one.views)]), [0]);
  const minute = now.lastMinute.byType;
  const types = Object.entries(now.lastHalfHour.byType).slice(0, 12);
  fill(table("types"), types.map(([type, n]) => [type, whole(minute[type] ?? 0), whole(n)]), [0]);
  const latest = now.latestEvents.map((one) => [
    second.format(new Date(one.occurredAt)),
    one.eventType,
    one.path,
    one.tripId === null ? "" : trip(one.tripId),
    one.source,
    [one.country, one.deviceType].filter(Boolean).join(", "),
  ]);
  fill(table("latest"), latest, [1, 2, 3, 4, 5]);
  name([...now.topTrips, ...now.latestEvents].map((one) => one.tripId));
}

// Asks the catalogue for titles that were not asked for before, and shows them.
async function name(ids) {
  const unknown = [...new Set(ids)].filter((id) => id !== null && !titles.has(id)).slice(0, 100);
  if (!unknown.length) return;
  for (const id of unknown) titles.set(id, null);
  try {
    const answer = await fetch(`/dashboard/titles?${unknown.map((id) => `trip_id=${id}`).join("&")}`);
    if (!answer.ok) return;
    for (const one of await answer.json()) titles.set(one.trip_id, one.title_en ?? one.title_he);
    if (newest) show(newest);
  } catch {
    // Ids say it as well.
  }
}

function listen() {
  source?.close();
  source = new EventSource("/api/live");
  source.addEventListener("open", () => {
    heard = Date.now();
    tries = 0;
    say("Connected", "good");
  });
  source.addEventListener("message", (event) => {
    heard = Date.now();
    say("Connected", "good");
    show(JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) askWhy();
    else say("The connection broke. Connecting again…", "warn");
  });
}

// Why there is no stream: the answer's own words. Its body is not read where it is one after all.
async function askWhy() {
  const stop = new AbortController();
  let again = Math.min(2 ** tries++, 30);
  try {
    const answer = await fetch("/api/live", { signal: stop.signal, headers: { accept: "text/event-stream" } });
    if (answer.status === 401 || answer.status === 403) {
      location.assign(`/dashboard/sign-in?next=/dashboard/live&ended=1`);
      return;
    }
    if (answer.ok) again = tries > 1 ? again : 0; // a 200 may be somebody else's, and no stream
    else {
      again = Number(answer.headers.get("retry-after")) || again;
      const why = (await answer.json()).message;
      again = Math.min(again, 10);
      if (answer.status !== 503) say(`${why} Trying again…`, "bad");
      else if (await look()) say(`${why} Meanwhile asked every ${again} s.`, "warn"); // or it has said what is wrong
    }
  } catch {
    say("The server does not answer. Trying again…", "bad");
  }
  stop.abort();
  setTimeout(listen, again * 1000);
}

// The same figures once. Returns whether there were any; says why not.
async function look() {
  try {
    const answer = await fetch("/api/stats/realtime");
    if (answer.status === 401) location.assign(`/dashboard/sign-in?next=/dashboard/live&ended=1`);
    if (answer.ok) show(await answer.json());
    else say(`${(await answer.json()).message} Trying again…`, "bad");
    return answer.ok;
  } catch {
    say("The server does not answer. Trying again…", "bad");
    return false;
  }
}

// An open stream that says nothing: nothing happens, or Redis is away, which only an answer can say.
setInterval(async () => {
  if (source?.readyState !== EventSource.OPEN || Date.now() - heard < SILENT_MS || document.hidden) return;
  heard = Date.now();
  if (await look()) say("Connected", "good");
}, 2_000);

pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Go on" : "Pause";
  if (!paused && newest) show(newest);
});
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => event.persisted && listen());
listen();
