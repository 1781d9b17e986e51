// A question in front of the page. In: a title and what it holds. Out: nothing; it closes by Escape, its button, or the form.

import { h } from "./dom.js";
import { t } from "./text.js";

export function dialog(title, ...inside) {
  const shown = h(
    "dialog",
    { "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, title),
    ...inside,
    h("button", { type: "button", class: "button", on: { click: () => shown.close() } }, t("close")),
  );
  shown.addEventListener("close", () => shown.remove());
  document.body.append(shown);
  shown.showModal();
}
