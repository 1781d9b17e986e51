"""Made-up visitors of a trip marketplace. In: a seed, a batch size, how event ids are made. Out: request bodies.

What holds: an event carries what the product's own types are for (a card's impression its trip, place, score, source
and recommendation request; a search its preferences as metadata), and every one its page with a query, its referrer
and device. A session has about 30 events, of them four or five page views, and each is a visitor never seen before.
Trips are drawn by Zipf's law from 10,000; pages, referrers and user agents come from small sets, so that
dictionaries, counters and indexes work as they would in earnest. Times go evenly over the last hour, in order:
rendered all at once they would be the same few, and an index on time a third of its size. `laden` visitors stay for
12 events and add 62 bytes of metadata to each: the worst that we would expect. The same seed gives the same visitors;
ids and times are new each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec

from bench import wires
from schema.event import new_id, now

TRIPS = 10_000
EVENTS_A_SESSION, LADEN_EVENTS_A_SESSION = 30, 12
_ACTIVE = 300
_HOUR_MS = 3_600_000
_GAP_MS = 700
_TYPES = {
    "impression": 45, "page_view": 15, "click_trip": 10, "trip_dwell": 8, "scroll_depth": 6, "search_submit": 5,
    "results_view": 5, "save_trip": 2, "filter_change": 2, "contact_whatsapp": 1, "booking_start": 1,
}  # fmt: skip
_ABOUT_TRIPS = {"impression", "click_trip", "trip_dwell", "save_trip", "contact_whatsapp", "booking_start"}
_LISTED = {"results_view", "impression", "click_trip", "save_trip"}
_SOURCES = ("search_results", "relaxed_results", "homepage", "trip_detail")
_REFERRERS = ("https://www.google.com/", "https://www.facebook.com/", "https://news.example.org/trips/2026", None)
_PLACES = ("japan", "iceland", "peru", "georgia", "namibia", "vietnam", "norway", "jordan")
_WEIGHTS = list(accumulate(_TYPES.values()))
_ZIPF = list(accumulate(1 / rank for rank in range(1, TRIPS + 1)))
USER_AGENTS = tuple(
    template.format(minor)
    for minor in range(118, 128)
    for template in (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 "
        "Safari/537.36",
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Mobile "
        "Safari/537.36",
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
    )
)


class Post(NamedTuple):
    """One request: its body, how many events it holds, and the browser that sends it."""

    body: bytes
    events: int
    user_agent: str


class Habits(NamedTuple):
    """How visitors behave: whether their ids are of version 7, whether they are laden, and the millisecond at which the
    hour began in which all happened; the last hour by default."""

    ordered_ids: bool = False
    laden: bool = False
    hour: int | None = None


USUAL = Habits()


class Visitor:
    """A browser in one session."""

    def __init__(self, chance: random.Random, habits: Habits) -> None:
        self._chance = chance
        self._habits = habits
        self.anonymous_id = str(self._id())
        self.session_id = str(self._id())
        self.user_agent = chance.choice(USER_AGENTS)
        self._device = "mobile" if "Android" in self.user_agent else "desktop"
        self._referrer = chance.choice(_REFERRERS)
        self._request_id = str(self._id())

    def event(self, at: int) -> dict[str, Any]:
        """What it does next, at the millisecond `at`."""
        chance = self._chance
        kind = chance.choices(tuple(_TYPES), cum_weights=_WEIGHTS)[0]
        event = {
            "event_type": kind,
            "event_id": str(self._id()),
            "session_id": self.session_id,
            "anonymous_id": self.anonymous_id,
            "client_timestamp": at,
            "device_type": self._device,
            "page_url": f"https://trips.example/{chance.choice(_PLACES)}/search?adults=2&month={chance.randint(1, 12)}",
        }
        if self._referrer:
            event["referrer"] = self._referrer
        if metadata := self._metadata(kind):
            event["metadata"] = metadata
        if kind in _ABOUT_TRIPS:
            event["trip_id"] = chance.choices(range(1, TRIPS + 1), cum_weights=_ZIPF)[0]
            event["source"] = chance.choice(_SOURCES)
            event["position"] = chance.randint(0, 29)
        if kind in _LISTED:
            event["recommendation_request_id"] = self._request_id
            event["score"] = float(chance.randint(20, 100))
        return event

    def _metadata(self, kind: str) -> dict[str, Any]:
        chance = self._chance
        more: dict[str, Any] = {"layout": "grid-3", "locale": "en-GB", "variant": chance.choice("ab"), "depth": 3}
        laden = more if self._habits.laden else {}
        if kind == "search_submit":
            self._request_id = str(self._id())
            return {"countries": [chance.randint(1, 250)], "themes": [3, 7], "max_duration": 14, "budget": 4000} | laden
        if kind == "results_view":
            counts = {"primary_count": 7, "relaxed_count": 3}
            return counts | {"top_score": chance.randint(50, 100), "response_ms": 41} | laden
        said: dict[str, dict[str, Any]] = {
            "trip_dwell": {"duration_seconds": round(chance.uniform(1, 90), 2)},
            "scroll_depth": {"percent": chance.choice((25, 50, 75, 100))},
            "filter_change": {"filter": "difficulty", "value": chance.randint(1, 3)},
        }
        return said.get(kind, {}) | laden

    def _id(self) -> UUID:
        return new_id(now()) if self._habits.ordered_ids else uuid4()


def posts(
    requests: int,
    size: int,
    *,
    seed: int = 1,
    habits: Habits = USUAL,
    render: Callable[[list[dict[str, Any]], int], Any] = wires.batch,
) -> Iterator[Post]:
    """`requests` batches of `size` events, each of one visitor."""
    chance = random.Random(seed)
    active = [Visitor(chance, habits) for _ in range(_ACTIVE)]
    length = _GAP_MS * size
    goes_on = 1 - min(size / (LADEN_EVENTS_A_SESSION if habits.laden else EVENTS_A_SESSION), 1)
    encode = msgspec.json.Encoder().encode
    for request in range(requests):
        place = chance.randrange(_ACTIVE)
        visitor = active[place]
        sent_at = now() // 1000
        begins = sent_at - _HOUR_MS if habits.hour is None else habits.hour
        at = begins + length + (_HOUR_MS - length) * (request + 1) // requests
        events = [visitor.event(at - _GAP_MS * (size - number)) for number in range(size)]
        yield Post(encode(render(events, sent_at)), size, visitor.user_agent)
        if chance.random() >= goes_on:
            active[place] = Visitor(chance, habits)
