"""The rules, slowly: every trip is looked at, one after the other. In: the same as the engine, over a list of trips.

Out: what the engine must find, to the last tie. Reads like the issue; shares nothing with the engine but the types and
the table of weights. Reasons are left empty.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from recommender.policy import WEIGHTS, Weights
from recommender.preferences import Preferences
from recommender.trips import Found, Scored, Term, Trip


def recommend(
    trips: Iterable[Trip],
    continents: Mapping[str, str],
    preferences: Preferences,
    today: date,
    limit: int = 10,
    weights: Weights = WEIGHTS,
) -> Found:
    rules = Rules(continents, preferences, today, weights)
    trips = list(trips)
    primary = [trip for trip in trips if rules.passes(trip)]
    relaxed = []
    if len(primary) < weights.relax_below:
        relaxed = [trip for trip in trips if trip not in primary and rules.passes_relaxed(trip)]
    shown = best([rules.scored(trip, is_relaxed=False) for trip in primary])[:limit]
    rest = best([rules.scored(trip, is_relaxed=True) for trip in relaxed])[: limit - len(shown)]
    return Found(shown, rest, len(primary) + len(relaxed))


def best(scored: list[Scored]) -> list[Scored]:
    return sorted(scored, key=lambda one: (-one.score, one.starts_on, one.occurrence_id))


class Rules:
    def __init__(self, continents: Mapping[str, str], asked: Preferences, today: date, weights: Weights) -> None:
        self.continents, self.asked, self.today, self.w = continents, asked, today, weights
        self.budget = None if asked.budget is None else int(asked.budget * 100)

    def passes(self, trip: Trip) -> bool:
        asked, w = self.asked, self.w
        return (
            self.is_bookable(trip)
            and self.lies_in(trip, set(asked.selected_countries), set(asked.selected_continents))
            and asked.preferred_type_id in (None, trip.type_id)
            and self.is_as_difficult(trip, w.difficulty_reach)
            and self.costs_up_to(trip, w.price_max_percent)
            and self.leaves_within(trip.starts_on, 0)
        )

    def passes_relaxed(self, trip: Trip) -> bool:
        w = self.w
        return (
            self.is_bookable(trip)
            and self.lies_in(trip, set(), self.wider_continents())
            and self.is_as_difficult(trip, w.relaxed_difficulty_reach)
            and self.costs_up_to(trip, w.relaxed_price_max_percent)
            and self.leaves_within(trip.starts_on, w.relaxed_months)
        )

    def is_bookable(self, trip: Trip) -> bool:
        return trip.status not in ("Full", "Cancelled") and trip.starts_on > self.today

    def lies_in(self, trip: Trip, countries: set[str], continents: set[str]) -> bool:
        if not self.asked.selected_countries and not self.asked.selected_continents:
            return True
        return any(country in countries or self.continents[country] in continents for country in trip.countries)

    def wider_continents(self) -> set[str]:
        known = [country for country in self.asked.selected_countries if country in self.continents]
        return {self.continents[country] for country in known} | set(self.asked.selected_continents)

    def is_as_difficult(self, trip: Trip, reach: int) -> bool:
        return self.asked.difficulty is None or abs(trip.difficulty - self.asked.difficulty) <= reach

    def costs_up_to(self, trip: Trip, percent: int) -> bool:
        return self.budget is None or trip.price * 100 <= self.budget * percent

    def leaves_within(self, day: date, months: int) -> bool:
        """Within the month or year asked for, widened by so many months at each end."""
        year, month = self.asked.year, self.asked.month
        if month == "all":
            return year == "all" or first(year, 1 - months) <= day <= last(year, 12 + months)
        years = (day.year - 1, day.year, day.year + 1) if year == "all" else (year,)
        return any(first(any_year, month - months) <= day <= last(any_year, month + months) for any_year in years)

    def scored(self, trip: Trip, *, is_relaxed: bool) -> Scored:
        terms = [Term(name, points, "") for name, points in self.terms(trip, is_relaxed)]
        score = sum(term.points for term in terms)
        return Scored(trip.occurrence_id, trip.template_id, trip.starts_on, score, is_relaxed, tuple(terms))

    def terms(self, trip: Trip, is_relaxed: bool) -> list[tuple[str, int]]:
        asked, w = self.asked, self.w
        found = [("base", w.base)]
        if asked.preferred_theme_ids:
            shared = len(trip.theme_ids & set(asked.preferred_theme_ids))
            found.append(("themes", w.themes_several if shared >= 2 else w.themes_one if shared else w.themes_none))
        if asked.difficulty == trip.difficulty:
            found.append(("difficulty", w.difficulty_exact))
        found += self.duration(trip) + self.price(trip)
        if trip.status == "Guaranteed":
            found.append(("guaranteed", w.guaranteed))
        if trip.status == "Last Places":
            found.append(("last_places", w.last_places))
        if trip.starts_on <= self.today + timedelta(days=w.soon_days):
            found.append(("soon", w.soon))
        found += self.place(trip, self.wider_continents() if is_relaxed else set(asked.selected_continents))
        if is_relaxed:
            found.append(("relaxed", w.relaxed))
            if asked.preferred_type_id not in (None, trip.type_id):
                found.append(("type", w.relaxed_type))
        return found

    def duration(self, trip: Trip) -> list[tuple[str, int]]:
        low, high = self.asked.min_duration, self.asked.max_duration
        if low is None and high is None:
            return []

        def within(days: int) -> bool:
            return (low is None or days >= low) and (high is None or days <= high)

        if within(trip.duration_days):
            return [("duration", self.w.duration_within)]
        reach = self.w.duration_near_days
        if any(within(trip.duration_days + off) for off in range(-reach, reach + 1)):
            return [("duration", self.w.duration_near)]
        return []

    def price(self, trip: Trip) -> list[tuple[str, int]]:
        if self.budget is None:
            return []
        if trip.price <= self.budget:
            return [("price", self.w.price_within)]
        if self.costs_up_to(trip, self.w.price_close_percent):
            return [("price", self.w.price_close)]
        if self.costs_up_to(trip, self.w.price_above_percent):
            return [("price", self.w.price_above)]
        return []

    def place(self, trip: Trip, continents: set[str]) -> list[tuple[str, int]]:
        if any(country in self.asked.selected_countries for country in trip.countries):
            return [("country", self.w.country)]
        if any(self.continents[country] in continents for country in trip.countries):
            return [("continent", self.w.continent)]
        return []


def first(year: int, month: int) -> date:
    """The first day of a month; 0 is December of the year before, 13 January of the year after."""
    while month < 1:
        year, month = year - 1, month + 12
    while month > 12:
        year, month = year + 1, month - 12
    return date(year, month, 1)


def last(year: int, month: int) -> date:
    day = first(year, month)
    return day.replace(day=monthrange(day.year, day.month)[1])
