"""What SDKs that the suite does not run were seen to send, or say in their source that they send. In: a site's key and
a number. Out: requests, byte for byte in form; times are now, so that no window refuses them.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

ORIGIN = {"origin": "https://trips.example", "referer": "https://trips.example/"}
TEXT = {"content-type": "text/plain;charset=UTF-8"}
JSON = {"content-type": "application/json"}
PAGE = {"path": "/japan", "referrer": "https://search.example/", "search": "?x=1", "title": "Japan"}
PAGE |= {"url": "https://trips.example/japan?x=1"}


class Request(NamedTuple):
    """`event_type` is what its one event is called in the end."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    event_type: str = "Trip Viewed"


def basic(key: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def at(seconds: float = 0) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def call(message_id: str, **more: Any) -> dict[str, Any]:
    """A Segment call, as analytics-next makes it."""
    library = {"name": "analytics.js", "version": "next-1.84.3"}
    return {
        "timestamp": at(1), "integrations": {}, "type": "track", "event": "Trip Viewed",
        "properties": {"trip_id": 7, "price": "12.50"}, "context": {"page": PAGE, "library": library},
        "anonymousId": "0f6e2a3c-5d6f-4b7a-8c9d-0e1f2a3b4c5d", "userId": None, "messageId": message_id,
    } | more  # fmt: skip


def capture(number: int, **more: Any) -> dict[str, Any]:
    """A PostHog event, as posthog-js makes it."""
    properties = {"distinct_id": "0192-abc", "$device_id": "0192-abc", "$current_url": PAGE["url"], "$lib": "web"}
    uuid = str(UUID(int=number << 80 | 7 << 76 | 8 << 60 | 5))
    return {"uuid": uuid, "event": "Trip Viewed", "properties": properties, "timestamp": at(1)} | more


def dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


Make = Callable[[str, int], Request]


def next_bare(key: str, n: int) -> Request:
    body = call(f"ajs-next-1795230000000-{n}", writeKey=key, sentAt=at())
    return Request("/v1/t", ORIGIN | TEXT | basic(key), dump(body))


def next_page(key: str, n: int) -> Request:
    body = call(f"ajs-next-1795230000001-{n}", type="page", writeKey=key, sentAt=at(), properties=PAGE)
    del body["event"]
    return Request("/v1/p", ORIGIN | TEXT | basic(key), dump(body), "page_view")


def next_batch(key: str, n: int) -> Request:
    body = {"writeKey": key, "batch": [call(f"ajs-next-2-{n}")], "sentAt": at()}
    return Request("/v1/b", ORIGIN | TEXT | {"x-retry-count": "1"}, dump(body))


def rudder_beacon(key: str, n: int) -> Request:
    body = {"batch": [call(f"rudder-{n}", originalTimestamp=at(2), channel="web")], "sentAt": at()}
    return Request(f"/beacon/v1/batch?writeKey={quote(key)}", ORIGIN | TEXT, dump(body))


def rudder_xhr(key: str, n: int) -> Request:
    body = call(f"rudder-xhr-{n}", originalTimestamp=at(2), sentAt=at(), channel="web")
    more = {"content-type": "application/json;charset=UTF-8", "anonymousid": "MGY2ZTJhM2M=", "sentat": at()}
    return Request("/v1/track", ORIGIN | basic(key) | more, dump(body))


def jitsu(key: str, n: int) -> Request:
    body = call(f"1f3k9x{n}", writeKey=f"{key[:4]}:***", sentAt=at(), requestIp="203.0.113.9")
    return Request("/api/s/track", ORIGIN | JSON | {"x-write-key": key}, dump(body))


def old_python(key: str, n: int) -> Request:
    body = {
        "batch": [call(f"py-{n}", userId="user-1", anonymousId=None, timestamp=at()[:-1] + "+00:00")],
        "sentAt": at(),
    }
    agent = {"user-agent": "analytics-python/1.4.post1"}
    return Request("/v1/batch", JSON | basic(key) | agent, dump(body))


def go(key: str, n: int) -> Request:
    context = {"library": {"name": "analytics-go", "version": "3.0.0"}}
    bare = {name: value for name, value in call(f"go-{n}").items() if name not in ("context", "integrations")}
    body = {"messageId": f"batch-{n}", "sentAt": at(), "batch": [bare], "context": context}
    return Request("/v1/batch", JSON | basic(key), dump(body))


def java(key: str, n: int) -> Request:
    body = {"batch": [call(f"java-{n}", userId="u", anonymousId=None)], "sentAt": at(), "context": {}, "sequence": 1}
    encoded = {"content-encoding": "gzip"}
    return Request("/v1/import", JSON | basic(key) | encoded, gzip.compress(dump(body)))


def posthog_gzip(key: str, n: int) -> Request:
    body = {"api_key": key, "batch": [capture(n)], "sent_at": at()}
    return Request(
        "/e/?ip=0&_=1795230000000&ver=1.447.12&compression=gzip-js", ORIGIN | TEXT, gzip.compress(dump(body))
    )


def posthog_unload(key: str, n: int) -> Request:
    body = capture(1 << 20 | n, properties=capture(n)["properties"] | {"token": key})
    form = b"data=" + quote(base64.b64encode(dump([body])).decode(), safe="").encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return Request("/e/?compression=base64&beacon=1", ORIGIN | headers, form)


def posthog_page(key: str, n: int) -> Request:
    body = capture(2 << 20 | n, event="$pageview", api_key=key)
    return Request("/i/v0/e/", ORIGIN | TEXT, dump(body), "page_view")


def posthog_capture(key: str, n: int) -> Request:
    body = capture(3 << 20 | n, api_key=key, distinct_id="user-1", properties={"trip_id": 7})
    return Request("/capture/", JSON | {"user-agent": "curl/8.0"}, dump(body))


def posthog_mobile(key: str, n: int) -> Request:
    body = {"api_key": key, "batch": [capture(4 << 20 | n, distinct_id="user-1")], "sent_at": at()}
    agent = {"user-agent": "posthog-ios/3.0.0", "content-encoding": "gzip"}
    return Request("/batch", JSON | agent, gzip.compress(dump(body)))


def posthog_newer(key: str, n: int) -> Request:
    body = {"batch": [capture(5 << 20 | n, distinct_id="user-1")]}
    told = {"authorization": f"Bearer {key}", "posthog-request-timestamp": at()}
    return Request("/i/v1/analytics/events", JSON | told, dump(body))


SEEN: tuple[Make, ...] = (
    next_bare, next_page, next_batch, rudder_beacon, rudder_xhr, jitsu, old_python, go, java,
    posthog_gzip, posthog_unload, posthog_page, posthog_capture, posthog_mobile, posthog_newer,
)  # fmt: skip
