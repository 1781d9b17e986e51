"""What the drain writes for an event: its row, its names' ids, its partition, its marks."""

from __future__ import annotations

from datetime import UTC, date, datetime
from ipaddress import ip_network

import pytest

from schema import live
from schema.event import COLUMNS, EVENT_FIELDS
from tests.make import DAY, HOUR, T0, batch, canonical, uid
from tests.workers.pipeline import ROBOT, Pipeline, visit
from workers import resolve
from workers.drain import Drain, chunks
from workers.resolve import moment

FULL = {
    "auth_user_id": "auth-1",
    "claimed_user": "claim-1",
    "trip_id": 2**63 - 1,
    "recommendation_request_id": uid(5),
    "source": "homepage",
    "position": 2**31 - 1,
    "score": 0.1,
    "page_url": "https://example.org/a?b=1",
    "path": "/a",
    "referrer": "https://example.com/\t\\N 'quoted' \u05d0",
    "device_type": "phone",
    "user_agent": "curl/8",
    "screen": "1x1",
    "owner_code": "owner",
    "share_code": "share",
    "contact_id": "contact",
    "click_target": "target",
    "click_category": "category",
    "page_type": "page",
    "utm": '{"utm_source": "mail"}',
    "metadata": '{"a": [1, null]}',
    "schema_version": 3,
}
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


def test_a_row_holds_every_field_that_the_event_had(pipe: Pipeline) -> None:
    full = canonical(**FULL)
    assert set(EVENT_FIELDS) - set(FULL) == {"event_id", "event_type", "occurred_at", "session_id", "anonymous_id"}
    sent = pipe.send(full, ip_prefix="203.0.113.0/24", country="IL")
    stored = dict(zip(COLUMNS, pipe.row(f"SELECT {', '.join(COLUMNS)} FROM events"), strict=True))
    words = ", ".join(name for name in EVENT_FIELDS if name not in COLUMNS)
    named = pipe.row(f"SELECT {words} FROM readable_events")
    assert named == tuple(getattr(full, name) for name in EVENT_FIELDS if name not in COLUMNS)
    expected = {name: getattr(full, name) for name in EVENT_FIELDS if name in COLUMNS} | {
        "occurred_at": moment(T0),
        "utm": {"utm_source": "mail"},
        "metadata": {"a": [1, None]},
        "site_id": "default",
        "batch_id": sent,
        "received_at": moment(T0 + HOUR),
        "ip_prefix": ip_network("203.0.113.0/24"),
        "country": "IL",
        "category": "interaction",
        "is_bot": False,
        "page_query": "?b=1",
        "user_role": None,
        "user_tenure_days": 0,
        "user_id": pipe.value("SELECT user_id FROM users"),
    }
    assert {name: value for name, value in stored.items() if not name.endswith("_id") or name in expected} == expected


def test_a_bare_event_is_stored_with_nulls(pipe: Pipeline) -> None:
    pipe.send(canonical(anonymous_id=None))
    nulls = [*FULL, "anonymous_id"]
    assert pipe.row(f"SELECT {', '.join(nulls)} FROM readable_events") == (None,) * len(nulls)
    assert pipe.value("SELECT count(*) FROM texts") == 0


@pytest.mark.parametrize("rest", ["", "?", "?a=1", "#here", "#here?not=query", "?a=1#here"])
def test_a_pages_address_comes_out_as_it_went_in_and_its_query_fills_no_dictionary(pipe: Pipeline, rest: str) -> None:
    pipe.send(canonical(1, page_url=f"https://example.org/a{rest}"))
    assert pipe.value("SELECT page_url FROM readable_events") == f"https://example.org/a{rest}"
    assert pipe.value("SELECT count(*) FROM texts WHERE position('a=1' IN text) > 0") == 0


def test_two_sites_share_no_text(pipe: Pipeline) -> None:
    for site in ("default", "other"):
        pipe.send(canonical(1, referrer="https://a"), site_id=site)
    assert pipe.rows("SELECT site_id, text FROM texts ORDER BY 1") == [("default", "https://a"), ("other", "https://a")]
    ours = "SELECT count(*) FROM events AS e JOIN texts AS t ON text_id = referrer_id AND t.site_id = e.site_id"
    assert pipe.value(ours) == 2


def test_each_category_and_month_has_its_own_partition_in_utc(pipe: Pipeline) -> None:
    last = int(datetime(2025, 12, 31, 23, 59, 59, 999_999, UTC).timestamp() * 1_000_000)
    pipe.send(canonical(1, occurred_at=last), canonical(2, occurred_at=last + 1), canonical(3, event_type="user.login"))
    found = pipe.rows("SELECT event_id, tableoid::regclass::text FROM events ORDER BY event_id")
    assert found == [
        (uid(1, 1), "events_interaction_2025_12"),
        (uid(1, 2), "events_interaction_2026_01"),
        (uid(1, 3), "events_user_activity_2026_01"),
    ]


def test_an_unknown_type_becomes_a_known_interaction(pipe: Pipeline) -> None:
    pipe.send(canonical(event_type="never.seen"))
    assert pipe.row(
        "SELECT e.category, t.category, t.seeded FROM events AS e JOIN event_types AS t"
        " USING (event_type_id) WHERE event_type = 'never.seen'"
    ) == ("interaction", "interaction", False)


def test_types_beyond_the_limit_keep_their_name_in_the_metadata(
    pipe: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "TYPES_MAX", pipe.value("SELECT count(*) FROM event_types") + 1)
    pipe.send(canonical(0, event_type="new.1"))
    metadata = (None, "{}", '{"a": 1.50}')
    pipe.send(*(canonical(1 + n, event_type=f"new.{2 + n}", metadata=text) for n, text in enumerate(metadata)))
    assert pipe.rows("SELECT event_type, metadata::text FROM readable_events ORDER BY event_id") == [
        ("new.1", None),
        ("unregistered", '{"event_type": "new.2"}'),
        ("unregistered", '{"event_type": "new.3"}'),
        ("unregistered", '{"a": 1.50, "event_type": "new.4"}'),
    ]
    assert pipe.value("SELECT count(*) FROM dead_letters") == 0


def test_a_bot_is_stored_with_its_reason_and_counted_nowhere(pipe: Pipeline) -> None:
    pipe.send(canonical(1, event_type="click_trip", trip_id=7), user_agent=ROBOT)
    assert pipe.row("SELECT is_bot, user_id FROM events") == (True, None)
    assert pipe.row("SELECT is_bot, bot_reason FROM user_agents") == (True, "search-engine: Googlebot")
    for table in ("users", "identities", "sessions", "trip_interactions"):
        assert pipe.value(f"SELECT count(*) FROM {table}") == 0, table
    pipe.roll_up()
    assert pipe.value("SELECT count(*) FROM rollup_hourly") == pipe.value("SELECT count(*) FROM daily_events") == 0
    assert pipe.row("SELECT accepted, stored FROM batches") == (1, 1)


def test_people_and_command_lines_are_no_bots_and_headless_browsers_are(pipe: Pipeline) -> None:
    agents = [CHROME, CHROME.replace("Chrome", "HeadlessChrome"), "curl/8.0", "", "\u05d0\t\\.", ROBOT]
    pipe.send(*(canonical(n, user_agent=agent) for n, agent in enumerate(agents)))
    found = pipe.rows("SELECT is_bot FROM events ORDER BY event_id")
    assert [is_bot for (is_bot,) in found] == [False, True, False, False, False, True]


def test_the_events_own_user_agent_wins_over_its_requests(pipe: Pipeline) -> None:
    pipe.send(canonical(1, user_agent=CHROME), canonical(2), user_agent=ROBOT)
    assert pipe.rows("SELECT is_bot FROM events ORDER BY event_id") == [(False,), (True,)]
    assert pipe.row("SELECT browser, os, event_count FROM readable_sessions") == ("Chrome", "Linux", 1)


def test_a_full_cache_forgets_no_name_that_the_chunk_needs(pipe: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "_CACHE_MAX", 1)
    drain = Drain(pipe.connection, pipe.redis, 0, pipe.settings)
    for n, others in enumerate(([], [], [("curl/8", "https://c")])):
        names = [(ROBOT, "https://a"), (CHROME, "https://b"), *others]
        pipe.accept(batch(*(canonical(10 * n + i, user_agent=a, referrer=r) for i, (a, r) in enumerate(names)), n=n))
        drain.run_once()
    assert pipe.value("SELECT count(*) FROM events WHERE user_agent_id IS NULL OR referrer_id IS NULL") == 0
    assert pipe.value("SELECT count(*) FROM events WHERE is_bot") == 3


def test_a_known_name_uses_up_no_id(pipe: Pipeline) -> None:
    for n in range(3):  # each drain begins with an empty cache
        pipe.send(canonical(n, event_type="new", referrer="https://a", user_agent="a"))
    pipe.send(canonical(3, event_type="newer", referrer="https://b", user_agent="b"))
    types = pipe.rows("SELECT event_type_id FROM event_types ORDER BY event_type_id DESC LIMIT 2")
    assert types[0][0] == types[1][0] + 1
    assert pipe.rows("SELECT text_id FROM texts ORDER BY 1") == [(1,), (2,)]
    assert pipe.rows("SELECT user_agent_id FROM user_agents ORDER BY 1") == [(1,), (2,)]


def test_entries_are_stored_in_chunks_of_so_many_events(pipe: Pipeline) -> None:
    pipe.settings = pipe.settings.model_copy(update={"drain_events_max": 4})
    sizes = (3, 1, 1, 9, 2)
    number = iter(range(100))
    pipe.accept(*(batch(*(canonical(next(number)) for _ in range(size)), n=n) for n, size in enumerate(sizes)))
    assert pipe.drain() == 16
    assert pipe.row("SELECT transactions, batches, stored FROM drained") == (4, 5, 16)
    assert pipe.rows("SELECT stored FROM batches ORDER BY batch_id") == [(size,) for size in sizes]


def test_an_entry_larger_than_a_chunk_stands_alone() -> None:
    class Sized:
        def __init__(self, events: int) -> None:
            self.events = events

    found = [[e.events for e in chunk] for chunk in chunks([Sized(n) for n in (9, 1, 2, 3, 0, 1)], 3)]
    assert found == [[9], [1, 2], [3], [0, 1]]  # one without events is a request, and weighs as much as one


def test_totals_are_kept_per_site_and_lane(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name) VALUES ('other', 'Other')")
    pipe.send(visit(1, 1), visit(2, 1), lane=0)
    pipe.send(visit(3, 1), visit(1, 1), lane=1)
    pipe.send(visit(1, 1), lane=1, site_id="other")
    found = pipe.rows(
        "SELECT site_id, lane, batches, stored, duplicate, dead, transactions, seconds > 0 FROM drained ORDER BY 1, 2"
    )
    assert found == [
        ("default", 0, 1, 2, 0, 0, 1, True),
        ("default", 1, 1, 1, 1, 0, 1, True),
        ("other", 1, 1, 1, 0, 0, 1, True),
    ]


def test_hours_are_marked_in_utc_and_days_in_the_sites_zone(pipe: Pipeline) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES ('nepal', 'Nepal', 'Asia/Kathmandu')")
    pipe.send(canonical(1, occurred_at=T0 - 1), canonical(2, occurred_at=T0 + DAY), site_id="nepal")
    found = pipe.rows("SELECT hour FROM dirty_hours ORDER BY 1")
    assert found == [(datetime(2025, 12, 31, 23, tzinfo=UTC),), (datetime(2026, 1, 2, tzinfo=UTC),)]
    assert pipe.rows("SELECT date FROM dirty_days ORDER BY 1") == [(date(2026, 1, 1),), (date(2026, 1, 2),)]


def test_duplicates_alone_make_nothing_dirty(pipe: Pipeline) -> None:
    pipe.send(canonical())
    pipe.roll_up()
    pipe.send(canonical())
    assert pipe.value("SELECT count(*) FROM dirty_hours") == pipe.value("SELECT count(*) FROM dirty_days") == 0


def test_a_drained_event_keeps_its_live_session_alive_and_makes_no_new_one(pipe: Pipeline) -> None:
    begin = pipe.redis.pipeline()
    live.begin(begin, "default", uid(3), uid(2), at_ms=1, at_most=9)
    begin.execute()
    pipe.send(canonical(1), canonical(2, session_id=uid(2, 9)), canonical(3, session_id=None))
    pipe.send(canonical(4), received_at=T0)
    assert pipe.redis.zrange("live:default", 0, -1, withscores=True) == [(uid(2).bytes, (T0 + HOUR) / 1000)]
