"""Made-up visitors of a trip marketplace. In: a seed, a batch size, how event ids are made. Out: request bodies.

What holds: sessions have about 12 events, trips are drawn by Zipf's law from 10,000, metadata has about 60 bytes, and
page, referrer and user agent come from small sets, so that dictionaries, counters and indexes work as they would in
earnest. Times go evenly over an hour, in order: rendered all at once they would be the same few, and an index on time a
third of its size. The same seed gives the same visitors; ids and times are new each time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec

from schema.event import new_id, now

TRIPS = 10_000
EVENTS_A_SESSION = 12
_ACTIVE = 300
_HOUR_MS = 3_600_000
_GAP_MS = 700
_TYPES = {
    "impression": 45, "page_view": 15, "click_trip": 10, "trip_dwell": 8, "scroll_depth": 6, "search_submit": 5,
    "results_view": 5, "save_trip": 2, "filter_change": 2, "contact_whatsapp": 1, "booking_start": 1,
}  # fmt: skip
_ABOUT_TRIPS = {"impression", "click_trip", "trip_dwell", "save_trip", "contact_whatsapp", "booking_start"}
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


class Visitor:
    """A browser in one session."""

    def __init__(self, chance: random.Random, *, ordered_ids: bool) -> None:
        self._chance = chance
        self._ordered = ordered_ids
        self.anonymous_id = str(self._id())
        self.session_id = str(self._id())
        self.user_agent = chance.choice(USER_AGENTS)
        self._device = "mobile" if "Android" in self.user_agent else "desktop"
        self._referrer = chance.choice(_REFERRERS)

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
            "metadata": self._metadata(kind),
        }
        if self._referrer:
            event["referrer"] = self._referrer
        if kind in _ABOUT_TRIPS:
            event["trip_id"] = chance.choices(range(1, TRIPS + 1), cum_weights=_ZIPF)[0]
            event["source"] = chance.choice(_SOURCES)
            event["position"] = chance.randint(0, 29)
        return event

    def _metadata(self, kind: str) -> dict[str, Any]:
        if kind == "trip_dwell":
            return {"duration_seconds": round(self._chance.uniform(1, 90), 2), "visible": True, "zoom": "detail-page"}
        return {"layout": "grid-3", "locale": "en-GB", "variant": self._chance.choice("ab"), "depth": 3}

    def _id(self) -> UUID:
        return new_id(now()) if self._ordered else uuid4()


def posts(
    requests: int,
    size: int,
    *,
    seed: int = 1,
    ordered_ids: bool = False,
    bare: bool = False,
    hour: int | None = None,
) -> Iterator[Post]:
    """`requests` batches of `size` events, each of one visitor; with `bare` one event without the envelope.

    All of them happened in the last hour, or in the hour that began at the millisecond `hour`.
    """
    chance = random.Random(seed)
    active = [Visitor(chance, ordered_ids=ordered_ids) for _ in range(_ACTIVE)]
    length = _GAP_MS * size
    goes_on = 1 - min(size / EVENTS_A_SESSION, 1)
    encode = msgspec.json.Encoder().encode
    for request in range(requests):
        place = chance.randrange(_ACTIVE)
        visitor = active[place]
        sent_at = now() // 1000
        begins = sent_at - _HOUR_MS if hour is None else hour
        at = begins + length + (_HOUR_MS - length) * (request + 1) // requests
        events = [visitor.event(at - _GAP_MS * (size - number)) for number in range(size)]
        body = encode(events[0]) if bare else encode({"events": events, "sent_at": sent_at})
        yield Post(body, size, visitor.user_agent)
        if chance.random() >= goes_on:
            active[place] = Visitor(chance, ordered_ids=ordered_ids)
