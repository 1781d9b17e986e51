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
        found = engine.recommend(snapshot, asking, today, asking.limit + _SPARE)
        chosen = [*found.primary, *found.relaxed]
        rows = await trips.shown([one.occurrence_id for one in chosen], today) if chosen else {}
        placed = [Placed(one, rows[one.occurrence_id]) for one in chosen if one.occurrence_id in rows]
        gone = {one.template_id for one in chosen if one.occurrence_id not in rows}
        if not gone or len(placed) >= asking.limit:
            break
        snapshot = snapshot.with_changes(await trips.trips_of(gone, today), gone)
    taken = (time.perf_counter_ns() - began) // 1000
    return Answer(new_id(now()), asking, placed[: asking.limit], found.candidates, taken)


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
