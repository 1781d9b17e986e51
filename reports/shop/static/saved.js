// Trips that a visitor saved, in this browser. In: a trip. Out: a button that says whether it is saved, and tells it.

import { h, icon } from "./dom.js";
import { keep, recall, t } from "./text.js";

const KEPT = "shop:saved";
const MOST = 200;

function ids() {
  try {
    return JSON.parse(recall(KEPT)) || [];
  } catch {
    return [];
  }
}

function toggle(id) {
  const known = ids();
  keep(KEPT, JSON.stringify(known.includes(id) ? known.filter((one) => one !== id) : [...known, id].slice(-MOST)));
}

/** The tracker hears of it by data-event, which names what the next click does. */
export function saveButton(id, title, { words = false } = {}) {
  const button = h("button", { type: "button", class: words ? "button" : "heart", on: { click: () => (toggle(id), show()) } });
  const show = () => {
    const isSaved = ids().includes(id);
    button.dataset.event = isSaved ? "unsave_trip" : "save_trip";
    button.setAttribute("aria-pressed", isSaved);
    if (!words) button.setAttribute("aria-label", t(isSaved ? "card.saved" : "card.save", { title }));
    button.replaceChildren(icon("heart"), words ? t(isSaved ? "trip.saved" : "trip.save") : "");
  };
  show();
  return button;
}
