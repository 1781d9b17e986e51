// What a visitor wishes for, as it stands in addresses: ?countries=IT,FR&type=2&themes=1,4&min=5&max=10&budget=3000…
// In: a query. Out: wishes, whatever nonsense the address holds; and the recommender's own names for them.

export const THEMES_MAX = 3;
const CONTINENTS = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];
const NUMBERS = { type: 32767, min: 365, max: 365, budget: 10000000, difficulty: 3, year: 2199, month: 12 };

const codes = (text) => [...new Set((text || "").toUpperCase().split(",").filter((code) => /^[A-Z]{2}$/.test(code)))];
const number = (text, most) => (/^\d{1,8}$/.test(text || "") && +text >= 1 && +text <= most ? +text : null);

export function read(query) {
  const said = new URLSearchParams(query);
  const wanted = {
    countries: codes(said.get("countries")),
    continents: codes(said.get("continents")).filter((code) => CONTINENTS.includes(code)),
    themes: [...new Set((said.get("themes") || "").split(",").map((id) => number(id, 63)))].filter(Boolean).slice(0, THEMES_MAX),
  };
  for (const name in NUMBERS) wanted[name] = number(said.get(name), NUMBERS[name]);
  if (wanted.year < 2000) wanted.year = null;
  if (wanted.min && wanted.max && wanted.min > wanted.max) wanted.max = null;
  return wanted;
}

/** The same as a query, without what was not said; "" for no wish at all. */
export function write(wanted) {
  const said = [];
  for (const [name, value] of Object.entries(wanted)) {
    if (Array.isArray(value) ? value.length : value != null) said.push(`${name}=${[value].flat().join(",")}`);
  }
  return said.length ? `?${said.join("&")}` : "";
}

export const preferences = (wanted) => ({
  selected_countries: wanted.countries,
  selected_continents: wanted.continents,
  preferred_type_id: wanted.type,
  preferred_theme_ids: wanted.themes,
  min_duration: wanted.min,
  max_duration: wanted.max,
  budget: wanted.budget,
  difficulty: wanted.difficulty,
  year: wanted.year || "all",
  month: wanted.month || "all",
});
