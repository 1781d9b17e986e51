// The shop begins here: the language, the tracker, the frame, then the view that the address names.

import { callback } from "./callback.js";
import { frame } from "./frame.js";
import { home } from "./home.js";
import { results } from "./results.js";
import { begin } from "./router.js";
import { search } from "./search.js";
import * as text from "./text.js";
import * as tracking from "./tracking.js";
import { trip } from "./trip.js";

text.begin();
tracking.begin();
frame(
  begin([
    [/^\/$/, home],
    [/^\/search$/, search],
    [/^\/search\/results$/, results],
    [/^\/trips\/(\d{1,18})$/, trip],
    [/^\/auth\/callback$/, callback],
  ]),
);
