"""One search, stage after stage. In: a snapshot, preferences, today. Out: Found.

Filters say what passes, scoring gives points, ranking keeps the best, and when they are too few, relaxation widens the
filters for a second round. Only trips that are shown are explained.
"""

from __future__ import annotations

from datetime import date

from recommender import filters, scoring
from recommender.columns import day, trip
from recommender.policy import WEIGHTS, Weights
from recommender.preferences import Preferences
from recommender.ranking import Search, best
from recommender.relaxation import relaxed
from recommender.snapshot import Snapshot
from recommender.trips import Found, Scored

Hit = tuple[int, int, int, int, int]  # score negated, day, occurrence, part, row: the order of results


def recommend(
    snapshot: Snapshot, preferences: Preferences, today: date, limit: int = WEIGHTS.results, weights: Weights = WEIGHTS
) -> Found:
    """The best trips, and where they are too few, the best of a wider search."""
    until = snapshot.until
    asked = filters.primary(preferences, today, until, weights)
    search = Search(preferences, asked, snapshot.places, today, max(limit, weights.relax_below), weights)
    found, hits = _best(snapshot, search, [])
    if found >= weights.relax_below:
        return Found(_explained(snapshot, search, hits[:limit]), [], found)
    wider = search._replace(limits=relaxed(preferences, snapshot.places, today, until, weights))
    more, others = _best(snapshot, wider, hits)
    shown = hits[:limit]
    rest = _explained(snapshot, wider, others[: limit - len(shown)])
    return Found(_explained(snapshot, search, shown), rest, found + more)


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


def _explained(snapshot: Snapshot, search: Search, hits: list[Hit]) -> list[Scored]:
    """With their terms."""
    return [_scored(snapshot, search, hit) for hit in hits]


def _scored(snapshot: Snapshot, search: Search, hit: Hit) -> Scored:
    score, starts_on, occurrence_id, part, row = hit
    found = trip(snapshot.parts[part].columns, snapshot.places, row)
    continents = snapshot.places.continents_of(found.countries)
    terms = scoring.explain(found, continents, search.preferences, search.limits, search.today, search.weights)
    is_relaxed = search.limits.is_relaxed
    return Scored(occurrence_id, found.template_id, day(starts_on), -score, is_relaxed, tuple(terms))
