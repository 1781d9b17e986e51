// Elements. In: a name, attributes, children. Out: a node; data only ever becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** `on` are listeners, `data` the data attributes; null, undefined and false leave an attribute out. */
export function h(name, { on = {}, data = {}, ...attributes } = {}, ...inside) {
  const made = filled(document.createElement(name), attributes, inside);
  for (const [event, call] of Object.entries(on)) made.addEventListener(event, call);
  for (const [key, value] of Object.entries(data)) if (value != null) made.dataset[key] = value;
  return made;
}

/** The same of a picture. */
export const svg = (name, attributes = {}, ...inside) => filled(document.createElementNS(SVG, name), attributes, inside);

function filled(made, attributes, inside) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value != null && value !== false) made.setAttribute(key, value);
  }
  made.append(...inside.flat(9).filter((one) => one != null && one !== false));
  return made;
}

const ICONS = {
  heart: "M12 20s-7-4.6-9-9.2C1.6 7.3 3.6 4 7 4c2.2 0 3.8 1.2 5 3 1.2-1.8 2.8-3 5-3 3.4 0 5.4 3.3 4 6.8C19 15.4 12 20 12 20z",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm5 11.500L21 21",
  check: "M4 12.500l5 5L20 6.5",
  near: "M5 12h14",
  miss: "M6 6l12 12M18 6L6 18",
  globe: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  pulse: "M3 12h4l3-8 4 16 3-8h4",
  calendar: "M4 6h16v14H4zM4 10h16M8 3v5M16 3v5",
  phone: "M6 3h4l1.5 5-2.5 2c1 2.5 2.5 4 5 5l2-2.5 5 1.500v4c0 1-1 2-2 2C11 20 4 13 4 5c0-1 1-2 2-2z",
  chat: "M12 4a8 8 0 0 0-7 12l-1 4 4-1a8 8 0 1 0 4-15zM9 10c0 3 2 5 5 5",
  person: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4 21c1-5 4-7 8-7s7 2 8 7",
};

/** A line drawing, hidden from screen readers: words stand beside it. */
export const icon = (name) =>
  svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
