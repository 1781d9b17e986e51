// Tripstream's tracker: what a visitor does on a page, kept until the server has it.
//
//   <script defer src="/tracker.js" data-site="default" data-key="…"></script>
//
// In: calls of the page, and what it declares with data attributes. Out: batches of events to /api/events/batch.
// Each event is written to localStorage when it happens and leaves it only when the server has answered for it. What
// went out as a beacon has no answer, so it is sent again later, with the same ids: the server stores it once.
// Nothing here ever throws into the page.
(() => {
  "use strict";
  const page = window, doc = document, nav = navigator, place = location;
  const PREFIX = "tripstream:", BATCH = PREFIX + "b:";
  const ROOM = 60000; // bytes; browsers let 65,536 be under way in beacons and keepalive requests together
  const EVENTS_MAX = 100; // of one request
  const KEPT_MAX = 1500000; // characters in storage; of more the oldest batch is given up
  const ORPHANED_MS = 10000; // after which a batch in storage belongs to no living page
  const SESSION_MS = 1800000;
  const script = doc.currentScript;
  const queued = page.tripstream;

  let options;
  let batches = new Map(); // name -> {events, bytes, blind}; what this page has to send, oldest first
  let open; // the name of the batch that is being filled
  let timer, sending, failures = 0, waitUntil = 0, starting;
  let allowed = true;
  let referrer = doc.referrer, path, depth, dwelling;
  const delayed = {};

  // ── What is kept ──────────────────────────────────────────────────────────────────────────────────────────────

  let memory = {}; // where storage is forbidden or full
  const read = (name) => {
    try {
      return JSON.parse(localStorage.getItem(name) || memory[name] || null);
    } catch {
      return null;
    }
  };
  const write = (name, value) => {
    const text = JSON.stringify(value);
    try {
      localStorage.setItem(name, text);
    } catch {
      memory[name] = text;
    }
  };
  const remove = (name) => {
    delete memory[name];
    try {
      localStorage.removeItem(name);
    } catch {}
  };
  const stored = () => {
    try {
      return Object.keys(localStorage).filter((name) => name.startsWith(BATCH)).sort();
    } catch {
      return [];
    }
  };

  // ── Who and when ──────────────────────────────────────────────────────────────────────────────────────────────

  /** A UUIDv7: the time in milliseconds, then chance. */
  const uuid = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    let time = Date.now();
    for (let at = 6; at--; time = Math.floor(time / 256)) bytes[at] = time % 256;
    bytes[6] = (bytes[6] & 15) | 112;
    bytes[8] = (bytes[8] & 63) | 128;
    return [...bytes].map((byte, at) => ([4, 6, 8, 10].includes(at) ? "-" : "") + (byte + 256).toString(16).slice(1)).join("");
  };

  const visitor = () => {
    const id = read(PREFIX + "visitor") || uuid();
    write(PREFIX + "visitor", id);
    return id;
  };

  const device = () => (innerWidth < 768 ? "mobile" : innerWidth < 1024 ? "tablet" : "desktop");

  /** The visit's id; half an hour without an event ends it. The server hears of each new one. */
  const session = () => {
    const at = Date.now();
    let found = read(PREFIX + "session");
    if (!found || at - found.at > SESSION_MS) found = { id: uuid(), untold: 1 };
    found.at = at;
    write(PREFIX + "session", found);
    if (found.untold && starting !== found.id && at >= waitUntil) start(found.id);
    return found.id;
  };

  const start = async (id) => {
    starting = id;
    const told = await post("/api/session/start", { ...about(), anonymous_id: visitor(), session_id: id });
    starting = 0;
    const found = read(PREFIX + "session");
    if (!told || !found || found.id !== id || !allowed) return;
    try {
      found.id = (await told.json()).session_id || id;
    } catch {}
    delete found.untold;
    write(PREFIX + "session", found);
  };

  const about = () => ({
    page_url: place.href,
    referrer: referrer || undefined,
    device_type: device(),
    screen: screen.width + "x" + screen.height,
  });

  // ── How it is sent ────────────────────────────────────────────────────────────────────────────────────────────

  const address = (to) => options.endpoint + to;
  const addressed = (body) => JSON.stringify({ ...body, write_key: options.key, site_id: options.site });

  /** The answer; undefined where it has to be sent again, and not before waitUntil. */
  const post = async (to, body, headers) => {
    const text = addressed(body);
    let answer, after;
    try {
      answer = await fetch(address(to), { method: "POST", body: text, headers, keepalive: text.length < ROOM / 3, credentials: "omit" });
      if (answer.ok || (answer.status < 500 && ![401, 403, 404, 408, 429].includes(answer.status))) {
        failures = 0;
        return answer;
      }
      after = +answer.headers.get("retry-after") * 1000;
    } catch {}
    waitUntil = Date.now() + (after || Math.min(60000, 500 * 2 ** failures++) * (0.5 + Math.random()));
  };

  /** The names of the oldest batches that fit into one request. */
  const together = (wanted) => {
    const names = [];
    let events = 0, bytes = 200;
    for (const [name, batch] of batches) {
      if (!wanted(batch)) continue;
      events += batch.events.length;
      bytes += batch.bytes;
      if (names.length && (events > EVENTS_MAX || bytes > ROOM)) break;
      names.push(name);
    }
    if (names.includes(open)) open = 0;
    return names;
  };

  const bodyOf = (names) => ({
    events: names.flatMap((name) => batches.get(name).events),
    sent_at: new Date().toISOString(),
  });

  const done = (names) => names.forEach((name) => (batches.delete(name), remove(name)));

  /** Send until nothing is left that may be sent: one request at a time. */
  const flush = async () => {
    clearTimeout(timer);
    timer = 0;
    if (sending || !options) return;
    adopt();
    sending = 1;
    while (batches.size && Date.now() >= waitUntil) {
      const names = together(() => 1);
      if (await post("/api/events/batch", bodyOf(names))) done(names);
    }
    sending = 0;
    if (batches.size || stored().length) later(Math.max(waitUntil - Date.now(), options.seconds * 1000));
  };

  const later = (ms) => (timer = timer || setTimeout(flush, ms));

  /** Take over what pages that are gone have left in storage. */
  const adopt = () => {
    for (const name of stored()) {
      const events = !batches.has(name) && Date.now() - parseInt(name.slice(BATCH.length), 36) > ORPHANED_MS && read(name);
      if (events) batches.set(name, { events, bytes: JSON.stringify(events).length * 3 });
    }
  };

  /** The page may be gone at once: what is there goes as beacons, each batch once. */
  const hide = () => {
    if (!options || !allowed) return;
    Object.values(delayed).forEach((call) => call());
    dwelt();
    for (let names; !sending && (names = together((batch) => !batch.blind)).length; ) {
      const body = bodyOf(names);
      names.forEach((name) => (batches.get(name).blind = 1));
      let taken;
      try {
        taken = nav.sendBeacon(address("/api/events/batch"), addressed(body));
      } catch {}
      if (!taken) post("/api/events/batch", body).then((answer) => answer && done(names));
    }
  };

  const show = () => {
    for (const batch of batches.values()) batch.blind = 0;
    if (dwelling) dwelling.since = Date.now();
    if (options && batches.size) later(2000);
  };

  // ── What pages call ───────────────────────────────────────────────────────────────────────────────────────────

  const track = (type, fields) => {
    if (!options || !allowed) return;
    const event = {
      event_id: uuid(),
      event_type: type,
      client_timestamp: new Date().toISOString(),
      session_id: session(),
      anonymous_id: visitor(),
      ...about(),
      ...fields,
    };
    const bytes = new TextEncoder().encode(JSON.stringify(event)).length;
    let batch = batches.get(open);
    if (!batch || batch.events.length >= options.batch || batch.bytes + bytes > ROOM) {
      open = BATCH + Date.now().toString(36) + "-" + uuid().slice(-12);
      batches.set(open, (batch = { events: [], bytes: 0 }));
      bound();
    }
    batch.events.push(event);
    batch.bytes += bytes;
    write(open, batch.events);
    if (batch.events.length >= options.batch) flush();
    else later(options.seconds * 1000);
  };

  /** Give up the oldest rather than fill the storage that is the site's too. */
  const bound = () => {
    let held = 0;
    for (const batch of batches.values()) held += batch.bytes;
    for (const [name, batch] of batches) {
      if (held < KEPT_MAX || name === open) break;
      held -= batch.bytes;
      done([name]);
    }
  };

  const number = (text) => (text ? +text : undefined);

  /** What a card says of itself: data-trip-id, data-position, data-score, data-source, data-request-id. */
  const card = (element) => {
    const { tripId, position, score, source, requestId } = (element && element.dataset) || {};
    return { trip_id: number(tripId), position: number(position), score: number(score), source, recommendation_request_id: requestId };
  };

  const dwelt = () => {
    const seconds = dwelling && dwelling.since ? (Date.now() - dwelling.since) / 1000 : 0;
    if (dwelling) dwelling.since = 0;
    if (seconds >= 1) track("trip_dwell", { ...dwelling.fields, metadata: { duration_seconds: Math.round(seconds * 1000) / 1000 } });
  };

  const soon = (name, call) => {
    if (delayed[name]) clearTimeout(delayed[name].timer);
    const run = () => {
      clearTimeout(run.timer);
      delete delayed[name];
      call();
    };
    run.timer = setTimeout(run, 500);
    delayed[name] = run;
  };

  const count = (value) => (Array.isArray(value) ? value.length : value != null && value !== "" && value !== "all") && 1;

  const api = {
    init(given) {
      options = { batch: 10, seconds: 5, auto: true, endpoint: script ? new URL(script.src).origin : "", ...given };
      allowed = options.consent !== false;
      if (allowed) later(1000); // what earlier pages could not send
      if (options.auto) moved();
    },
    track,
    page(name, fields) {
      dwelt();
      dwelling = 0;
      depth = 0;
      track("page_view", { page_type: name, ...fields });
      referrer = place.href;
    },
    /** Say who the visitor is; the token is verified by the server and kept nowhere. True once it was taken. */
    async identify(token) {
      const body = { anonymous_id: visitor(), session_id: session(), event_id: uuid(), client_timestamp: new Date().toISOString() };
      for (let attempt = 0; allowed && attempt < 6; attempt++) {
        const answer = await post("/api/user/identify", body, { authorization: "Bearer " + token });
        if (answer) return answer.ok;
        await new Promise((wake) => setTimeout(wake, waitUntil - Date.now()));
      }
      return false;
    },
    flush,
    /** Off: nothing is sent or kept any more, ids included. On: from now on. */
    consent(given) {
      allowed = given;
      if (given) return;
      done([...batches.keys()]);
      stored().concat(PREFIX + "visitor", PREFIX + "session").forEach(remove);
    },
    /** A search, with the recommender's own names; what kind it is is counted as the recommender counts. */
    search(wanted) {
      const p = wanted || {};
      const filters =
        (count(p.selected_countries) || count(p.selected_continents)) + count(p.preferred_type_id) + count(p.preferred_theme_ids) +
        (count(p.min_duration) || count(p.max_duration)) + count(p.budget) + count(p.difficulty) + (count(p.year) || count(p.month));
      track("search_submit", { metadata: { preferences: p, search_type: filters < 2 ? "exploration" : "focused_search" } });
    },
    /** What the recommender answered, as it answered it. */
    results(a) {
      const { requestId, primaryCount, relaxedCount, totalCandidates, responseTimeMs, results } = a;
      const metadata = { primary_count: primaryCount, relaxed_count: relaxedCount, total_candidates: totalCandidates };
      metadata.top_score = results.length ? results[0].matchScore : null;
      metadata.response_time_ms = responseTimeMs;
      track("results_view", { recommendation_request_id: requestId, metadata });
    },
    /** Watch the cards inside: seen (half of one for a second, once each) and followed. */
    list(root, fields) {
      const seen = {}, timers = new Map();
      const watcher = new IntersectionObserver(
        (entries) =>
          entries.forEach(({ target, intersectionRatio }) => {
            clearTimeout(timers.get(target));
            if (intersectionRatio < 0.5) return;
            timers.set(target, setTimeout(() => {
              watcher.unobserve(target);
              const id = target.dataset.tripId;
              if (!seen[id]) track("impression", { ...card(target), ...fields });
              seen[id] = 1;
            }, 1000));
          }),
        { threshold: 0.5 },
      );
      const look = () => root.querySelectorAll("[data-trip-id]").forEach((one) => watcher.observe(one));
      new MutationObserver(look).observe(root, { childList: true, subtree: true });
      look();
      root.addEventListener("click", ({ target }) => {
        const one = target.closest("[data-trip-id]");
        if (one && target.closest("a") && !target.closest("[data-event]")) track("click_trip", { ...card(one), ...fields });
      });
    },
    /** Count how long this trip is looked at, until the next page. */
    dwell(id, fields) {
      dwelt();
      dwelling = { since: Date.now(), fields: { trip_id: id, ...fields } };
    },
    filter(name, value) {
      soon("f:" + name, () => track(count(value) ? "filter_change" : "filter_remove", { metadata: { name, value } }));
    },
    sort(value) {
      soon("s", () => track("sort_change", { metadata: { value } }));
    },
    visitor: () => visitor(),
    session: () => session(),
  };

  // ── What is seen without a call ───────────────────────────────────────────────────────────────────────────────

  const moved = () => {
    if (options && options.auto && path !== place.pathname) {
      path = place.pathname;
      api.page();
    }
  };

  const scrolled = () => {
    const height = doc.documentElement.scrollHeight;
    const reached = height ? Math.floor(((scrollY + innerHeight) / height) * 4) * 25 : 0;
    while (depth < Math.min(reached, 100)) track("scroll_depth", { metadata: { depth: (depth += 25) } });
  };

  /** Runs what the page asked for, and keeps what goes wrong in it from the page. */
  const safely = (call) =>
    function () {
      try {
        const given = call.apply(this, arguments);
        return given && given.catch ? given.catch(() => {}) : given;
      } catch {}
    };

  for (const name in api) api[name] = safely(api[name]);
  api.push = ([name, ...given]) => api[name] && api[name](...given);
  page.tripstream = api;

  const on = (target, name, call) => target.addEventListener(name, safely(call), { passive: true, capture: true });
  on(doc, "visibilitychange", () => (doc.visibilityState === "hidden" ? hide() : show()));
  on(page, "pagehide", hide);
  on(page, "pageshow", show);
  on(page, "online", () => ((waitUntil = 0), flush()));
  on(page, "popstate", moved);
  on(page, "scroll", scrolled);
  on(doc, "click", ({ target }) => {
    const said = target.closest && target.closest("[data-event]");
    if (said) track(said.dataset.event, { ...card(said.closest("[data-trip-id]")), click_target: said.id || undefined });
  });
  for (const name of ["pushState", "replaceState"]) {
    const was = history[name];
    history[name] = function () {
      const given = was.apply(this, arguments);
      safely(moved)();
      return given;
    };
  }

  if (script && script.dataset.site) api.init({ ...script.dataset });
  if (Array.isArray(queued)) queued.forEach(api.push);
})();
