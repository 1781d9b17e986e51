// A search, from wherever it is begun. In: wishes. Out: the results' address, and the tracker told.

import { go } from "./router.js";
import * as tracking from "./tracking.js";
import { preferences, write } from "./wanted.js";

export const addressOf = (wanted) => `/search/results${write(wanted)}`;
export const told = (wanted) => tracking.search(preferences(wanted));

export function search(wanted) {
  told(wanted);
  go(addressOf(wanted));
}
