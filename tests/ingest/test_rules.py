"""Times, addresses of pages, and nesting. In: whatever Hypothesis thinks of. Out: what the datetime module says, or a
refusal; never another error.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest import rules
from schema import limits
from schema.errors import InvalidEvent
from tests import make
from tests.ingest.contexts import context

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR = 31_557_600 * make.SECOND
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.integers(-68 * YEAR, 230 * YEAR)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def moment_of(microseconds: int, zone: timezone = UTC) -> datetime:
    return (EPOCH + timedelta(microseconds=microseconds)).astimezone(zone)


@given(times, offsets, st.sampled_from(["T", " "]))
def test_an_iso_time_is_read_to_the_microsecond_whatever_its_offset(at: int, zone: timezone, between: str) -> None:
    assert rules.instant(moment_of(at, zone).isoformat(between)) == at


@given(times)
def test_an_iso_time_without_an_offset_is_utc(at: int) -> None:
    assert rules.instant(moment_of(at).isoformat().removesuffix("+00:00")) == at
    assert rules.instant(moment_of(at).isoformat().replace("+00:00", "Z")) == at


@given(st.integers(4 * YEAR, 230 * YEAR))
def test_a_number_is_milliseconds_from_1e11_on_and_seconds_below(at: int) -> None:
    milliseconds, seconds = at // 1000, at // make.SECOND
    assert rules.instant(milliseconds) == rules.instant(float(milliseconds)) == milliseconds * 1000
    assert rules.instant(seconds) == rules.instant(float(seconds)) == seconds * make.SECOND


def test_the_last_seconds_and_the_first_milliseconds_meet_at_1e11() -> None:
    assert rules.instant(99_999_999_999) == 99_999_999_999 * 1_000_000
    assert rules.instant(100_000_000_000) == 100_000_000_000 * 1000


@given(st.text() | json_values | st.floats())
@example("2026-01-01T10:60:60Z")
@example("2026-01-01T00:00:60")
@example(10**400)
@example(float("nan"))
@example(float("-inf"))
def test_anything_else_is_a_whole_number_or_refused(value: Any) -> None:
    try:
        assert isinstance(rules.instant(value), int)
    except InvalidEvent as refusal:
        assert refusal.code == "invalid_time"
        assert "2026-11-21T10:00:00Z" in refusal.message


@given(st.integers(0, 60 * 365 * 1440).map(lambda minute: minute * make.MINUTE))
def test_a_leap_second_is_the_second_before_it(minute: int) -> None:
    assert rules.instant(f"{moment_of(minute):%Y-%m-%dT%H:%M}:60Z") == minute + 59 * make.SECOND


@given(st.none() | st.integers(-10, 500 * 86_400).map(lambda s: make.T0 - s * make.SECOND), st.integers(0, 10**12))
def test_an_event_never_happens_after_its_receipt_nor_before_the_window(at: int | None, ahead: int) -> None:
    moment = None if at is None else at / 1000
    try:
        found = rules.occurred_at(moment, ahead, context())
    except InvalidEvent as refusal:
        assert refusal.code == "too_old"
        assert at is not None
        assert at - ahead < make.T0 - 400 * make.DAY
    else:
        assert found == (make.T0 if at is None else min(at - ahead, make.T0))
        assert make.T0 - 400 * make.DAY <= found <= make.T0


@given(json_values, st.integers(0, 10**9))
def test_a_clock_is_ahead_by_more_than_the_tolerance_or_not_at_all(sent_at: Any, tolerance: int) -> None:
    ahead = rules.skew(sent_at, context(clock_skew_seconds_max=tolerance))
    assert ahead == 0 or ahead > tolerance * make.SECOND


addresses = st.text() | st.builds(
    lambda host, path, query: f"https://{host}/{path}?utm_source={query}",
    st.text(max_size=20),
    st.text(max_size=20),
    st.text(st.characters(codec="utf-8")) | st.from_regex(r"(%[0-9a-f]{2}|&|=|\+|utm_term=)*", fullmatch=True),
)


@given(addresses, st.none() | st.just("/given"))
@example("https://[::1/?utm_source=a", None)
@example("https://a/?utm_source=%00&utm_medium=%ff", None)
@example("https://a/?utm_source=a" + "&" * 4000, None)
@example("", None)
def test_a_page_address_gives_a_path_and_campaign_or_nothing_but_never_an_error(url: str, path: str | None) -> None:
    found, utm = rules.page(url, path)
    assert path is None or found == path
    if utm is not None:
        values = json.loads(utm)
        assert set(values) <= {f"utm_{what}" for what in ("source", "medium", "campaign", "term", "content")}
        assert not any("\0" in value for value in values.values())


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://a.example", "/"),
        ("https://a.example/x/y?z#w", "/x/y"),
        ("/x?y", "/x"),
        ("https://[broken", None),
        ("not an address", "not an address"),
        (None, None),
    ],
)
def test_the_path_is_taken_from_the_page_address(url: str | None, path: str | None) -> None:
    assert rules.page(url, None)[0] == path


def height(item: Any) -> int:
    inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else None
    return 0 if inner is None else 1 + max(map(height, inner), default=0)


@given(json_values, st.integers(0, 6))
@example({'"[{\\"': ["]}", {"": []}]}, 2)
@example(["\\", [], ['"']], 1)
def test_how_deep_json_nests_is_told_without_walking_it(value: Any, levels: int) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert limits.is_deeper(text.encode(), levels) == (height(value) > levels)


@given(st.lists(st.sampled_from(["\0", "\\", "u0000", "x", "\\u0000", '"'])).map("".join), st.booleans())
def test_u_0000_is_found_in_metadata_and_its_spelling_is_not(text: str, as_name: bool) -> None:
    metadata = json.dumps({text: 1} if as_name else {"a": [{"b": text}]})
    if "\0" in text:
        with pytest.raises(InvalidEvent, match=r"U\+0000"):
            limits.refuse_nul([], metadata)
        with pytest.raises(InvalidEvent, match=r"U\+0000"):
            limits.refuse_nul([None, 1, text])
    else:
        limits.refuse_nul([None, 1, text], metadata)
