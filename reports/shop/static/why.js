// Why a trip was found, in words. In: a result's match_details, the trip, what was asked for. Out: reasons in the
// visitor's language, each with its points; the API's own are in English.

import { list, money, say, t, day } from "./text.js";

const named = (ids, of) => list(ids.map((id) => say(of.find((one) => one.id === id))));

const WORDS = {
  base: () => t("why.base"),
  themes(trip, wanted) {
    const shared = trip.tags.filter((tag) => wanted.themes.includes(tag.id));
    return shared.length ? t("why.themes", { what: list(shared.map((tag) => say(tag))) }) : t("why.noThemes");
  },
  difficulty: (trip) => t("why.difficulty", { what: t(`difficulty.${trip.difficulty}`) }),
  duration(trip, wanted) {
    const off = Math.max((wanted.min || 0) - trip.durationDays, trip.durationDays - (wanted.max || 9999), 0);
    return t(off ? "why.nearDuration" : "why.duration", { n: trip.durationDays, off });
  },
  price(trip, wanted) {
    const percent = Math.ceil((trip.price / wanted.budget - 1) * 100);
    return percent > 0 ? t("why.abovePrice", { percent }) : `${t("why.price")}: ${money(trip.price)}`;
  },
  guaranteed: () => t("why.guaranteed"),
  last_places: () => t("why.last_places"),
  soon: (trip) => t("why.soon", { date: day(trip.startsOn, { day: "numeric", month: "long" }) }),
  country(trip, wanted, known) {
    const shared = [trip.country.id, ...trip.moreCountries].filter((code) => wanted.countries.includes(code));
    return t("why.country", { what: named(shared, known.countries) });
  },
  continent: (trip, wanted, known) => t("why.continent", { what: named([trip.country.continent], known.continents) }),
  relaxed: () => t("why.relaxed"),
  type: (trip) => t("why.type", { what: say(trip.type) }),
};

/** A term that is newer than this page is said as the API says it. */
export const reasons = (result, wanted, known) =>
  result.matchDetails.map(({ term, points, reason }) => ({
    term,
    points,
    words: WORDS[term] ? WORDS[term](result, wanted, known) : reason,
  }));
