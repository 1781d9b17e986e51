// Questions to the server. In: a path, perhaps a body. Out: what it answered, or a Problem that says what to do.
// Each waits 30 seconds in all; where nobody answered, or only for the moment, it is asked again, twice.

const SECONDS = 30;
const TRIES = 3;

/** `word` names the text that explains it. */
export class Problem extends Error {
  constructor(word, values = {}) {
    super(word);
    this.word = word;
    this.values = values;
  }
}

/** Raises Problem, and AbortError once `signal` says that nobody waits any more. */
export async function ask(path, { body, signal, tries = TRIES } = {}) {
  const given = new AbortController();
  const leave = () => given.abort();
  const timer = setTimeout(leave, SECONDS * 1000);
  signal?.addEventListener("abort", leave);
  try {
    return await repeated(path, body, given.signal, tries);
  } catch (error) {
    if (error.name !== "AbortError" || signal?.aborted) throw error;
    throw new Problem("error.slow", { n: SECONDS });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", leave);
  }
}

async function repeated(path, body, signal, tries) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await once(path, body, signal);
    } catch (error) {
      if (!error.after || attempt >= tries) throw error;
      await pause(error.after * attempt, signal);
    }
  }
}

async function once(path, body, signal) {
  const sent = body && { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  let answer;
  try {
    answer = await fetch(path, { ...sent, signal });
  } catch (error) {
    throw error.name === "AbortError" ? error : Object.assign(new Problem("error.offline"), { after: 400 });
  }
  if (answer.ok) return answer.json();
  if (answer.status === 404) throw new Problem("error.notFound");
  if (answer.status === 422) throw new Problem("error.refused");
  const after = Math.min(+answer.headers.get("retry-after") || 0.5, 5) * 1000;
  throw Object.assign(new Problem("error.busy"), answer.status >= 500 || answer.status === 429 ? { after } : {});
}

const pause = (ms, signal) =>
  new Promise((wake, leave) => {
    const timer = setTimeout(wake, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), leave(new DOMException("left", "AbortError"))));
  });

const kept = new Map();

/** What hardly changes is asked once a page; an answer that failed is asked for again. */
function known(path) {
  if (!kept.has(path)) kept.set(path, ask(path).catch((error) => (kept.delete(path), Promise.reject(error))));
  return kept.get(path);
}

/** Everything there is to choose from. */
export async function choices() {
  const paths = ["/api/locations", "/api/trip-types", "/api/tags"];
  const [places, types, themes] = await Promise.all(paths.map(known));
  return { ...places, types, themes };
}
