"""One search, stage after stage. In: a snapshot, preferences, today. Out: Found.

Filters say what passes, scoring gives points, ranking keeps the best, and when they are too few, relaxation widens the
filters for a second round. Only trips that are shown are explained.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from recommender import filters, scoring
from recommender.columns import day, trip
from recommender.policy import WEIGHTS, Weights
from recommender.preferences import Preferences
from recommender.ranking import Search, best
from recommender.relaxation import relaxed
from recommender.snapshot import Snapshot
from recommender.trips import Found, Scored

Hit = tuple[int, int, int, int, int]  # score negated, day, occurrence, part, row: the order of results


class Chosen(NamedTuple):
    """What a search chose, best first, the relaxed ones last; each with the search that found it."""

    snapshot: Snapshot
    hits: list[tuple[Search, Hit]]
    candidates: int

    def trip_ids(self) -> list[int]:
        """All of them."""
        return [hit[2] for _, hit in self.hits]

    def template_id(self, place: int) -> int:
        """The template of one."""
        _, (_, _, _, part, row) = self.hits[place]
        columns = self.snapshot.parts[part].columns
        return int(columns.template_id[columns.template[row]])

    def explained(self, place: int) -> Scored:
        """One with its terms: 10 µs, where the search for all of them took 160."""
        search, (score, starts_on, occurrence_id, part, row) = self.hits[place]
        places = self.snapshot.places
        found = trip(self.snapshot.parts[part].columns, places, row)
        has_places = search.limits.countries is not None
        continents = places.continents_of(found.countries) if has_places else frozenset[str]()
        terms = scoring.explain(found, continents, search.preferences, search.limits, search.today, search.weights)
        is_relaxed = search.limits.is_relaxed
        return Scored(occurrence_id, found.template_id, day(starts_on), -score, is_relaxed, tuple(terms))


def recommend(
    snapshot: Snapshot, preferences: Preferences, today: date, limit: int = WEIGHTS.results, weights: Weights = WEIGHTS
) -> Found:
    """The best trips, and where they are too few, the best of a wider search; all of them explained."""
    chosen = choose(snapshot, preferences, today, limit, weights)
    scored = [chosen.explained(place) for place in range(len(chosen.hits))]
    primary, others = ([one for one in scored if one.is_relaxed == which] for which in (False, True))
    return Found(primary, others, chosen.candidates)


def choose(snapshot: Snapshot, preferences: Preferences, today: date, limit: int, weights: Weights = WEIGHTS) -> Chosen:
    """The same, and none explained."""
    until = snapshot.until
    asked = filters.primary(preferences, today, until, weights)
    search = Search(preferences, asked, snapshot.places, today, max(limit, weights.relax_below), weights)
    found, hits = _best(snapshot, search, [])
    chosen = [(search, hit) for hit in hits[:limit]]
    if found >= weights.relax_below:
        return Chosen(snapshot, chosen, found)
    wider = search._replace(limits=relaxed(preferences, snapshot.places, today, until, weights))
    more, others = _best(snapshot, wider, hits)
    rest = [(wider, hit) for hit in others[: limit - len(chosen)]]
    return Chosen(snapshot, chosen + rest, found + more)


def _best(snapshot: Snapshot, search: Search, without: list[Hit]) -> tuple[int, list[Hit]]:
    """Over all parts: how many pass, and the best of them."""
    hits: list[Hit] = []
    passing = 0
    for number, part in enumerate(snapshot.parts):
        found = best(part, search, [hit[4] for hit in without if hit[3] == number])
        passing += found.passing
        columns = part.columns
        for score, row in found.rows:
            hits.append((-score, int(columns.starts_on[row]), int(columns.occurrence_id[row]), number, row))
    return passing, sorted(hits)[: search.wanted]
