// Which view an address shows. In: links of ours, the back button. Out: the view in <main>, its title, the focus on its
// heading, and one page view; what cannot be shown says why, with a button to try again.

import { Problem } from "./api.js";
import { h } from "./dom.js";
import { t } from "./text.js";
import * as tracking from "./tracking.js";

const main = h("main", { id: "main", tabindex: -1 });
let routes = [];
let leaving = new AbortController();

/** `given`: pairs of a path and what shows it: an object of title, name, element, and start(), called once it stands. */
export function begin(given) {
  routes = given;
  history.scrollRestoration = "manual";
  addEventListener("popstate", ({ state }) => {
    document.querySelector("dialog[open]")?.close(); // its question was of the view that is left
    render({ y: state?.y || 0 });
  });
  document.addEventListener("click", follow);
  render({ isFirst: true });
  return main;
}

export function go(address, { replace = false } = {}) {
  history.replaceState({ ...history.state, y: scrollY }, "");
  history[replace ? "replaceState" : "pushState"]({ came: location.pathname }, "", address);
  render();
}

/** The same view again, as in another language: nobody came to it, so it is no page view. `isLost`: what had the focus. */
export const again = ({ isLost = false } = {}) => render({ isFirst: !isLost, isSeen: true });

function follow(event) {
  const link = event.target.closest("a[href]");
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (event.defaultPrevented || !isPlain || !link || link.target || link.origin !== location.origin || link.hash) return;
  if (!routes.some(([path]) => path.test(link.pathname))) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

async function render({ y = 0, isFirst = false, isSeen = false } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const view = await viewed(signal);
  if (signal.aborted) return;
  document.title = `${view.title} · ${t("shop")}`;
  main.replaceChildren(view.element);
  if (!isSeen) tracking.page(view.name);
  if (!isFirst) {
    const heading = main.querySelector("h1");
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  await view.start?.();
  if (!signal.aborted && !isSeen) scrollTo(0, y);
}

async function viewed(signal) {
  const [path, show] = routes.find(([one]) => one.test(location.pathname)) || [];
  try {
    if (!path) throw new Problem("error.noPage");
    return await show({ signal, query: location.search, id: location.pathname.match(path)[1] });
  } catch (error) {
    if (error.name === "AbortError") return {};
    return { title: t("error.title"), name: "error", element: problem(error, () => render({ isSeen: true })) };
  }
}

/** What went wrong, and what to do. Anything that is no Problem is our own mistake, and the console's. */
export function problem(error, retry, level = "h1") {
  if (!(error instanceof Problem)) console.error(error);
  const onward = { "error.notFound": ["/", "error.home"], "error.noPage": ["/", "error.home"], "error.refused": ["/search", "nav.search"] }[error.word];
  return h(
    "div",
    { class: "notice", role: "alert" },
    h(level, {}, t("error.title")),
    h("p", {}, t(error.word || "error.busy", error.values)),
    onward ? h("a", { class: "button", href: onward[0] }, t(onward[1])) : h("button", { type: "button", class: "button primary", on: { click: retry } }, t("error.retry")),
  );
}
