"""Posts recorded impressions and clicks over HTTP, as a browser would have. In: an Open Bandit file (CSV, gzipped or
not). Out: batches sent, and what the answers said.

Each row is an impression, each clicked row also a click_trip; the item plus one is the trip (ids begin at 1), the
visitor a UUIDv5 of the four user features, since the data names no user. Event ids follow from the rows, so a file
replayed twice, or after a crash half-way, is still counted once.
"""

from __future__ import annotations

import csv
import gzip
import http.client
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from schema.errors import Busy, ConfigError, TripstreamError
from schema.event import derived_id

_COLUMNS = ("timestamp", "item_id", "position", "click", "propensity_score")
_FEATURES = tuple(f"user_feature_{i}" for i in range(4))
_LAST_ROW_SECONDS_AGO = 3600
_SESSION_SECONDS = 1800
_TRIES_MAX = 60


class Row(NamedTuple):
    """One line of the file. `at` in seconds since 1970, as recorded."""

    at: float
    item_id: int
    position: int
    click: bool
    propensity: float
    visitor: UUID
    row_id: UUID


def read(path: Path) -> list[Row]:
    """The file's rows in their order. Raises ConfigError naming the line that cannot be read."""
    with _open(path) as lines:
        reader = csv.DictReader(lines)
        if lacking := {*_COLUMNS, *_FEATURES} - set(reader.fieldnames or ()):
            raise ConfigError(f"{path} lacks the columns {', '.join(sorted(lacking))}")
        rows = []
        for number, line in enumerate(reader, 2):
            try:
                rows.append(_row(number, line))
            except (ValueError, TypeError) as error:
                raise ConfigError(f"{path}, line {number}: {error}") from None
    return rows


def batches(rows: list[Row], now: float, size: int) -> Iterator[tuple[float, list[dict[str, Any]]]]:
    """Batches of at most `size` events in the rows' order, with the recorded time of their first.

    All times move by one amount, so that the last row lies an hour before `now`.
    """
    shift = now - _LAST_ROW_SECONDS_AGO - max(row.at for row in rows)
    sessions = _sessions(rows)
    events = [
        (row.at, _event(row, event_type, row.at + shift, session))
        for row, session in zip(rows, sessions, strict=True)
        for event_type in (("impression", "click_trip") if row.click else ("impression",))
    ]
    for _, group in groupby(enumerate(events), key=lambda pair: pair[0] // size):
        found = [event for _, event in group]
        yield found[0][0], [event for _, event in found]


def send(
    url: str,
    sent: Iterator[tuple[float, list[dict[str, Any]]]],
    speed: float,
    write_key: str | None,
    tell: Callable[[int], None],
) -> Counter[str]:
    """Post the batches one after another; at `speed` times the recorded pace, or as fast as it goes for 0.

    Returns accepted, rejected and busy counts. Raises Busy after a minute of refusals, TripstreamError for a refusal
    that would not change.
    """
    counts: Counter[str] = Counter()
    began, first = time.monotonic(), None
    with closing(_Client(url)) as client:
        for at, events in sent:
            first = at if first is None else first
            if speed:
                time.sleep(max(0.0, (at - first) / speed - (time.monotonic() - began)))
            body = {"events": events} | ({"write_key": write_key} if write_key else {})
            counts += client.post(msgspec.json.encode(body))
            tell(len(events))
    return counts


class _Client:
    """One keep-alive connection that sends a batch again, with the same ids, until it was answered."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url} is no address like http://127.0.0.1:8000")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=10)
        self._path = parts.path.rstrip("/") + "/api/events/batch"

    def close(self) -> None:
        self._connection.close()

    def post(self, body: bytes) -> Counter[str]:
        counts: Counter[str] = Counter()
        for _ in range(_TRIES_MAX):
            status, retry_after, answer = self._ask(body)
            if status == 202:
                counts.update(accepted=answer["accepted"], rejected=len(answer["rejected"]))
                return counts
            if status not in (0, 429, 503):
                raise TripstreamError(f"the server refused a batch: {status} {answer.get('message', '')}")
            counts["busy"] += 1
            time.sleep(retry_after)
        raise Busy("the server took no batch for a minute; run the same command again later")

    def _ask(self, body: bytes) -> tuple[int, float, dict[str, Any]]:
        headers = {"Content-Type": "application/json", "User-Agent": "tripstream-replay"}
        try:
            self._connection.request("POST", self._path, body, headers)
            response = self._connection.getresponse()
            wait = float(response.headers.get("Retry-After") or 1)
            return response.status, wait, msgspec.json.decode(response.read(), type=dict[str, Any])
        except (OSError, http.client.HTTPException, msgspec.DecodeError):
            self._connection.close()
            return 0, 1.0, {}


def _open(path: Path) -> TextIO:
    try:
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding="utf-8", newline="")
        return path.open(encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _row(number: int, line: dict[str, str]) -> Row:
    return Row(
        at=datetime.fromisoformat(line["timestamp"]).timestamp(),
        item_id=int(line["item_id"]),
        position=int(line["position"]),
        click=line["click"] == "1",
        propensity=float(line["propensity_score"]),
        visitor=derived_id("replay", "visitor", *(line[feature] for feature in _FEATURES)),
        row_id=derived_id("replay", "row", str(number), *(line[name] for name in (*_COLUMNS, *_FEATURES))),
    )


def _sessions(rows: list[Row]) -> list[UUID]:
    """Each row's session: a visitor's rows until a pause of 30 minutes, named after the first of them."""
    current: dict[UUID, tuple[float, UUID]] = {}
    found = []
    for row in rows:
        last, session = current.get(row.visitor, (float("-inf"), row.row_id))
        if row.at - last > _SESSION_SECONDS:
            session = derived_id("replay", "session", row.row_id.bytes)
        current[row.visitor] = (row.at, session)
        found.append(session)
    return found


def _event(row: Row, event_type: str, at: float, session: UUID) -> dict[str, Any]:
    return {
        "event_type": event_type,
        "event_id": derived_id("replay", event_type, row.row_id.bytes),
        "session_id": session,
        "anonymous_id": row.visitor,
        "client_timestamp": datetime.fromtimestamp(at).astimezone().isoformat(),
        "trip_id": row.item_id + 1,
        "position": row.position,
        "source": "search_results",
        "metadata": {"propensity": row.propensity},
    }
