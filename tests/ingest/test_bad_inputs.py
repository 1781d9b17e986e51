"""The bad inputs of notes/reliability.md (c), by their number there. In: one bad thing and its neighbours. Out: the
request refused (R), or the event refused and its neighbours stored (E), or all of it stored as it came (OK).

Numbers 54, 59 and part of 60 need a real connection: test_http.py.
"""

from __future__ import annotations

import gzip
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import make
from tests.ingest.serving import Server, Site, add_site, queued

MIB = 1 << 20


def _nested(depth: int) -> bytes:
    return b'{"events":[' + b"[" * depth + b"]" * depth + b"]}"


def _padded(size: int) -> bytes:
    """A valid batch of exactly `size` bytes."""
    return make.body(make.event(0)).ljust(size)


REFUSED: list[tuple[str, bytes, int, str]] = [
    ("1 empty", b"", 400, "not valid JSON"),
    ("2 null", b"null", 400, "send JSON like"),
    ("3 truncated", make.body()[:-7], 400, "truncated"),
    ("4 trailing comma", b'{"events":[],}', 400, "trailing comma"),
    ("5 byte order mark", b"\xef\xbb\xbf" + make.body(), 400, "byte 0"),
    ("6 invalid UTF-8", make.body().replace(b"page_view", b"page\xffview"), 400, "utf-8"),
    ("7 UTF-16", make.body().decode().encode("utf-16"), 400, "byte 0"),
    ("8 overlong UTF-8", make.body().replace(b"page_view", b"page\xc0\xafview"), 400, "utf-8"),
    ("9 NaN", b'{"events":[{"score":NaN}]}', 400, "invalid character"),
    ("10 Infinity", b'{"events":[{"score":-Infinity}]}', 400, "invalid"),
    ("11 1e400", b'{"events":[{"score":1e400}]}', 400, "out of range"),
    ("12 integer of 5000 digits", b'{"events":[{"score":%s}]}' % (b"9" * 5000), 400, "out of range"),
    ("15 depth 1025", _nested(1025), 400, "nests too deeply"),
    ("16 depth 100000", _nested(100_000), 400, "nests too deeply"),
    ("17 200000 keys", json.dumps({f"k{n}": 1 for n in range(200_000)}).encode(), 413, "at most 1048576"),
    ("18 1e200000", b'{"events":[{"x":1e200000}]}', 400, "out of range"),
    ("21 raw NUL in a text", make.body().replace(b"page_view", b"page\0view"), 400, "invalid character"),
    ("22 lone surrogate", make.body().replace(b"page_view", b"\\ud800"), 400, "not valid JSON"),
    ("23 lone surrogate in a key", make.body().replace(b"event_type", b"\\udc00"), 400, "surrogate"),
    ("53 a byte more than 1 MiB", _padded(MIB + 1), 413, "at most 1048576"),
    ("55 gzip bomb", gzip.compress(bytes(64 * MIB)), 413, "once decompressed"),
    ("56 truncated gzip", gzip.compress(make.body())[:-9], 400, "ends too early"),
    ("58 501 events", make.body(*(make.event(n) for n in range(501))), 413, "at most 100"),
]


@pytest.mark.parametrize(("content", "status", "says"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_body_that_is_no_batch_is_refused_whole_and_says_why(
    shared: Server, content: bytes, status: int, says: str
) -> None:
    answer = shared.post(content)
    assert answer.status_code == status
    assert answer.json().keys() == {"code", "message"}
    assert says in answer.json()["message"]
    assert queued(shared.settings) == 0


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "x" * 500])
def test_57_an_unknown_content_encoding_is_refused_and_says_which_are_known(shared: Server, encoding: str) -> None:
    answer = shared.post(make.body(), headers={"content-encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")
    assert "gzip" in answer.json()["message"]


# Number, what differs from a good event, the refusal's code, and what its message names.
BAD_EVENTS: list[tuple[str, Any, str, str]] = [
    ("13 2^64 as an id", {"trip_id": 2**64}, "invalid_field", "trip_id"),
    ("13 2^63 as an id", {"trip_id": 2**63}, "invalid_field", "trip_id"),
    ("19 U+0000 in a value", {"path": "a\0b"}, "nul_character", "U+0000"),
    ("19 U+0000 deep in metadata", {"metadata": {"a": [{"b": "\0"}]}}, "nul_character", "U+0000"),
    ("20 U+0000 in a key", {"metadata": {"a\0": 1}}, "nul_character", "U+0000"),
    ("20 U+0000 in an unknown field's name", {"a\0": 1}, "nul_character", "U+0000"),
    ("30 a text of 1 MB", {"path": "x" * 1_000_000}, "invalid_field", "path"),
    ("30 a metadata text of 1 MB", {"metadata": {"x": "x" * 1_000_000}}, "metadata_too_large", "32768"),
    ("32 empty id", {"event_id": ""}, "invalid_field", "event_id"),
    ("33 id of 4 KB", {"event_id": "a" * 4096}, "invalid_field", "event_id"),
    ("33 event type of 4 KB", {"event_type": "a" * 4096}, "invalid_field", "event_type"),
    ("37 text for a number", {"position": "3"}, "invalid_field", "position"),
    ("37 number for a text", {"path": 3}, "invalid_field", "path"),
    ("38 true for a number", {"position": True}, "invalid_field", "position"),
    ("39 position -5", {"position": -5}, "invalid_field", "position"),
    ("40 position 2^31", {"position": 2**31}, "invalid_field", "position"),
    ("41 a score of 401 digits", {"score": 10**400}, "invalid_field", "score"),
    ("a time of 401 digits", {"client_timestamp": 10**400}, "invalid_field", "client_timestamp"),
    ("41 a score that is no number", {"score": "NaN"}, "invalid_field", "score"),
    ("44 year 0", {"client_timestamp": "0000-01-01T00:00:00Z"}, "invalid_time", "ISO 8601"),
    ("45 year 1", {"client_timestamp": "0001-01-01T00:00:00Z"}, "too_old", "400 days"),
    ("46 year 9999", {"client_timestamp": "9999-12-31T23:59:59Z"}, "invalid_time", "future"),
    ("47 infinity", {"client_timestamp": "infinity"}, "invalid_time", "ISO 8601"),
    ("47 1e308", {"client_timestamp": 1e308}, "invalid_time", "ISO 8601"),
    ("48 year 294277", {"client_timestamp": "294277-01-09T04:00:54Z"}, "invalid_time", "ISO 8601"),
    ("50 an offset of 25 hours", {"client_timestamp": "2026-11-20T00:00:00+25:00"}, "invalid_time", "ISO 8601"),
    ("an offset that leaves year 1", {"client_timestamp": "0001-01-01T00:00:00+23:00"}, "too_old", "400 days"),
    ("an offset that leaves year 9999", {"client_timestamp": "9999-12-31T23:59:59-23:00"}, "invalid_time", "future"),
    ("true for a time", {"client_timestamp": True}, "invalid_field", "client_timestamp"),
    ("a dwell without its time", {"event_type": "trip_dwell"}, "invalid_field", "duration_seconds"),
    ("a dwell of -1 s", {"event_type": "trip_dwell", "metadata": {"duration_seconds": -1}}, "invalid_field", "from 0"),
    ("metadata 17 deep", {"metadata": json.loads('{"a":' * 17 + "1" + "}" * 17)}, "metadata_too_deep", "16"),
    ("metadata that is a list", {"metadata": []}, "invalid_field", "metadata"),
    ("no event type", {"event_type": ...}, "invalid_field", "event_type"),
    ("no visitor", {"anonymous_id": None}, "invalid_field", "anonymous_id"),
]


@pytest.mark.parametrize(("fault", "code", "names"), [c[1:] for c in BAD_EVENTS], ids=[c[0] for c in BAD_EVENTS])
def test_a_bad_event_is_refused_by_name_and_its_neighbours_are_stored(
    site: Site, fault: Any, code: str, names: str
) -> None:
    answer = site.post(make.event(1), make.event(0, **fault), make.event(2))
    assert answer["accepted"] == 2
    [refusal] = answer["rejected"]
    assert (refusal["index"], refusal["code"]) == (1, code)
    assert names in refusal["message"]
    assert len(refusal["message"]) < 300
    assert site.rows("event_id") == [(make.uid(1, 1),), (make.uid(1, 2),)]
    assert site.figures() == (2, 2, 0, 0)


def test_an_event_that_is_no_object_is_refused_and_its_neighbours_are_stored(site: Site) -> None:
    answer = site.post("text", 3, None, True, [], [make.event(5)], make.event(1))
    assert answer["accepted"] == 1
    assert [refusal["index"] for refusal in answer["rejected"]] == [0, 1, 2, 3, 4, 5]
    assert {refusal["message"] for refusal in answer["rejected"]} == {"An event must be a JSON object."}
    assert site.figures() == (1, 1, 0, 0)


TEXTS = {
    "24 what COPY escapes": "\\N \t \\. \\\\ \\b \x07",
    "25 right to left, U+FFFF, emoji": "שלום \u202e \uffff 👩‍👩‍👧 e\u0301",
    "26 an injection": "'; DROP TABLE events; --",
    "27 a script": "<script>alert(1)</script>",
    "28 line breaks": "a\r\nINFO forged line\u2028b",
    "29 a formula": '=cmd|"/C calc"!A0',
    "placeholders": "%s %(site_id)s {} $1",
    "an array in Postgres' notation": '{"a",NULL}',
    "the longest emoji a code may hold": "🧳" * 100,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_odd_text_is_stored_as_it_came_and_stays_out_of_the_logs(
    site: Site, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "tripstream")
    fields = dict.fromkeys(("path", "referrer", "click_target", "user_agent", "owner_code", "page_type"), text)
    odd = make.event(0, metadata={text: [text]}, source=text, event_type=text, **fields)
    assert site.post(odd, make.event(1))["accepted"] == 2
    columns = "path, referrer, click_target, user_agent, owner_code, page_type, source, event_type, metadata"
    assert site.rows(columns)[0] == (*(text,) * 8, {text: [text]})
    assert site.figures() == (2, 2, 0, 0)
    assert text not in caplog.text


def test_42_names_that_mean_something_to_a_language_are_only_names(site: Site) -> None:
    unknown = {"__proto__": {"x": 1}, "constructor": "c", "__class__": None, "self": 1, "batch_id": "b"}
    site.post(make.event(0, **unknown, metadata={"__proto__": 2, "toString": 3}))
    kept = unknown | {"__proto__": 2, "toString": 3, "event.__proto__": {"x": 1}}
    assert site.rows("metadata") == [(kept,)]


def test_14_of_a_key_that_comes_twice_the_last_one_counts(site: Site) -> None:
    twice = make.body(make.event(0), write_key=site.key).replace(
        b'"event_type"', b'"event_type": "click", "event_type"'
    )
    assert site.server.post(b'{"events":[1],' + twice[1:]).json()["accepted"] == 1
    assert site.rows("event_type") == [("page_view",)]


def test_13_an_integer_past_64_bits_in_metadata_keeps_every_digit(site: Site) -> None:
    numbers = {"big": 2**64 + 1, "huge": 10**400 + 1, "least": -(2**63) - 1}
    site.post(make.event(0, metadata=numbers))
    assert site.rows("metadata") == [(numbers,)]


def test_18_numbers_at_the_edge_of_a_double_are_stored(site: Site) -> None:
    numbers = {"large": 1e308, "small": 5e-324, "minus": -1e308, "zero": -0.0}
    site.post(make.event(0, metadata=numbers, score=1e308))
    [(kept, score)] = site.rows("metadata, score")
    assert {name: float(value) for name, value in kept.items()} == numbers
    assert score == 1e308


def test_34_and_35_an_id_counts_once_whatever_else_differs(site: Site) -> None:
    other_time = make.event(0, client_timestamp=time.time() - 86_400 * 40)
    site.post(make.event(0), make.event(0))
    site.post(other_time)
    assert site.figures() == (3, 1, 2, 0)
    assert len(site.rows("event_id")) == 1


def test_36_another_site_may_use_the_same_id(site: Site) -> None:
    other = Site(site.server, f"{site.site_id}-b", add_site(site.server.settings, f"{site.site_id}-b"))
    site.server.look()
    for each in (site, other):
        each.post(make.event(0))
        assert each.figures() == (1, 1, 0, 0)


def test_51_seconds_and_milliseconds_since_1970_are_told_apart(site: Site) -> None:
    second = int(time.time()) - 3600
    as_text = datetime.fromtimestamp(second, UTC).isoformat()
    times = (second, second * 1000, second * 1e3, float(second), as_text)
    site.post(*(make.event(n, client_timestamp=at) for n, at in enumerate(times)))
    assert site.rows("occurred_at") == [(datetime.fromtimestamp(second, UTC),)] * 5


def test_49_a_leap_second_is_the_second_before_it(site: Site) -> None:
    day = (datetime.now(UTC) - timedelta(days=1)).date()
    site.post(make.event(0, client_timestamp=f"{day}T23:59:60Z"))
    assert site.rows("occurred_at") == [(datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC),)]


def test_52_a_time_of_tomorrow_becomes_the_moment_of_receipt(site: Site) -> None:
    site.post(make.event(0, client_timestamp=time.time() + 86_400))
    assert site.rows("occurred_at = received_at") == [(True,)]


def test_60_a_forwarding_header_is_never_believed_as_an_address(site: Site) -> None:
    forged = [(b"x-forwarded-for", b"198.51.100.7"), (b"x-forwarded-for", b"garbage, \xff"), (b"forwarded", b"for=_x")]
    keyless = site.server.post(make.body(make.event(0)), headers=forged)
    assert keyless.status_code == 401
    keyed = make.body(make.event(0), write_key=site.key)
    assert site.server.post(keyed, headers=forged, host="203.0.113.9").status_code == 202
    assert site.rows("host(e.ip_prefix)") == [("203.0.113.0",)]


def test_53_a_full_beacon_and_a_body_of_exactly_1_mib_are_accepted(site: Site) -> None:
    beacon = make.body(*(make.event(n, path="/" + "x" * 560) for n in range(80)), write_key=site.key)
    for content in (beacon.ljust(65 << 10), make.body(make.event(0), write_key=site.key).ljust(MIB)):
        assert site.server.post(content, headers={"content-type": "text/plain;charset=UTF-8"}).status_code == 202
    assert site.figures() == (81, 80, 1, 0)
