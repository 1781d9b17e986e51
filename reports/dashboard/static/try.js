// The try-it page: posts what the form says, then asks what became of it until that is known.
import { fill, whole } from "./rows.js";

const LOAD = 100;
const VISITORS = 10;
const KINDS = ["page_view", "search_submit", "results_view", "impression", "impression", "click_trip", "save_trip"];
const form = document.getElementById("try");
const part = (id) => document.getElementById(id);
let sent = null; // the body that was posted last
let asking = 0; // which post this is about: a later one ends the questions

const visitor = () => ({ anonymous_id: crypto.randomUUID(), session_id: crypto.randomUUID() });
const me = visitor();

function event(said, who, at) {
  const type = at === undefined ? said.get("event_type") : KINDS[at % KINDS.length];
  const trip = Number(said.get("trip_id"));
  return {
    event_id: crypto.randomUUID(),
    event_type: type,
    ...who,
    client_timestamp: new Date().toISOString(),
    page_url: said.get("page_url"),
    ...(trip > 0 ? { trip_id: at === undefined ? trip : trip + (at % 5) } : {}),
  };
}

function body(said, many) {
  const crowd = Array.from({ length: VISITORS }, visitor);
  const events = many
    ? Array.from({ length: LOAD }, (_, at) => event(said, crowd[at % VISITORS], at))
    : [event(said, me)];
  const key = said.get("write_key").trim();
  return { ...(key ? { write_key: key } : { site_id: form.dataset.site }), events };
}

// As a shell takes it: an apostrophe ends the quotes, stands by itself, and begins them anew. The key stays out of it.
function curl(posted) {
  const shown = posted.write_key ? { ...posted, write_key: "WRITE_KEY" } : posted;
  const text = JSON.stringify(shown, null, 1).replaceAll("'", "'\\''");
  return `curl -i ${location.origin}/api/events/batch \\\n  -H 'content-type: application/json' \\\n  -d '${text}'`;
}

async function json(answer) {
  try {
    return await answer.json();
  } catch {
    return {};
  }
}

async function send(posted) {
  const mine = ++asking;
  sent = posted;
  form.querySelector("[value=again]").disabled = false;
  part("outcome").hidden = false;
  part("curl").textContent = curl(posted);
  part("drained").textContent = "";
  part("verdict").textContent = "";
  fill(part("verdicts"), []);
  const began = performance.now();
  try {
    const headers = { "content-type": "application/json" };
    const answer = await fetch("/api/events/batch", { method: "POST", headers, body: JSON.stringify(posted) });
    const found = await json(answer);
    if (mine !== asking) return;
    part("answer").textContent = `${answer.status} ${answer.statusText}\n${JSON.stringify(found, null, 2)}`;
    const took = Math.round(performance.now() - began);
    if (answer.status === 202) {
      part("told").textContent = `Accepted ${whole(found.accepted)} in ${took} ms, durability: ${found.durability}.`;
      ask(found.batch_id, performance.now(), mine);
    } else part("told").textContent = `${answer.status}: ${found.message ?? "refused"}`;
  } catch {
    if (mine !== asking) return;
    part("answer").textContent = "";
    part("told").textContent = "The server does not answer. Nothing was sent twice: send the same again later.";
  }
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// Asks until the batch is stored, ever more slowly, for two minutes at most.
async function ask(batch, since, mine) {
  for (let ms = 100; performance.now() - since < 120_000; ms = Math.min(ms * 1.5, 3000)) {
    const answer = await fetch(`/api/verdicts?batch_id=${batch}`).catch(() => null);
    if (mine !== asking) return;
    const found = answer && (await json(answer));
    if (answer?.status === 200) {
      verdicts(found);
      if (found.state === "stored") {
        part("verdict").textContent = `Stored after ${whole(Math.round(performance.now() - since))} ms.`;
        return;
      }
      part("verdict").textContent = "Queued: a drain takes it within a second, where one runs.";
    } else if (answer?.status === 401 || answer?.status === 403) {
      part("verdict").textContent = `Verdicts need a read key of the site: ${found.message}`;
      return;
    } else part("verdict").textContent = found?.message ?? "The server does not answer. Asking again…";
    await wait(ms);
  }
}

const KIND = { stored: "good", duplicate: "good", queued: "", bot: "warn", discarded: "warn", dead: "bad", refused: "bad" };

function coloured(verdict) {
  const made = document.createElement("span");
  made.className = `state ${KIND[verdict] ?? ""}`;
  made.textContent = verdict;
  return made;
}

function verdicts(found) {
  const kinds = new Map();
  for (const one of found.events) {
    const key = JSON.stringify([one.verdict, one.event_type ?? "", one.reason ?? ""]);
    kinds.set(key, (kinds.get(key) ?? 0) + 1);
  }
  const rows = [...kinds].map(([key, n]) => [JSON.parse(key), n]).sort((a, b) => b[1] - a[1]);
  fill(part("verdicts"), rows.map(([[verdict, type, reason], n]) => [coloured(verdict), type, whole(n), reason]), [1, 3]);
}

form.addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  const what = submitted.submitter?.value ?? "one";
  send(what === "again" && sent ? sent : body(new FormData(form), what === "load"));
});

part("drain").addEventListener("click", async () => {
  part("drained").textContent = "Processing…";
  try {
    const answer = await fetch("/process-events", { method: "POST" });
    const found = await json(answer);
    part("drained").textContent = answer.ok
      ? `Processed ${whole(found.processed)} events, rolled up ${whole(found.aggregated_days)} days.`
      : `${found.message} Without it the drain takes events by itself, within a second where one runs.`;
  } catch {
    part("drained").textContent = "The server does not answer.";
  }
});
