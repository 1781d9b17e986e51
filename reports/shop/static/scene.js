// Pictures of trips, drawn rather than photographed. In: continent, kind, themes and a number. Out: an SVG, the same one
// each time: sky, sun, three ranges of land, and what stands for the place.

import { svg } from "./dom.js";

const SKIES = {
  dawn: ["#ffb88a", "#ffe2c0", "#fff1d8"],
  day: ["#7cc3e0", "#c9e8ee", "#fdf3dc"],
  dusk: ["#4a3f78", "#c0647c", "#ffb27a"],
  polar: ["#16344f", "#3f8fa5", "#cdeeea"],
  tropic: ["#2fa7b5", "#9fdcd2", "#ffe9b8"],
  desert: ["#f08a5d", "#f9c784", "#fdebc8"],
};
const LANDS = {
  green: ["#8fb9a8", "#4f8f7a", "#23584d", "#12382f"],
  alpine: ["#a9bfd0", "#6f8fa8", "#3d5f78", "#1d3a4d"],
  sand: ["#e3b27a", "#c98551", "#9a5a35", "#5f3520"],
  savanna: ["#d9b26b", "#b98d3e", "#7d6426", "#3e3414"],
  sea: ["#6fb7c4", "#2f8a9c", "#176577", "#0c4452"],
  dusk: ["#8b6c93", "#5f4a78", "#3a3058", "#221c3a"],
  ice: ["#dff0f4", "#a9d3df", "#5fa3b8", "#2a6c86"],
};
// Skies and lands of which chance takes one, and what stands in front.
const BY_KIND = {
  cruise: [["tropic", "dawn", "day"], ["sea"], "boats"],
  winter: [["polar", "day", "dusk"], ["ice"], "pines"],
  trekking: [["dawn", "day", "dusk"], ["alpine", "alpine", "green"], "pines"],
  jeep: [["desert", "dawn", "dusk"], ["sand", "savanna"], "jeep"],
  photography: [["dusk", "dawn", "polar"], ["dusk", "alpine"], "birds"],
  culinary: [["dawn", "day", "desert"], ["green"], "vines"],
  cycling: [["day", "dawn", "tropic"], ["green"], "cypresses"],
  rail: [["day", "dawn", "dusk"], ["green", "alpine"], "train"],
  spiritual: [["dusk", "dawn", "polar"], ["dusk", "green"], "temple"],
  family: [["day", "tropic", "dawn"], ["green"], "balloon"],
  nature_safari: [["dusk", "dawn", "day"], ["green", "alpine"], "pines"],
};
const BY_CONTINENT = {
  AF: [["desert", "dusk", "dawn"], ["savanna"], "acacias"],
  AN: [["polar", "day"], ["ice"], "bergs"],
  AS: [["dawn", "day", "dusk"], ["green"], "temple"],
  EU: [["day", "dawn", "dusk"], ["green", "alpine"], "town"],
  NA: [["desert", "dusk"], ["sand"], "cacti"],
  OC: [["tropic", "day"], ["sea"], "palms"],
  SA: [["dawn", "day"], ["alpine"], "birds"],
};

/** Chance from a number, the same each time (mulberry32). */
function chances(seed) {
  let at = (seed * 2654435761) >>> 0;
  return () => {
    at = (at + 0x6d2b79f5) >>> 0;
    let x = Math.imul(at ^ (at >>> 15), at | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

const path = (d, fill, more = {}) => svg("path", { d, fill, ...more });

/** Land from the left edge to the right one: jagged where it is rock, else rolling. */
function range(chance, y, height, steps, isRock) {
  const points = Array.from({ length: steps + 1 }, (_, n) => [(n * 400) / steps, y - height * (isRock && n % 2 ? 0.5 + chance() / 2 : chance() * 0.5)]);
  if (isRock) return `M0 250V${points[0][1]}${points.map(([x, up]) => `L${x} ${up}`).join("")}V250Z`;
  const curves = points.slice(1).map(([x, up], n) => `Q${points[n][0]} ${points[n][1]} ${(points[n][0] + x) / 2} ${(points[n][1] + up) / 2}`);
  return `M0 250V${points[0][1]}${curves.join("")}L400 ${points[steps][1]}V250Z`;
}

const pine = (x, y, s) => `M${x} ${y - 26 * s}l${7 * s} ${12 * s}h${-3 * s}l${6 * s} ${12 * s}h${-20 * s}l${6 * s} ${-12 * s}h${-3 * s}z`;
const cypress = (x, y, s) => `M${x} ${y - 34 * s}q${7 * s} ${20 * s} 0 ${34 * s}q${-7 * s} ${-14 * s} 0 ${-34 * s}z`;
const acacia = (x, y, s) =>
  `M${x - 22 * s} ${y - 26 * s}q${22 * s} ${-16 * s} ${44 * s} 0q${-20 * s} ${5 * s} ${-44 * s} 0zM${x - 1.5 * s} ${y}l${s} ${-26 * s}h${3 * s}l${-s} ${26 * s}z`;
const palm = (x, y, s) =>
  `M${x} ${y}q${5 * s} ${-20 * s} ${2 * s} ${-40 * s}h${3 * s}q${4 * s} ${20 * s} ${-s} ${40 * s}z` +
  [-24, -14, 12, 22].map((to) => `M${x + 3 * s} ${y - 40 * s}q${(to * s) / 2} ${-14 * s} ${to * s} ${4 * s}q${(-to * s) / 2} ${-8 * s} ${-to * s} ${-4 * s}z`).join("");
const cactus = (x, y, s) => `M${x - 3 * s} ${y}v${-30 * s}q${3 * s} ${-5 * s} ${6 * s} 0v${12 * s}h${5 * s}v${-8 * s}q${2 * s} ${-3 * s} ${4 * s} 0v${12 * s}h${-9 * s}v${14 * s}z`;
const sail = (x, y, s) => `M${x} ${y - 34 * s}v${28 * s}h${18 * s}zM${x - 3 * s} ${y - 28 * s}v${22 * s}h${-12 * s}z`;
const hull = (x, y, s) => `M${x - 20 * s} ${y - 3 * s}h${42 * s}l${-7 * s} ${8 * s}h${-28 * s}z`;
const bird = (x, y, s) => `M${x - 8 * s} ${y}q${4 * s} ${-5 * s} ${8 * s} 0q${4 * s} ${-5 * s} ${8 * s} 0`;
const berg = (x, y, s) => `M${x - 40 * s} ${y}l${14 * s} ${-30 * s}l${10 * s} ${6 * s}l${14 * s} ${-26 * s}l${26 * s} ${50 * s}z`;
const temple = (x, y, s) =>
  [0, 1, 2, 3].map((n) => `M${x - (30 - n * 6) * s} ${y - n * 17 * s}v${-8 * s}h${-5 * s}q${9 * s} ${-2 * s} ${12 * s} ${-9 * s}h${(46 - n * 12) * s}q${3 * s} ${7 * s} ${12 * s} ${9 * s}h${-5 * s}v${8 * s}z`).join("") +
  `M${x - s} ${y - 68 * s}v${-18 * s}h${2 * s}v${18 * s}z`;

const scattered = (chance, count, draw, y = 226, spread = 14) =>
  Array.from({ length: count }, () => draw(12 + chance() * 376, y + chance() * spread, 0.7 + chance() * 0.8)).join("");

/** What stands in front. `c`: the land's colours, from far to near. */
const FRONTS = {
  pines: (chance, c) => [path(scattered(chance, 16, pine, 222, 26), c[3])],
  cypresses: (chance, c) => [path(scattered(chance, 9, cypress, 220, 24), c[3])],
  acacias: (chance, c) => [path(scattered(chance, 5, acacia, 218, 18), c[3]), path(scattered(chance, 6, bird, 60, 60), "none", { stroke: c[3], "stroke-width": 1.6 })],
  palms: (chance, c) => [path("M0 250q90-34 190-16t210-12v28z", "#f3dfae"), path(scattered(chance, 5, palm, 236, 8), c[3])],
  cacti: (chance, c) => [path(scattered(chance, 6, cactus, 226, 18), c[3])],
  jeep(chance, c) {
    const x = 120 + chance() * 150;
    return [
      path("M0 250v-22q110-16 210-6t190-8v36z", c[3]),
      path(`M${x} 222v-14h10l9-13h30l5 13h9q4 0 4 4v10z`, "#c9452c"),
      path(`M${x + 15} 207l5-8h10v8zM${x + 34} 199h13l3 8h-16z`, "#ffe9c2"),
      path([14, 52].map((at) => `M${x + at - 8} 223a8 8 0 1 0 16 0a8 8 0 1 0-16 0z`).join(""), "#1c1512"),
    ];
  },
  bergs: (chance) => [path(scattered(chance, 4, berg, 224, 20), "#f4fbfc"), path("M0 232q50-6 100 0t100 0t100 0t100 0v18H0z", "#1d5b75")],
  birds: (chance, c) => [path(scattered(chance, 8, bird, 40, 70), "none", { stroke: "#fff3e0", "stroke-width": 1.8, "stroke-linecap": "round" }), path(range(chance, 240, 18, 6, false), c[3])],
  boats(chance, c) {
    const at = [90 + chance() * 80, 196, 1.3], far = [260 + chance() * 80, 176, 0.7];
    return [path(sail(...at) + sail(...far), "#fff8ea"), path(hull(...at) + hull(...far), c[3])];
  },
  temple: (chance, c) => [path(temple(120 + chance() * 160, 214, 1.1), c[3]), path(range(chance, 226, 16, 5, false), c[2]), path(scattered(chance, 7, pine, 240, 8), c[3])],
  balloon(chance, c) {
    const x = 110 + chance() * 180, y = 40 + chance() * 24;
    return [
      path(`M${x} ${y + 62}c-34-24-34-70 0-70s34 46 0 70z`, "#d9502f"),
      path(`M${x} ${y + 62}c-13-24-13-70 0-70s13 46 0 70z`, "#ffd27a"),
      path(`M${x - 6} ${y + 68}h12v9h-12z`, c[3]),
      path(scattered(chance, 8, cypress, 226, 18), c[3]),
    ];
  },
  train(chance, c) {
    const x = 60 + chance() * 80;
    const cars = [0, 1, 2].map((n) => `M${x + n * 62} 193h56q4 0 4 4v17h-60z`).join("");
    const windows = [0, 1, 2].flatMap((n) => [0, 1, 2].map((m) => `M${x + n * 62 + 8 + m * 17} 198h10v7h-10z`)).join("");
    const piers = Array.from({ length: 9 }, (_, n) => `M${n * 50} 219h12v31h-12z`).join("");
    return [path(`M0 213h400v8H0z${piers}`, c[3]), path(cars, "#c9452c"), path(windows, "#ffe9c2")];
  },
  vines: (chance, c) => Array.from({ length: 7 }, (_, n) => path(`M${-60 + n * 76} 252q30-44 ${90 - n * 12}-58`, "none", { stroke: n % 2 ? c[3] : "#7f2f4d", "stroke-width": 7, "stroke-dasharray": "5 4" })),
  town(chance, c) {
    const houses = Array.from({ length: 13 }, (_, n) => {
      const high = 16 + chance() * 26, x = 20 + n * 28;
      return `M${x} 232v${-high}l13-11 13 11v${high}z`;
    });
    return [path(houses.join(""), c[3]), path("M196 232v-70l9-26 9 26v70zM201 136h8v-12h-8z", c[3]), path(Array.from({ length: 9 }, (_, n) => `M${31 + n * 42} 220h4v5h-4z`).join(""), "#ffd88a")];
  },
};

let made = 0;

/** What fits: the cold continent whatever one does there, then beaches, then the kind, then the continent. */
function chosen(continent, kind, tags) {
  const isBeach = tags.some((tag) => ["beaches", "islands"].includes(tag)) && !["cruise", "trekking", "winter", "jeep"].includes(kind);
  if (continent === "AN") return BY_CONTINENT.AN;
  if (isBeach) return continent === "EU" ? BY_KIND.cruise : BY_CONTINENT.OC; // no palms in Finland
  if (kind === "nature_safari" && continent === "AF") return BY_CONTINENT.AF;
  return BY_KIND[kind] || BY_CONTINENT[continent] || BY_CONTINENT.EU;
}

/** Decoration: whoever cannot see it misses nothing that is not said. `align`: which part of it stays, where not all
 * of it fits. */
export function scene({ continent, kind, tags = [], seed = 1, align = "xMidYMid" }) {
  const chance = chances(seed);
  const [skies, lands, front] = chosen(continent, kind, tags);
  const sky = skies[Math.floor(chance() * skies.length)], land = lands[Math.floor(chance() * lands.length)];
  const colours = LANDS[land], id = `sky${++made}`, isRock = ["alpine", "ice", "sand"].includes(land);
  const stops = SKIES[sky].map((colour, n) => svg("stop", { offset: n / 2, "stop-color": colour }));
  return svg(
    "svg",
    { viewBox: "0 0 400 250", preserveAspectRatio: `${align} slice`, class: "scene", "aria-hidden": "true" },
    svg("defs", {}, svg("linearGradient", { id, x2: 0, y2: 1 }, stops)),
    svg("rect", { width: 400, height: 250, fill: `url(#${id})` }),
    svg("circle", { cx: 60 + chance() * 280, cy: 56 + chance() * 54, r: 16 + chance() * 14, fill: "#fff6dd", opacity: 0.9 }),
    path(range(chance, 170, 80, 6 + Math.floor(chance() * 4), isRock), colours[0]),
    path(range(chance, 196, 58, 5 + Math.floor(chance() * 4), isRock), colours[1]),
    path(range(chance, 222, 40, 5, false), colours[2]),
    FRONTS[front](chance, colours),
  );
}

/** The picture of a trip. */
export const sceneOf = (trip) =>
  scene({ continent: trip.country.continent, kind: trip.type.code, tags: trip.tags.map((tag) => tag.code), seed: trip.templateId });
