// What the shop says, in English and in Hebrew. In: ?lang=, what was chosen before, what the browser prefers. Out: words.

import { en } from "./english.js";
import { he } from "./hebrew.js";

const WORDS = { en, he };
const KEPT = "shop:lang";
let lang = "en";

/** Whoever comes by a link with ?lang= sees it so, and whoever chose keeps it. */
export function begin() {
  const asked = new URLSearchParams(location.search).get("lang");
  choose([asked, recall(KEPT), navigator.language.slice(0, 2)].find((one) => one in WORDS) || "en");
}

export function choose(chosen) {
  lang = chosen;
  document.documentElement.lang = lang;
  document.documentElement.dir = lang === "he" ? "rtl" : "ltr";
}

export const language = () => lang;
export const other = () => (lang === "he" ? "en" : "he");

/** The words under a name, with {values}; a name with .one is for the number 1. */
export function t(name, values = {}) {
  const words = WORDS[lang];
  const text = (values.n === 1 && words[`${name}.one`]) || words[name];
  return text.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** A text that a trip, country or theme has in both languages: say(trip, "title"). */
export const say = (of, name = "name") => (of && of[name + (lang === "he" ? "He" : "En")]) || "";

export const money = (amount) =>
  new Intl.NumberFormat(lang, { style: "currency", currency: "USD", maximumFractionDigits: 0 }).format(amount);

export const whole = (number) => new Intl.NumberFormat(lang).format(number);

export const day = (text, options = { day: "numeric", month: "short", year: "numeric" }) =>
  new Intl.DateTimeFormat(lang, { timeZone: "UTC", ...options }).format(new Date(text));

export const time = (moment) =>
  new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(new Date(moment));

export const month = (number) => new Intl.DateTimeFormat(lang, { month: "long", timeZone: "UTC" }).format(Date.UTC(2024, number - 1));

export const list = (words) => new Intl.ListFormat(lang, { type: "conjunction" }).format(words);

/** Storage may be forbidden: then nothing is kept, and the shop works all the same. */
export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // then it holds for this page
  }
}

/** Another language from now on, also in the address where it is named there. */
export function change(chosen) {
  keep(KEPT, chosen);
  choose(chosen);
  const here = new URL(location.href);
  if (here.searchParams.has("lang")) {
    here.searchParams.set("lang", chosen);
    history.replaceState(history.state, "", here);
  }
}
