"""Drives posthog, the Python SDK, as it comes. In: URL, key, count, seconds. Out: JSON (pace.py)."""

from __future__ import annotations

from pace import Failures, asked, drive
from posthog import Posthog

what, failures = asked(), Failures()
client = Posthog(what.key, host=what.url, on_error=failures)


def send(number: int) -> None:
    client.capture(
        "trip viewed",
        distinct_id=f"visitor-{number % 50}",
        properties={"number": number, "trip_id": 1 + number % 20},
    )


def flush() -> None:
    client.flush(timeout_seconds=None)
    client.shutdown()


drive(what, send, flush, failures)
