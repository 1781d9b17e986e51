"""Traffic by the dozen, the same for the same seed: visitors with sessions, trips, dwells, bots, events at midnight."""

from __future__ import annotations

import random
from collections.abc import Sequence

from schema.event import Event
from tests.make import DAY, MINUTE, T0, canonical, uid
from tests.workers.pipeline import ROBOT

KINDS = (
    *("page_view", "impression", "impression", "click_trip", "save_trip", "trip_dwell"),
    *("search_submit", "user.login", "booking_start"),
)


def traffic(seed: int, count: int, *, around: Sequence[int] = (T0,), first: int = 0) -> list[Event]:
    """`count` events within two days of the moments `around`, every fifth of them at one exactly, or just before."""
    chance, more = random.Random(seed), random.Random(f"{seed}, more")
    events = []
    for n in range(first, first + count):
        visitor = chance.randrange(12)
        away = chance.choice([0, -1, 1]) if n % 5 == 0 else chance.randrange(-2 * DAY, 2 * DAY)
        events.append(
            canonical(
                n,
                event_type=chance.choice(KINDS),
                occurred_at=chance.choice(around) + away,
                anonymous_id=uid(3, visitor) if visitor else None,
                claimed_user="ann" if visitor < 3 else None,
                session_id=uid(2, visitor * 10 + chance.randrange(3)),
                trip_id=chance.choice([None, 1, 2, 2**40]),
                metadata=f'{{"duration_seconds": {chance.randrange(100_000) / 1000}}}',
                device_type=chance.choice([None, "phone", "desktop"]),
                referrer=chance.choice([None, "https://a.example", "https://b.example"]),
                user_agent=ROBOT if chance.random() < 0.05 else None,
                page_url=(page := more.choice([None, "https://www.shop.example/a?x=1", "http://shop.example/b"])),
                path=page and page.rpartition("/")[2][0],
                source=more.choice([None, "email", "homepage"]),
                screen=more.choice([None, "390x844"]),
                owner_code=more.choice([None, "ann", "bob"]),
                share_code=more.choice([None, "s1", "s2"]),
                click_target=more.choice([None, "buy", "more"]),
                click_category=more.choice([None, "button"]),
                page_type=more.choice([None, "profile", "trip"]),
                utm=more.choice([None, '{"utm_source": "news", "utm_medium": "email"}', '{"utm_source": "ads"}']),
            )
        )
    return events


def counted(events: Sequence[Event]) -> list[Event]:
    """Those that count: bots do not."""
    return [event for event in events if event.user_agent != ROBOT]


def minutes(*at: float) -> list[int]:
    """Moments so many minutes after T0."""
    return [T0 + round(minute * MINUTE) for minute in at]
