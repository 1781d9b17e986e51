// `/auth/callback?next=…#access_token=…`: back from whoever knows the visitor. In: a token, in the fragment. Out: the
// visitor is that person, and is again where they were. The token is taken out of the address before anything else sees
// it, and kept nowhere; what is kept is the name that it says, to be shown.

import { h } from "./dom.js";
import { WHO } from "./frame.js";
import { go } from "./router.js";
import { keep, t } from "./text.js";
import * as tracking from "./tracking.js";

export async function callback({ query, signal }) {
  const said = new URLSearchParams(location.hash.slice(1));
  const token = said.get("access_token") || said.get("token");
  history.replaceState(null, "", location.pathname + location.search);
  const status = h("p", { role: "status" }, t(token ? "sign.working" : "sign.failed"));
  const element = h("div", { class: "wide" }, h("h1", {}, t("sign.title")), status, h("a", { class: "button", href: "/" }, t("error.home")));
  const start = async () => {
    if (!token) return;
    if ((await tracking.identify(token)) !== true) {
      status.textContent = t("sign.failed");
      return;
    }
    keep(WHO, nameIn(token));
    document.dispatchEvent(new Event("signed"));
    if (!signal.aborted) go(inside(new URLSearchParams(query).get("next")), { replace: true });
  };
  return { title: t("sign.title"), name: "auth_callback", element, start };
}

/** A page of ours, whatever the address says. */
function inside(next) {
  try {
    const to = new URL(next || "/", location.origin);
    return to.origin === location.origin && to.pathname !== location.pathname ? to.pathname + to.search : "/";
  } catch {
    return "/";
  }
}

/** The email in a token's claims, which the server has verified. */
function nameIn(token) {
  try {
    const claims = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    const { email, sub } = JSON.parse(new TextDecoder().decode(Uint8Array.from(claims, (one) => one.charCodeAt(0))));
    return String(email || sub);
  } catch {
    return "?";
  }
}
