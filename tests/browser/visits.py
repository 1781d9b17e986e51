"""A season of a trip shop, for pages to show something. In: a running Tripstream with demo trips, and its database.
Out: visits of some weeks up to now, sent through the public routes, drained and rolled up; the same for the same seed.

Only the moments of searches are put back by hand: a request for trips happens when it is made, and no client may say
otherwise.

By hand: `python -m tests.browser.visits http://127.0.0.1:8000 ADMIN_KEY "$(tripstream dsn)"`
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import psycopg

BATCH_MAX = 100
_WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
_MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1"
    " Safari/605.1.15"
)
_IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1"
    " Mobile/15E148 Safari/604.1"
)
_ANDROID = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile"
    " Safari/537.36"
)
_FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
DEVICES = ((_IPHONE, "mobile", "390x844"), (_ANDROID, "mobile", "412x915"), (_WINDOWS, "desktop", "1920x1080"),
           (_MAC, "desktop", "1440x900"), (_FIREFOX, "tablet", "820x1180"))  # fmt: skip
CAME_FROM = (
    ("https://www.google.com/", ""),
    ("", ""),
    ("https://www.facebook.com/", "?utm_source=facebook&utm_medium=social&utm_campaign=winter-sun"),
    ("", "?utm_source=newsletter&utm_medium=email&utm_campaign=november"),
    ("https://www.instagram.com/", "?utm_source=instagram&utm_medium=social&utm_campaign=winter-sun"),
    ("https://blog.trails.example/asia", ""),
)
WANTED = ("IT", "JP", "GR", "TH", "IS", "ES", "IN", "PE", "KE", "VN", "PT", "NO")
COUNTRIES = ("IL", "US", "GB", "DE", "FR")
PAGES = (("/", "home"), ("/about", "about"), ("/guides", "guides"), ("/blog/packing-light", "article"))
GUIDES = (("ruth", "ruth-spring"), ("ruth", "ruth-friends"), ("noa", "noa-story"), ("daniel", "daniel-mail"))


class Visitor(NamedTuple):
    """Who comes, perhaps again."""

    anonymous_id: UUID
    device: tuple[str, str, str]
    country: str
    came_from: tuple[str, str]
    guide: tuple[str, str] | None


class Sent(NamedTuple):
    """What was sent."""

    visits: int
    events: int
    searches: int


class Season:
    """One run of the generator."""

    def __init__(self, client: httpx.Client, seed: int) -> None:
        self.client = client
        self.chance = random.Random(seed)
        self.kinds = [kind["id"] for kind in self.client.get("/api/trip-types").json()]
        self.themes = [tag["id"] for tag in self.client.get("/api/tags").json()]
        self.visitors: list[Visitor] = []
        self.searched: list[tuple[str, datetime]] = []
        self.visits = self.events = 0

    def uuid(self) -> UUID:
        return UUID(int=self.chance.getrandbits(128), version=4)

    def visitor(self) -> Visitor:
        """Somebody new, or, in two of five cases, one of those who came lately."""
        if self.visitors and self.chance.random() < 0.4:
            return self.chance.choice(self.visitors[-150:])
        device = self.chance.choices(DEVICES, (30, 22, 28, 14, 6))[0]
        country = self.chance.choices(COUNTRIES, (60, 14, 10, 9, 7))[0]
        came_from = self.chance.choices(CAME_FROM, (34, 24, 14, 12, 10, 6))[0]
        guide = self.chance.choice(GUIDES) if self.chance.random() < 0.2 else None
        self.visitors.append(Visitor(self.uuid(), device, country, came_from, guide))
        return self.visitors[-1]

    def visit(self, at: datetime) -> None:
        """One session, from its first page to wherever it ends."""
        who, session = self.visitor(), self.uuid()
        agent, device, screen = who.device
        headers = {"user-agent": agent, "x-country": who.country}
        ids: dict[str, Any] = {"session_id": str(session), "anonymous_id": str(who.anonymous_id)}
        shared = ids | {"device_type": device, "screen": screen}
        if who.guide:
            shared |= {"owner_code": who.guide[0], "share_code": who.guide[1]}
        events = []
        for seconds, event in self._steps(who, ids, at, headers):
            moment = (at + timedelta(seconds=seconds)).isoformat()
            events.append({"event_id": str(self.uuid()), "client_timestamp": moment} | shared | event)
        for first in range(0, len(events), BATCH_MAX):
            batch = {"events": events[first : first + BATCH_MAX]}
            answer = self.client.post("/api/events/batch", json=batch, headers=headers).raise_for_status().json()
            assert not answer["rejected"], answer
        self.visits += 1
        self.events += len(events)

    def _steps(
        self, who: Visitor, ids: dict[str, Any], at: datetime, headers: dict[str, str]
    ) -> Iterator[tuple[float, dict[str, Any]]]:
        """Seconds since the beginning, and the event."""
        path, kind = self.chance.choices(PAGES, (70, 8, 10, 12))[0]
        referrer, query = who.came_from
        home = {"page_url": f"https://trips.example{path}{query}", "page_type": kind}
        yield 0, {"event_type": "page_view", "source": "homepage"} | home | ({"referrer": referrer} if referrer else {})
        if self.chance.random() < 0.28:
            return
        for depth in (25, 50, 75, 100)[: self.chance.randint(0, 4)]:
            yield depth / 5, {"event_type": "scroll_depth", "metadata": {"percent": depth}} | home
        if self.chance.random() < 0.35:
            target, category = self.chance.choice(
                (("search", "button"), ("menu", "navigation"), ("language", "button"))
            )
            yield 22, {"event_type": "click", "click_target": target, "click_category": category} | home
        if self.chance.random() < 0.8:
            yield from self._search(ids, at, headers)

    def _search(
        self, ids: dict[str, Any], at: datetime, headers: dict[str, str]
    ) -> Iterator[tuple[float, dict[str, Any]]]:
        wanted = self._wanted()
        asked = wanted | {"sessionId": ids["session_id"], "anonymousId": ids["anonymous_id"]}
        found = self.client.post("/api/v2/recommendations", json=asked, headers=headers).raise_for_status().json()
        self.searched.append((found["requestId"], at + timedelta(seconds=31)))
        of = {"recommendation_request_id": found["requestId"]}
        page = {"page_url": "https://trips.example/search/results", "page_type": "results"}
        yield 30, {"event_type": "search_submit", "metadata": {"preferences": wanted}} | page
        yield 31, {"event_type": "page_view"} | page
        yield 32, {"event_type": "results_view", "metadata": {"results": len(found["results"])}} | page | of
        seen = found["results"][: self.chance.randint(2, 10)]
        for trip in seen:
            place = self._place(trip) | of | page
            yield 33 + 2 * trip["position"], {"event_type": "impression"} | place
        for trip in seen:
            if self.chance.random() < 0.3 / trip["position"] ** 0.6:
                yield from self._look(trip, self._place(trip) | of, 60 + 120 * trip["position"])

    def _place(self, trip: dict[str, Any]) -> dict[str, Any]:
        told = {"trip_id": trip["occurrenceId"], "position": trip["position"], "score": trip["matchScore"]}
        return told | {"source": "relaxed_results" if trip["isRelaxed"] else "search_results"}

    def _look(self, trip: dict[str, Any], of: dict[str, Any], at: float) -> Iterator[tuple[float, dict[str, Any]]]:
        """A trip's own page, and what comes of it."""
        page = {"page_url": f"https://trips.example/trip/{trip['occurrenceId']}", "page_type": "trip"}
        yield at, {"event_type": "click_trip"} | of
        yield at + 1, {"event_type": "page_view", "trip_id": trip["occurrenceId"]} | page
        long = round(self.chance.lognormvariate(3.3, 0.8), 1)
        yield at + long, {"event_type": "trip_dwell", "metadata": {"duration_seconds": long}} | of | page
        for kind, share, later in (("save_trip", 0.22, 15), ("contact_whatsapp", 0.13, 40), ("contact_phone", 0.05, 45),
                                   ("booking_start", 0.09, 70)):  # fmt: skip
            if self.chance.random() < share:
                yield at + later, {"event_type": kind} | of | page
                if kind == "booking_start" and self.chance.random() < 0.4:
                    yield at + 110, {"event_type": "booking_complete"} | of | page

    def _wanted(self) -> dict[str, Any]:
        """What a visitor asks for: mostly something wide, sometimes what no trip is."""
        chance, wanted = self.chance, dict[str, Any]()
        if chance.random() < 0.7:
            wanted["selectedContinents"] = chance.choices(("EU", "AS", "AF", "SA", "NA"), (40, 30, 14, 10, 6))
        if chance.random() < 0.45:
            wanted["selectedCountries"] = chance.choices(WANTED, range(len(WANTED), 0, -1), k=2)
        if chance.random() < 0.55:
            wanted["preferredTypeId"] = chance.choices(self.kinds, range(len(self.kinds), 0, -1))[0]
        if chance.random() < 0.6:
            wanted["preferredThemeIds"] = chance.sample(self.themes, chance.randint(1, 3))
        if chance.random() < 0.4:
            wanted |= {"minDuration": chance.choice((3, 7, 10)), "maxDuration": chance.choice((12, 14, 21))}
        if chance.random() < 0.4:
            wanted["budget"] = chance.choice((600, 1500, 2500, 4000))
        if chance.random() < 0.12:
            wanted |= {"year": chance.choice((2027, 2027, 2031)), "month": chance.randint(1, 12), "difficulty": 3}
        return wanted

    def put_back(self, database_url: str) -> None:
        """What was searched was searched during its visit."""
        with psycopg.connect(database_url) as connection:
            months = sorted({at.date().replace(day=1) for _, at in self.searched})
            connection.cursor().executemany("SELECT ensure_request_month(%s)", [(month,) for month in months])
            moved = """UPDATE recommendation_requests AS r SET requested_at = m.at
                FROM unnest(%s::uuid[], %s::timestamptz[]) AS m (id, at) WHERE r.request_id = m.id"""
            ids, moments = zip(*self.searched, strict=True)
            assert connection.execute(moved, (list(ids), list(moments))).rowcount == len(ids)
            stale = """INSERT INTO dirty_recommendation_days (site_id, date) SELECT 'default', day::date
                FROM generate_series(%s::timestamptz, now() + interval '1 day', '1 day') AS day"""
            connection.execute(stale, (min(moments) - timedelta(days=1),))


def visit(url: str, admin_key: str, database_url: str, *, days: int = 60, a_day: int = 12, seed: int = 7) -> Sent:
    """Visits of so many days, ever more of them, fewest on Saturdays; then what they add up to."""
    with httpx.Client(base_url=url, timeout=60) as client:
        season = Season(client, seed)
        for at in _moments(season.chance, days, a_day):
            season.visit(at)
        settle(season, admin_key)
        season.put_back(database_url)
        settle(season, admin_key)
    return Sent(season.visits, season.events, len(season.searched))


def _moments(chance: random.Random, days: int, a_day: int) -> Iterator[datetime]:
    """When each visit begins."""
    now = datetime.now(UTC)
    for day in range(days - 1, -1, -1):
        date = (now - timedelta(days=day)).replace(hour=0, minute=0, second=0, microsecond=0)
        many = a_day * (1.3 - 0.6 * day / days) * (0.6 if date.weekday() == 5 else 1) * chance.uniform(0.8, 1.2)
        for _ in range(round(many)):
            at = date + timedelta(hours=min(23.4, max(0.1, chance.gauss(14, 4.5))))
            yield at if at < now else now - timedelta(minutes=chance.randint(25, 55))


def settle(season: Season, admin_key: str) -> None:
    """Drain what was sent, and roll it up."""
    headers = {"authorization": f"Bearer {admin_key}"}
    season.client.post("/process-events", headers=headers, timeout=120).raise_for_status()


if __name__ == "__main__":
    print(visit(*sys.argv[1:4]))  # noqa: T201 it is asked by hand
