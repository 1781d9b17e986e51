"""One request, ten trips: rules, then Postgres. In: a catalogue and what was asked. Out: Answer, of trips that may be
booked at this moment.

The rules choose some more than are wanted, so that others move up for those that are gone. Where these are not enough,
the templates of the gone ones are read again and the rules are asked again: fewer trips may mean a relaxed search.
"""

from __future__ import annotations

import time
from datetime import date

from recommender import engine
from recommender.asking import Asking
from recommender.catalogue import Catalogue
from recommender.formatting import Answer, Placed
from recommender.policy import POLICY, VERSION
from recommender.shown import Trips
from schema.asked import Asked, Shown
from schema.event import new_id, now

_SPARE = 5
_ROUNDS_MAX = 4


async def answer(catalogue: Catalogue, trips: Trips, asking: Asking, today: date, began: int) -> Answer:
    """`began`: when its body had been read, by time.perf_counter_ns. Raises StorageError while Postgres is away."""
    snapshot = catalogue.snapshot
    for _ in range(_ROUNDS_MAX):
        chosen = engine.choose(snapshot, asking, today, asking.limit + _SPARE)
        ids = chosen.trip_ids()
        rows = await trips.shown(ids, today) if ids else {}
        if len(rows) == len(ids) or len(rows) >= asking.limit:
            break
        gone = {chosen.template_id(place) for place, one in enumerate(ids) if one not in rows}
        snapshot = snapshot.with_changes(await trips.trips_of(gone, today), gone)
    there = [place for place, one in enumerate(ids) if one in rows][: asking.limit]
    placed = [Placed(chosen.explained(place), rows[ids[place]]) for place in there]
    taken = (time.perf_counter_ns() - began) // 1000
    return Answer(new_id(now()), asking, placed, chosen.candidates, taken)


def asked(answered: Answer, asking: Asking, site_id: str, user_agent: str | None) -> Asked:
    """The answer as it is logged."""
    return Asked(
        site_id=site_id,
        request_id=answered.request_id,
        requested_at=now(),
        preferences=asking.logged,
        filters=asking.filters,
        search_type=answered.search_type,
        policy_id=POLICY,
        policy_version=VERSION,
        results=[
            Shown(one.occurrence_id, one.template_id, at, one.score, one.is_relaxed)
            for at, (one, _) in enumerate(answered.results, 1)
        ],
        primary_count=answered.primary_count,
        relaxed_count=answered.relaxed_count,
        total_candidates=answered.candidates,
        response_time_us=answered.response_us,
        session_id=asking.session_id,
        anonymous_id=asking.anonymous_id,
        user_agent=user_agent,
    )
