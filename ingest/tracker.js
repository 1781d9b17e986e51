// Tripstream's tracker: what a visitor does on a page, kept until the server has it. docs/adding.md is its manual.
//
//   <script defer src="/tracker.js" data-site="default" data-key="…"></script>
//
// In: calls of the page, and what it declares with data attributes. Out: batches of events to /api/events/batch.
// Each event is written to localStorage when it happens and leaves it only when the server has answered for it. What
// went out as a beacon has no answer, so it is sent again later, with the same ids: the server stores it once. Each has
// an entry of its own: when ten grew in one, a tab that was closed under load lost the last of what it had written.
// Nothing here ever throws into the page.
(() => {
  const doc = document, script = doc.currentScript, queued = window.tripstream;
  const { stringify } = JSON; // as it was before the page could put its own in its place
  const PREFIX = "tripstream:", KEPT = PREFIX + "b:", VISITOR = PREFIX + "v", SESSION = PREFIX + "s", WAIT = PREFIX + "w";
  const EVENTS = "/api/events/batch";
  const ROOM = 20000; // characters of a request: browsers let 65,536 bytes be under way together, and one may take three
  const EVENTS_MAX = 100; // of a request
  const KEPT_MAX = 1500000; // characters in storage; of more the oldest events are given up
  const ORPHANED_MS = 10000; // after which an event in storage may be anybody's to send, or before it: clocks are put back
  const SESSION_MS = 1800000;
  const WAIT_MAX_MS = 3600000; // more is a clock that was put back, or a server that is gone: then our own pauses do

  let options, allowed; // allowed: initialised, and with consent
  let timer, flushing, telling, failures = 0, restUntil = 0, lastTime = 0;
  let tracked = 0, waiting = 0; // events, of this page and since its last request
  let path, shown, referrer = doc.referrer, depth, watched, since, changes = {}, settling;
  const out = {}; // kept event -> whether it is under way, or gone as a beacon; nothing of those of other pages

  /** Does what the page asked for, and keeps what goes wrong in it from the page. */
  const safely = (call) => (...given) => {
    try {
      const made = call(...given);
      return made?.catch?.(() => {}) ?? made;
    } catch {}
  };
  const { now } = Date;

  // ── What is kept ──────────────────────────────────────────────────────────────────────────────────────────────

  let store = {}; // memory, where storage is forbidden or full
  safely(() => (store = localStorage || store))();
  const keep = (name, text) => {
    try {
      store[name] = text;
    } catch {
      store = { ...store, [name]: text };
    }
  };
  const remove = (name) => {
    delete store[name];
    delete out[name];
    try {
      delete localStorage[name];
    } catch {}
  };
  const names = (prefix) => Object.keys(store).filter((name) => name.startsWith(prefix)).sort();

  // ── Who and when ──────────────────────────────────────────────────────────────────────────────────────────────

  /** A UUIDv7: the time in milliseconds, each later than the one before, then chance. */
  const uuid = () => {
    lastTime = Math.max(now(), lastTime + 1);
    const digit = () => crypto.getRandomValues(new Uint8Array(1)) % 10;
    return ("0" + lastTime.toString(16)).replace(/.{8}/, "$&-") + "-7000-8000-000000000000".replace(/0/g, digit);
  };
  const visitor = () => {
    if (!store[VISITOR]) keep(VISITOR, uuid());
    return store[VISITOR];
  };

  /** The visit's id; half an hour without an event ends it. The server hears of each new one. */
  const session = () => {
    let [id, at, told] = (store[SESSION] || "").split(" ");
    if (!(now() - at < SESSION_MS)) (id = uuid()), (told = "");
    if (!((now() - at) ** 2 < 1e6)) keep(SESSION, id + " " + now() + " " + told); // to the second: writes are dear
    if (!told && !telling && paused() <= 0) tell(id);
    return id;
  };

  const tell = safely(async (id) => {
    telling = 1;
    const answer = await post("/api/session/start", envelope(about()), 200);
    telling = 0;
    if (answer && store[SESSION].startsWith(id)) keep(SESSION, store[SESSION] + 1);
  });

  /** Without its fragment, which may hold the token of who just signed in. */
  const address = (url) => url.match(/[^#]{1,4096}/)?.[0];
  const about = () => ({
    session_id: session(),
    anonymous_id: visitor(),
    page_url: address(location.href),
    referrer: address(referrer),
    device_type: innerWidth < 768 ? "mobile" : innerWidth < 1024 ? "tablet" : "desktop",
    ...options.fields,
  });

  // ── How it is sent ────────────────────────────────────────────────────────────────────────────────────────────

  const envelope = (body) => stringify({ ...body, sent_at: now(), write_key: options.key, site_id: options.site });
  const bodyOf = (taken) => '{"events":[' + taken.map((name) => store[name]) + "]," + envelope().slice(1);
  /** The answer, where it says what became of it; else undefined: send it again when the pause is over. Any 200 may be
   * that of a network that wants to be signed in to. */
  const post = async (to, body, also, headers) => {
    const answer = await safely(fetch)(options.endpoint + to, {
      method: "POST",
      body,
      headers,
      keepalive: !headers,
      signal: AbortSignal.timeout?.(30000),
    });
    if (answer && [202, 400, 413, also].includes(answer.status)) {
      failures = 0;
      return answer;
    }
    restUntil = now() + Math.min(60000, 500 * 2 ** failures++) * (0.5 + Math.random());
    if (answer) keep(WAIT, now() + answer.headers.get("retry-after") * 1000);
  };

  /** What is no number, as the dates that proxies say, is no wait, and undoes no other. */
  const left = (until) => (until -= now()) <= WAIT_MAX_MS && until;
  /** Milliseconds for which nothing may be sent; other pages know what the server said. */
  const paused = () => Math.max(left(restUntil), left(store[WAIT]));

  /** The events that may go out now, in one request, by their names, which say when; they are under way from now on. */
  const take = () => {
    const taken = [];
    let length = 0;
    for (const name of allowed && paused() <= 0 ? names(KEPT) : []) {
      if (out[name] ?? (now() - parseInt(name.slice(KEPT.length))) ** 2 < ORPHANED_MS ** 2) continue;
      length += store[name].length;
      if (taken[0] && (taken[EVENTS_MAX - 1] || length > ROOM)) break;
      out[name] = taken.push(name);
    }
    return taken;
  };
  const back = () => {
    for (const name in out) out[name] = 0;
  };

  /** Send until nothing is left that may be sent: one request at a time, or beacons at once. */
  const send = async (leaving) => {
    for (let taken; (taken = take())[0]; ) {
      const body = bodyOf(taken);
      if (leaving && safely(() => navigator.sendBeacon(options.endpoint + EVENTS, body))()) continue;
      if (await post(EVENTS, body)) taken.forEach(remove);
      else back();
    }
  };
  const flush = safely(() => {
    timer = clearTimeout(timer);
    waiting = 0;
    return (flushing ||= send().finally(() => {
      flushing = 0;
      if (names(KEPT)[0]) later(paused() > 0 ? paused() + 9 : options.seconds * 1000); // timers come a little early
    }));
  });
  const later = (ms) => (timer ||= setTimeout(flush, ms));

  /** The page may be gone at once: what is there goes as beacons, each event once. */
  const hide = () => {
    leave();
    return send(1);
  };

  const show = () => {
    since ||= now();
    back();
    if (allowed) later(1000);
  };

  // ── What pages call ───────────────────────────────────────────────────────────────────────────────────────────

  const track = safely((type, fields) => {
    if (!allowed) return;
    const event = { event_id: uuid(), event_type: type, client_timestamp: now(), ...about(), ...fields };
    // Without halves of emojis, which are no text: the server would refuse the whole request.
    const text = stringify(event).replace(/(\\\\)|\\ud.../g, "$1");
    if (text.length > ROOM) return track(type, { metadata: { too_large: text.length } });
    const name = KEPT + lastTime + "-" + Math.random();
    out[name] = 0;
    keep(name, text);
    if (tracked++ % 50 === 0) bound();
    if (++waiting >= options.batch) flush();
    else later(options.seconds * 1000);
  });

  /** Give up the oldest rather than fill the storage that is the site's too. */
  const bound = () => {
    let room = KEPT_MAX;
    for (const name of names(KEPT).reverse()) if ((room -= store[name].length) < 0) remove(name);
  };

  /** What a card says of itself: data-trip-id, data-position, data-score, data-source, data-request-id. */
  const card = ({ dataset: { tripId, position, score, source, requestId } }, fields) => ({
    trip_id: +tripId,
    position: +position,
    score: +score,
    source,
    recommendation_request_id: requestId,
    ...fields,
  });

  /** What was still to be said of the page that is left. */
  const leave = () => {
    settle();
    const seconds = since && (now() - since) / 1000;
    since = doc.hidden ? 0 : now();
    if (watched && seconds > 1) track("trip_dwell", { ...watched, metadata: { duration_seconds: seconds } });
  };

  /** Half a second after the last change, the last of each. */
  const soon = (what, ...change) => {
    changes[what] = change;
    clearTimeout(settling);
    settling = setTimeout(settle, 500);
  };
  const settle = () => {
    for (const change of Object.values(changes)) track(...change);
    changes = {};
  };

  const snake = (from) => {
    const to = {};
    for (const name in from) to[name.replace(/[A-Z]/g, "_$&").toLowerCase()] = from[name];
    return to;
  };
  const isUsed = (value) => value && value !== "all" && value.length !== 0;

  const api = {
    init(given) {
      options = { batch: 10, seconds: 5, endpoint: (script?.src || "").replace(/.[^/]*$/, ""), ...given };
      if (!/false/.test(options.consent)) api.consent(true)
    },
    track,
    page(name, fields) {
      leave();
      watched = depth = 0;
      referrer = shown || referrer;
      shown = location.href;
      track("page_view", { page_type: name, ...fields });
    },
    /** Say who the visitor is; the token is verified by the server and kept nowhere. True once it was taken. */
    async identify(token) {
      const event_id = uuid();
      while (allowed) {
        const body = envelope({ event_id, ...about() });
        const answer = await post("/api/user/identify", body, 401, { authorization: "Bearer " + token });
        if (answer) return answer.ok;
        await new Promise((wake) => setTimeout(wake, paused()));
      }
    },
    flush,
    /** Off: nothing is sent or kept any more, ids included. On: from now on. */
    consent(given) {
      allowed = given ? options : undefined; // as the ids are then
      if (allowed) {
        later(1000); // what earlier pages could not send
        moved();
      } else {
        path = 0;
        names(PREFIX).forEach(remove);
      }
    },
    /** A search, as the recommender is asked; of what kind it is is counted as the recommender counts. */
    search(asked) {
      const preferences = snake(asked);
      const used = Object.keys(preferences).filter((name) => isUsed(preferences[name])) + "";
      const filters = new Set(used.replace("month", "year").match(/select|type|theme|durat|budg|diff|year/g));
      track("search_submit", { metadata: { preferences, search_type: filters.size > 1 ? "focused_search" : "exploration" } });
    },
    /** What the recommender answered, as it answered it. */
    results({ results, ...said }) {
      track("results_view", { recommendation_request_id: said.requestId, metadata: { ...snake(said), top_score: results[0]?.matchScore } });
    },
    /** Watch the cards inside: seen (half of one for a second, once each) and followed. */
    list(root, fields) {
      const timers = {}; // by card; true: it was seen
      const watcher = new IntersectionObserver(
        (entries) =>
          entries.forEach(({ target, intersectionRatio }) => {
            const event = card(target, fields), key = [event.trip_id, event.recommendation_request_id];
            const look = () => {
              if (doc.hidden) return wait();
              watcher.unobserve(target);
              timers[key] = true;
              track("impression", event);
            };
            const wait = () => (timers[key] = setTimeout(look, 1000));
            if (timers[key] === true) return;
            clearTimeout(timers[key]);
            if (intersectionRatio >= 0.5) wait();
          }),
        { threshold: 0.5 },
      );
      const observe = () => {
        for (const one of root.querySelectorAll("[data-trip-id]")) watcher.observe(one);
      };
      new MutationObserver(observe).observe(root, { childList: true, subtree: true, attributes: true });
      observe();
      const follow = ({ target }) => {
        const one = target.closest("[data-trip-id]");
        if (one && target.closest("a") && !target.closest("[data-event]")) track("click_trip", card(one, fields));
      };
      root.addEventListener("click", safely(follow), true);
    },
    /** Count how long this trip is looked at, until the next page. */
    dwell(id, fields) {
      leave();
      watched = { trip_id: id, ...fields };
    },
    filter(name, value) {
      soon(name, isUsed(value) ? "filter_change" : "filter_remove", { metadata: { name, value } });
    },
    sort(value) {
      soon(" ", "sort_change", { metadata: { value } });
    },
    visitor: () => allowed && visitor(),
    session: () => allowed && session(),
    push: ([name, ...given]) => api[name](...given),
  };

  // ── What is seen without a call ───────────────────────────────────────────────────────────────────────────────

  const moved = () => {
    if (!allowed || options.manual || path === location.pathname || doc.prerendering) return;
    path = location.pathname;
    api.page();
  };

  const happenings = {
    visibilitychange: () => (doc.hidden ? hide() : show()),
    prerenderingchange: moved,
    pagehide: hide,
    pageshow({ persisted }) {
      show();
      if (persisted) path = 0; // back, from where the browser had kept it
      moved();
    },
    online() {
      restUntil = failures = 0;
      flush();
    },
    /** Another tab was told to forget. */
    storage: ({ key, newValue }) => key === VISITOR && !newValue && api.consent(false),
    popstate: moved,
    scroll() {
      const reached = ((scrollY + innerHeight + 1) / doc.documentElement.scrollHeight) * 100;
      while (depth < 100 && depth + 25 <= reached) track("scroll_depth", { metadata: { depth: (depth += 25) } });
    },
    click({ target }) {
      const said = target.closest("[data-event]");
      if (said) track(said.dataset.event, card(said.closest("[data-trip-id]") || said, { click_target: said.id || undefined }));
    },
  };

  if (queued?.track) return; // by a second script element
  for (const name in happenings) addEventListener(name, safely(happenings[name]), true);
  for (const name of ["pushState", "replaceState"]) {
    const was = history[name];
    history[name] = (...given) => {
      was.apply(history, given);
      moved();
    };
  }

  for (const name in api) api[name] = safely(api[name]);
  window.tripstream = api;
  if (script?.dataset.site) api.init({ ...script.dataset });
  queued?.forEach(api.push);
})();
