"""Drives segment-analytics-python as it comes. In: URL, key, count, seconds. Out: JSON (pace.py)."""

from __future__ import annotations

from pace import Failures, asked, drive
from segment.analytics.client import Client

what, failures = asked(), Failures()
client = Client(what.key, host=what.url, on_error=failures)


def send(number: int) -> None:
    client.track(
        anonymous_id=f"visitor-{number % 50}",
        event="Trip Viewed",
        properties={"number": number, "trip_id": 1 + number % 20},
    )


def flush() -> None:
    client.flush()
    client.join()


drive(what, send, flush, failures)
