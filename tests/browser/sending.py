"""Events that tests of pages want: good ones, and such as Postgres refuses. In: a running stack. Out: events that are
on their way, or dead.
"""

from __future__ import annotations

from uuid import UUID, uuid4

import httpx

from schema import db, stream
from schema.event import new_id, now
from schema.settings import Settings
from tests.browser.conftest import settled
from tests.make import batch, canonical
from tests.tripstream.starting import Up

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
PLANTED = "<script>alert(1)</script>"


def send(shop: Up, **fields: object) -> None:
    """One event of a visitor of its own."""
    said = {"event_type": "page_view", "session_id": str(uuid4()), "anonymous_id": str(uuid4())} | fields
    sent = httpx.post(f"{shop.url}/api/events/batch", json={"events": [said]}, headers={"user-agent": AGENT})
    assert sent.json()["accepted"] == 1, sent.text


def kill(known: Settings, shop: Up, event_type: str, number: int = 1) -> list[int]:
    """So many events that Postgres refuses, as ingest of another version may let them in. Returns their letters."""
    events = [
        canonical(n, event_id=uuid4(), event_type=event_type, trip_id=0, occurred_at=now(), path=f"/{PLANTED}",
                  page_url=f"https://trips.example/{PLANTED}", metadata=f'{{"title": "{PLANTED}"}}')
        for n in range(number)
    ]  # fmt: skip
    one = batch(*events, batch_id=new_id(now()), received_at=now())
    with stream.connect(known.streams_url) as redis:
        stream.append(redis, 0, one)
    settled(shop)
    return letters(known, one.batch_id)


def letters(known: Settings, batch_id: UUID) -> list[int]:
    with db.connect(known) as connection:
        query = "SELECT dead_letter_id FROM dead_letters WHERE batch_id = %s ORDER BY 1"
        return [found for (found,) in connection.execute(query, [batch_id])]
