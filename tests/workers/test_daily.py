"""Days against an oracle that knows nothing of SQL: every table of a site's day, in the site's own zone."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from schema import histogram, sketch
from schema.event import MICROSECOND, Event
from tests.make import DAY, HOUR, T0, canonical, uid
from tests.workers.pipeline import Pipeline, visit
from tests.workers.summed import months_to_date, of_months_to_date, of_weeks, weekly
from tests.workers.traffic import counted, traffic
from tests.workers.unwalked import walked
from workers import agents, rollup
from workers.daily import DAILY

ZONES = {
    "jerusalem": ("Asia/Jerusalem", [date(2026, 3, 27), date(2026, 10, 25)]),
    "kolkata": ("Asia/Kolkata", [date(2026, 3, 1)]),
    "kathmandu": ("Asia/Kathmandu", [date(2026, 2, 1)]),
    "havana": ("America/Havana", [date(2026, 3, 8), date(2026, 11, 1)]),
}
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
CLICKS = ("click_trip", "click")
IDLE = ("impression", "results_view", "scroll_depth", "trip_dwell", "session_start", "session.started", "user_identify")
HOSTS = {"https://a.example": "a.example", "https://b.example": "b.example", "https://www.shop.example/a?x=1":
         "shop.example", "http://shop.example/b": "shop.example", None: None}  # fmt: skip
Rows = set[tuple[Any, ...]]


def moment(event: Event) -> datetime:
    return datetime.fromtimestamp(event.occurred_at // MICROSECOND, UTC)


def visitor(event: Event, batch_id: UUID) -> str:
    return str(event.anonymous_id or event.claimed_user or batch_id)


def groups(events: Iterable[Event], key: Callable[[Event], Any]) -> dict[Any, list[Event]]:
    found: defaultdict[Any, list[Event]] = defaultdict(list)
    for event in events:
        found[key(event)].append(event)
    return found


def sessions(events: Iterable[Event]) -> int:
    return len({event.session_id for event in events})


def many(events: Iterable[Event], *kinds: str) -> int:
    return sum(event.event_type in kinds for event in events)


def totals(events: Sequence[Event]) -> tuple[int, int, int]:
    return sessions(events), many(events, "page_view"), many(events, *CLICKS)


def described(event: Event, country: str | None) -> dict[str, str | None]:
    """What an event says for each dimension that is its own."""
    agent = agents.classify(event.user_agent) if event.user_agent else agents.Verdict()
    utm = json.loads(event.utm) if event.utm else {}
    host = HOSTS[event.referrer]
    return {
        "source": event.source,
        "device": event.device_type or agent.device_type,
        "screen": event.screen,
        "path": event.path,
        "browser": agent.browser,
        "os": agent.os,
        "country": country,
        "referrer": None if host == HOSTS[event.page_url] else host,
    } | {name: utm.get(name) for name in ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")}


def dimensions(events: Sequence[Event], country: str | None) -> Rows:
    found: Rows = set()
    for name in described(events[0], country):
        for value, group in groups(events, lambda e, name=name: described(e, country)[name]).items():
            if value is not None:
                found.add((name, value, len(group), many(group, "page_view"), sessions(group)))
    ends: defaultdict[tuple[str, str], list[list[Event]]] = defaultdict(list)
    for whole in groups(events, lambda e: e.session_id).values():
        views = [e for e in whole if e.event_type == "page_view" and e.path]
        views.sort(key=lambda e: (e.occurred_at, e.event_id))
        if views:
            ends["entry_path", str(views[0].path)].append(whole)
            ends["exit_path", str(views[-1].path)].append(whole)
    for (name, value), wholes in ends.items():
        together = [event for whole in wholes for event in whole]
        found.add((name, value, len(together), many(together, "page_view"), len(wholes)))
    return found


def of_sessions(events: Sequence[Event]) -> tuple[Any, ...]:
    """Sessions, bounces, page views, events, length and its histogram."""
    lengths, bounces = [], 0
    for whole in groups(events, lambda e: e.session_id).values():
        times = [event.occurred_at for event in whole]
        lengths.append((max(times) - min(times)) // 1000)
        bounces += many(whole, "page_view") == 1 == len(whole) - many(whole, *IDLE)
    counts = histogram.of((bisect_right(histogram.EDGES, length), 1) for length in lengths)
    return len(lengths), bounces, many(events, "page_view"), len(events), sum(lengths), tuple(counts)


def of_trip(events: Sequence[Event]) -> tuple[int, ...]:
    dwells = [json.loads(e.metadata or "{}")["duration_seconds"] for e in events if e.event_type == "trip_dwell"]
    kinds = (("impression",), CLICKS, ("save_trip",), ("contact_whatsapp",), ("contact_phone",), ("booking_start",))
    return *(many(events, *kind) for kind in kinds), sum(round(1000 * dwell) for dwell in dwells), len(dwells)


def of_day(events: Sequence[Event], batch_id: UUID, country: str | None) -> dict[str, Rows]:
    """Every table's rows for one day, with their columns in the order of the migration."""
    views = [event for event in events if event.event_type == "page_view"]
    clicks = [event for event in events if event.event_type in CLICKS]
    owner, share = (lambda e: e.owner_code or ""), (lambda e: e.share_code or "")
    both = lambda e: (owner(e), share(e))  # noqa: E731 - a key, like those above
    keys = {visitor(event, batch_id) for event in events}
    paths = {path: len(group) for path, group in groups(views, lambda e: e.path).items() if path}
    return {
        "daily_stats": {(len(views), len(keys), json.dumps(paths, sort_keys=True), sketch.of(keys))},
        "daily_user_stats": {
            (code, *totals(group), tuple(sorted({share(e) for e in group} - {""})))
            for code, group in groups(events, owner).items()
        },
        "daily_group_stats": {(*codes, *totals(group)) for codes, group in groups(events, both).items()},
        "daily_click_targets": {
            (*key, len(group))
            for key, group in groups(clicks, lambda e: (*both(e), e.click_target or "", e.click_category or "")).items()
        },
        "daily_page_stats": {
            (*key, len(group)) for key, group in groups(views, lambda e: (*both(e), e.page_type or "")).items()
        },
        "daily_dimensions": dimensions(events, country),
        "daily_trips": {
            (trip, *of_trip(group)) for trip, group in groups(events, lambda e: e.trip_id).items() if trip is not None
        },
        "daily_sessions": {of_sessions(events)},
        "daily_walks": {(e.session_id,) for e in events},
        "daily_steps": set(Counter((e.event_type, e.session_id, e.occurred_at) for e in events).items()),
    }


def stored(pipe: Pipeline, site_id: str) -> dict[date, dict[str, Rows]]:
    """The same, as the tables have it."""
    found: defaultdict[date, dict[str, Rows]] = defaultdict(lambda: {one.name: set() for one in DAILY})
    for day, walks, steps in walked(pipe.connection, site_id):
        found[day] |= {"daily_walks": walks, "daily_steps": steps}
    for one in DAILY:
        if one.name in ("daily_walks", "daily_steps"):
            continue
        with pipe.connection.cursor() as cursor:
            table = "readable_daily_trips" if one.name == "daily_trips" else one.name
            cursor.execute(f"SELECT * FROM {table} WHERE site_id = %s", (site_id,))
            names = [column.name for column in cursor.description or ()]
            for row in cursor:
                day = row[names.index("date")]
                rest = [value for name, value in zip(names, row, strict=True) if name not in ("site_id", "date")]
                found[day][one.name].add(tuple(map(plain, rest)))
    return dict(found)


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return tuple(value) if isinstance(value, list) else value


def expected(
    events: Iterable[Event], day: Callable[[datetime], date], batch_id: UUID, country: str | None = None
) -> dict[date, dict[str, Rows]]:
    days = groups(counted(list(events)), lambda e: day(moment(e)))
    return {at: of_day(group, batch_id, country) for at, group in days.items()}


def site(pipe: Pipeline, site_id: str, zone: str) -> None:
    pipe.connection.execute("INSERT INTO sites (site_id, name, time_zone) VALUES (%s, '', %s)", (site_id, zone))


def test_every_table_of_every_day_is_what_the_oracle_says(pipe: Pipeline) -> None:
    wanted = {}
    for n, (site_id, (zone, days)) in enumerate(ZONES.items()):
        site(pipe, site_id, zone)
        midnights = [round(datetime(*day.timetuple()[:3], tzinfo=ZoneInfo(zone)).timestamp()) for day in days]
        around = [at * MICROSECOND + shift for at in midnights for shift in (-HOUR, 0, HOUR, DAY)]
        events = traffic(n, 150, around=around)
        for event in events[::3]:
            event.user_agent = event.user_agent or CHROME
        batch_id = pipe.send(*events, site_id=site_id, country="IL")
        wanted[site_id] = expected(events, lambda at, zone=zone: at.astimezone(ZoneInfo(zone)).date(), batch_id, "IL")
    pipe.roll_up()
    for site_id, days_of_site in wanted.items():
        assert stored(pipe, site_id) == days_of_site, site_id
        assert weekly(pipe, site_id) == of_weeks(days_of_site), site_id
        assert months_to_date(pipe, site_id) == of_months_to_date(pipe, site_id) != {}, site_id


def versions(pipe: Pipeline) -> dict[str, list[tuple[Any, ...]]]:
    return {one.name: pipe.rows(f"SELECT date, xmin::text, ctid FROM {one.name} ORDER BY 1, 3") for one in DAILY}


def test_a_late_event_changes_its_day_and_rows_that_are_right_are_not_written_again(pipe: Pipeline) -> None:
    events = traffic(1, 100)
    batch_id = pipe.send(*events)
    pipe.roll_up()
    before = versions(pipe)
    rollup.mark(pipe.connection, date(2026, 1, 1))
    assert pipe.roll_up().days == 1
    assert versions(pipe) == before
    late = canonical(5000, event_type="click", occurred_at=T0 + HOUR, click_target="late")
    pipe.send(late, batch_id=uid(4, 99), received_at=T0 + 90 * DAY)
    pipe.roll_up()
    assert stored(pipe, "default") == expected([*events, late], datetime.date, batch_id)
    after = versions(pipe)
    for table, rows in before.items():
        others = [row for row in rows if row[0] != date(2026, 1, 1)]
        assert others and [row for row in after[table] if row[0] != date(2026, 1, 1)] == others
    kept = set(before["daily_click_targets"]) & set(after["daily_click_targets"])
    assert any(row[0] == date(2026, 1, 1) for row in kept)


def test_a_day_whose_events_are_gone_has_no_rows(pipe: Pipeline) -> None:
    pipe.send(*traffic(1, 60))
    pipe.roll_up()
    assert all(stored(pipe, "default")[date(2026, 1, 1)].values())
    pipe.connection.execute("DELETE FROM events")
    for day in stored(pipe, "default"):
        rollup.mark(pipe.connection, day)
    pipe.roll_up()
    assert stored(pipe, "default") == {}


def test_no_path_is_cut_off_however_many_and_however_long(pipe: Pipeline) -> None:
    paths = [f"/{n}/{'x' * 900}" for n in range(1500)]
    for start in range(0, len(paths), 500):
        pipe.send(*(canonical(n, path=paths[n]) for n in range(start, start + 500)))
    pipe.roll_up()
    assert pipe.value("SELECT path_stats FROM daily_stats") == dict.fromkeys(paths, 1)
    assert pipe.value("SELECT count(*) FROM daily_dimensions WHERE dimension = 'path'") == 1500


@pytest.mark.parametrize(
    ("kinds", "bounces"),
    [
        (["page_view"], 1),
        (["session_start", "page_view", "impression", "impression", "scroll_depth", "trip_dwell", "results_view"], 1),
        (["page_view", "page_view"], 0),
        (["page_view", "click_trip"], 0),
        (["page_view", "search_submit"], 0),
        (["page_view", "of_their_own"], 0),
        (["payment.completed"], 0),
        (["impression"], 0),
    ],
)
def test_a_bounce_is_one_page_view_and_nothing_done(pipe: Pipeline, kinds: list[str], bounces: int) -> None:
    pipe.send(*(canonical(n, event_type=kind) for n, kind in enumerate(kinds)))
    pipe.roll_up()
    assert pipe.row("SELECT sessions, bounces FROM daily_sessions") == (1, bounces)


def test_a_referrer_is_a_host_and_never_the_pages_own(pipe: Pipeline) -> None:
    hosts = {
        "https://www.Google.com/search?q=1#x": "google.com",
        "http://user:secret@news.example:8080/a": "news.example",
        "android-app://com.google.android.gm/": "com.google.android.gm",
        "//cdn.example/x": "cdn.example",
        "http://[2001:db8::1]:80/": "[2001:db8::1]",
        "newsletter": "newsletter",
        "t.co/abc": "t.co",
        "http://": None,
        "": None,
        "https://shop.example/other": None,
        "https://www.shop.example": None,
    }
    for address, host in hosts.items():
        assert pipe.value("SELECT host_of(%s)", address) == (host or ("shop.example" if "shop" in address else None))
    sent = enumerate(hosts)
    pipe.send(*(visit(n, n, referrer=address, page_url="https://shop.example/p") for n, address in sent if address))
    pipe.roll_up()
    found = pipe.rows("SELECT value, events, sessions FROM daily_dimensions WHERE dimension = 'referrer'")
    assert sorted(found) == sorted((host, 1, 1) for host in hosts.values() if host)
