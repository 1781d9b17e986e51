"""The formats that are measured: where they are posted, what is answered, how a visitor's events look in them.

In: events as bench/traffic.py makes them, in our own words. Out: values to encode as JSON, each with what an official
SDK of that format sends along, so that a body is as long as theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Event = dict[str, Any]
_ABOUT = ("trip_id", "source", "position", "score", "recommendation_request_id")


class Wire(NamedTuple):
    """`render` gets the events of one request, and the millisecond at which it is sent."""

    path: str
    size: int
    status: int
    render: Callable[[list[Event], int], Any]


def time(at: int) -> str:
    """The millisecond as ISO 8601."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def batch(events: list[Event], sent_at: int) -> Event:
    """Our own format."""
    return {"events": events, "sent_at": sent_at}


def bare(events: list[Event], _: int) -> Event:
    """Our own format, one event without the envelope."""
    return events[0]


def segment(events: list[Event], sent_at: int) -> Event:
    """As @segment/analytics-node sends it."""
    return {"batch": [_call(event) for event in events], "writeKey": "", "sentAt": time(sent_at)}


def posthog(events: list[Event], sent_at: int) -> Event:
    """As posthog-node sends it."""
    return {"api_key": "", "batch": [_capture(event) for event in events], "sent_at": time(sent_at)}


def pages(events: list[Event], _: int) -> Event:
    """Page analytics."""
    return {"events": [_part(event) for event in events]}


def single(events: list[Event], _: int) -> Event:
    """The single-event API."""
    (event,) = events
    return {
        "site_id": "default",
        "event_type": event["event_type"],
        "path": urlsplit(event["page_url"]).path,
        "user_id": event["anonymous_id"],
        "timestamp": time(event["client_timestamp"]),
        "metadata": event.get("metadata", {}),
    }


def _call(event: Event) -> Event:
    page = {"url": event["page_url"], "path": urlsplit(event["page_url"]).path, "referrer": event.get("referrer", "")}
    return {
        "anonymousId": event["anonymous_id"],
        "event": event["event_type"],
        "properties": _properties(event),
        "context": {"page": page, "library": {"name": "@segment/analytics-node", "version": "3.1.0"}},
        "integrations": {},
        "type": "track",
        "timestamp": time(event["client_timestamp"]),
        "messageId": f"node-next-{event['client_timestamp']}-{event['event_id']}",
        "_metadata": {"nodeVersion": "20.20.2", "jsRuntime": "node"},
    }


def _capture(event: Event) -> Event:
    own = {
        "$current_url": event["page_url"],
        "$referrer": event.get("referrer", "$direct"),
        "$device_type": event["device_type"].title(),
        "$session_id": event["session_id"],
        "$lib": "posthog-node",
        "$lib_version": "5.70.0",
        "$geoip_disable": True,
    }
    return {
        "distinct_id": event["anonymous_id"],
        "event": event["event_type"],
        "properties": _properties(event) | own,
        "type": "capture",
        "library": "posthog-node",
        "library_version": "5.70.0",
        "timestamp": time(event["client_timestamp"]),
        "uuid": event["event_id"],
    }


def _part(event: Event) -> Event:
    is_click = event["event_type"] == "click_trip"
    data = {
        "session_id": event["session_id"],
        "user_code": "guide-17",
        "share_code": "spring",
        "page_type": "trip",
        "page_url": event["page_url"],
        "timestamp": time(event["client_timestamp"]),
        "event_id": event["event_id"],
    }
    clicked = {"click_target": "whatsapp", "click_category": "contact"} if is_click else {}
    return {"type": "click" if is_click else "page_view", "data": data | clicked}


def _properties(event: Event) -> Event:
    about: Event = event.get("metadata", {})
    return about | {name: event[name] for name in _ABOUT if name in event}


NATIVE = {1: Wire("/api/events", 1, 202, bare), 10: Wire("/api/events/batch", 10, 202, batch)}
SEGMENT = Wire("/v1/batch", 10, 200, segment)
POSTHOG = Wire("/batch/", 10, 200, posthog)
PAGES = Wire("/api/analytics/ingest", 10, 202, pages)
SINGLE = Wire("/ingest-event", 1, 202, single)
