"""What visitors did, for tests of figures: events through the real drain and rollup."""

from __future__ import annotations

from typing import Any

from tests.make import DAY, HOUR, SECOND, T0, canonical, uid
from tests.workers.pipeline import ROBOT, Pipeline

PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0"
    " Mobile/15E148 Safari/604.1"
)


def visit_twice(pipe: Pipeline) -> None:
    """Two visitors on the first day of 2026: one looks around and writes, one bounces. The first comes back on the
    second day. And a robot."""
    pages: dict[str, Any] = {"owner_code": "ann", "share_code": "s1", "page_type": "profile"}
    campaign = '{"utm_source": "mail", "utm_campaign": "spring"}'
    first = {"session_id": uid(2, 1), "anonymous_id": uid(3, 1)}
    pipe.send(
        canonical(1, path="/a", utm=campaign, referrer="https://www.search.example/?q=1", **first, **pages),
        canonical(2, path="/b", event_type="click", click_target="book", click_category="button", **first, **pages),
        canonical(3, path="/b", event_type="impression", trip_id=7, **first),
        canonical(4, path="/b", event_type="impression", trip_id=8, **first),
        canonical(5, path="/b", event_type="click_trip", trip_id=7, **first),
        canonical(6, event_type="save_trip", trip_id=7, **first),
        canonical(7, event_type="trip_dwell", trip_id=7, metadata='{"duration_seconds": 12.5}', **first),
        canonical(8, event_type="contact_whatsapp", trip_id=7, **first),
        canonical(60, path="/b", **first),
    )
    pipe.send(canonical(70, path="/a", session_id=uid(2, 2), anonymous_id=uid(3, 2)), user_agent=PHONE)
    later = {"session_id": uid(2, 3), "anonymous_id": uid(3, 1)}
    pipe.send(
        canonical(80, path="/a", occurred_at=T0 + DAY + 3 * HOUR, **later, **pages | {"share_code": "s2"}),
        canonical(81, path="/=1+1", occurred_at=T0 + DAY + 3 * HOUR + 10 * SECOND, **later),
        received_at=T0 + 2 * DAY,
    )
    pipe.send(canonical(90, path="/robots"), user_agent=ROBOT)
    pipe.roll_up()
