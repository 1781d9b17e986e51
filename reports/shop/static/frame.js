// What stands around every view: header, footer, sign-in and the drawer of events. In: the element that views fill.

import { dialog } from "./dialog.js";
import { h, icon } from "./dom.js";
import { drawer } from "./drawer.js";
import { again } from "./router.js";
import { change, keep, other, recall, t } from "./text.js";
import * as tracking from "./tracking.js";

export const WHO = "shop:who";
const signsIn = () => document.querySelector('meta[name="shop-sign-in"]').content === "demo";

export function frame(main) {
  const header = h("header", { class: "top" }), footer = h("footer", { class: "foot" });
  const skip = h("a", { class: "skip", href: "#main", on: { click: (event) => (event.preventDefault(), main.focus()) } });
  const fill = () => {
    skip.textContent = t("skip");
    header.replaceChildren(...top(fill));
    footer.replaceChildren(h("p", {}, t("foot.demo")), h("a", { href: "/dashboard" }, t("nav.dashboard")));
  };
  fill();
  const events = drawer();
  document.addEventListener("signed", fill);
  document.body.replaceChildren(skip, header, main, footer, events.element);
  document.addEventListener("language", events.show);
}

function top(fill) {
  const language = h("button", { type: "button", class: "quiet", lang: other(), on: { click: () => speak(fill) } }, icon("globe"), t("nav.language"));
  return [
    h("a", { class: "brand", href: "/" }, t("shop")),
    h("nav", { "aria-label": t("shop") }, h("a", { href: "/search" }, icon("search"), t("nav.search"))),
    h("div", { class: "tools" }, language, person(fill)),
  ];
}

function speak(fill) {
  change(other());
  fill();
  again();
  document.dispatchEvent(new Event("language"));
  document.querySelector("header .tools button").focus();
}

function person(fill) {
  const email = recall(WHO);
  if (email) {
    const label = `${t("nav.signOut")} (${t("nav.signedIn", { email })})`;
    const leave = h("button", { type: "button", class: "quiet who", "aria-label": label, title: label, on: { click: () => signOut(fill) } }, icon("person"), h("bdi", {}, email.split("@")[0]));
    return leave;
  }
  return signsIn() && h("button", { type: "button", class: "quiet", on: { click: signIn } }, icon("person"), t("nav.signIn"));
}

function signIn() {
  const here = location.pathname + location.search;
  const form = h(
    "form",
    { method: "post", action: "/shop/sign-in", class: "stack" },
    h("p", {}, t("sign.lead")),
    h("input", { type: "hidden", name: "next", value: here }),
    h("label", {}, t("sign.email"), h("input", { type: "email", name: "email", required: true, autocomplete: "email", dir: "ltr", placeholder: "noa@example.com" })),
    h("button", { class: "button primary" }, t("sign.go")),
  );
  dialog(t("sign.title"), form);
}

/** Whoever comes next to this browser is somebody else: with a name of their own. */
async function signOut(fill) {
  keep(WHO, null);
  await tracking.flush();
  if (tracking.allows()) {
    tracking.allow(false);
    tracking.allow(true);
  }
  fill();
  document.querySelector("header .tools").lastElementChild.focus();
}
