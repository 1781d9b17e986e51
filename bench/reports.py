"""`python -m bench.reports [events …]`: every report for 30 days, over HTTP, and the same asked of events beside it.

In: how many events lie behind the site, by default 1,000,000 and 12,000,000, spread over 400 days. Out: a table, which
is also written to bench/results/reports.md, and the plan of each query that a report asked, in reports-plans.txt. What
holds: each answer was a 200 about a span of its own, so that nothing was answered from a cache; no plan but the event
query's reads events. Exit code 0 when all was measured, whatever the verdict.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg

from bench import history, report
from bench.history import Made
from bench.servers import free_port, running, web
from schema import db
from schema.settings import Settings
from schema.sql import read

RAW = read(Path(__file__).with_name("raw_reports.sql"))
_DAYS = 30
_ASKED, _ASKED_RAW = 100, 3
_BAR_MS, _BAR_FOLLOWING_MS, _BAR_RATIO = 15.0, 300.0, 166.0


class Report(NamedTuple):
    """A path that the span is added to, and the raw question it replaces. `follows`: it has to follow single visitors,
    which may take longer."""

    name: str
    path: str
    raw: str | None = None
    follows: bool = False

    @property
    def bar_ms(self) -> float:
        return _BAR_FOLLOWING_MS if self.follows else _BAR_MS


_STEPS = "steps=page_view,search_submit,click_trip,booking_start"
REPORTS = (
    Report("overview", "overview?", "overview"),
    Report("series by day", "series?", "series"),
    Report("series by hour, one type", "series?interval=hour&type=page_view&"),
    Report("types", "types?"),
    Report("visitors", "visitors?", "visitors"),
    Report("sessions", "sessions?", "sessions"),
    Report("top paths", "top?by=path&", "paths"),
    Report("top entry paths", "top?by=entry_path&"),
    Report("top referrers", "top?by=referrer&", "referrers"),
    Report("top campaigns", "top?by=utm_campaign&", "campaigns"),
    Report("top devices", "top?by=device&"),
    Report("top click targets", "top?by=target&", "targets"),
    Report("top page types", "top?by=page&"),
    Report("trips", "trips?", "trips"),
    Report("owners", "owners?", "owners"),
    Report("groups", "groups?"),
    Report("funnel, 4 steps", f"funnel?{_STEPS}&", "funnel", follows=True),
    Report("the same by user", f"funnel?{_STEPS}&by=user&", follows=True),
    Report("retention, 5 weeks", "retention?weeks=5&", "retention", follows=True),
    Report("events of a type", "events?type=search_submit&", follows=True),
)


class Found(NamedTuple):
    """Milliseconds of one report, and of its raw question."""

    report: Report
    p50: float
    p95: float
    raw_ms: float | None

    @property
    def ratio(self) -> float | None:
        return None if self.raw_ms is None else self.raw_ms / self.p95

    @property
    def verdict(self) -> str:
        return "bar" if self.p95 < self.report.bar_ms else "BELOW"


def main() -> int:
    """Measure at each of the sizes asked for."""
    parser = argparse.ArgumentParser(prog="bench.reports", description="Measure every report.")
    parser.add_argument("events", nargs="*", type=int, default=[1_000_000, 12_000_000])
    parser.add_argument("--out", type=Path, default=report.RESULTS, help="directory of what is written")
    asked = parser.parse_args()
    with running() as servers:
        texts = [report.heading(report.surroundings(servers))]
        plans = ""
        for events in asked.events:
            with servers.fresh(port=free_port()) as settings:
                made = history.fill(settings, events, datetime.now(UTC).date() - timedelta(days=1))
                with web(settings):
                    found = [_measure(settings, one, made) for one in REPORTS]
                texts.append(_table(made, found))
                plans = _plans(settings, made)
                print(texts[-1], flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "reports.md").write_text("\n\n".join(texts) + "\n")
    (asked.out / "reports-plans.txt").write_text(plans)
    return 0


def _measure(settings: Settings, one: Report, made: Made) -> Found:
    """One after the other over one connection, each about days of its own."""
    spans = _spans(made)
    times = []
    client = HTTPConnection("127.0.0.1", settings.port, timeout=60)  # httpx takes 2 ms for itself
    with closing(client):
        for number in range(_ASKED + 5):
            path = _path(one, next(spans))
            began = time.perf_counter()
            client.request("GET", path)
            answer = client.getresponse()
            said = answer.read()
            taken = (time.perf_counter() - began) * 1000
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status} {said[:200]!r}")
            if number >= 5:  # the first ones open connections and fill caches
                times.append(taken)
    p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    found = Found(one, p50, p95, _raw(settings, one, spans))
    print(f"{one.name:<26} p50 {p50:.1f} ms, p95 {p95:.1f} ms, raw {found.raw_ms or 0:.0f} ms", flush=True)
    return found


def _raw(settings: Settings, one: Report, spans: Iterator[date]) -> float | None:
    if one.raw is None:
        return None
    times = []
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("SET enable_nestloop = off")  # which it takes for what it believes to be few rows
        for _ in range(_ASKED_RAW):
            start = next(spans)
            bounds = {"starts": start, "ends": start + timedelta(days=_DAYS), "zone": history.ZONE}
            values = {name: value for name, value in bounds.items() if f"%({name})s" in RAW[one.raw]}
            began = time.perf_counter()
            connection.execute(RAW[one.raw], values).fetchall()
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def _spans(made: Made) -> Iterator[date]:
    """First days of spans, in an order that is the same each time."""
    firsts = [made.first + timedelta(days=n) for n in range((made.last - made.first).days - _DAYS)]
    random.Random(7).shuffle(firsts)
    while True:
        yield from firsts


def _path(one: Report, start: date) -> str:
    end = start + timedelta(days=_DAYS - 1)
    span = f"end={end}" if "weeks=" in one.path else f"start={start}&end={end}"
    return f"/api/stats/{one.path}{span}"


def _table(made: Made, found: list[Found]) -> str:
    head = (
        f"{made.events:,} events over {history.DAYS} days, made in {made.seconds:.0f} s and rolled up in "
        f"{made.rollup_seconds:.0f} s; each report {_ASKED} times about {_DAYS} days, the raw question {_ASKED_RAW}"
    )
    columns = ("report", "p50 ms", "p95 ms", "bar ms", "verdict", "raw ms", "raw over p95")
    lines = [report.line(*columns), report.line(*["---"] * len(columns))]
    for one in found:
        raw = "" if one.raw_ms is None else f"{one.raw_ms:,.0f}"
        ratio = "" if one.ratio is None else f"{one.ratio:,.0f}"
        bar = f"{one.report.bar_ms:g}"
        lines.append(report.line(one.report.name, f"{one.p50:.1f}", f"{one.p95:.1f}", bar, one.verdict, raw, ratio))
    return "\n".join([head, "", *lines])


def _plans(settings: Settings, made: Made) -> str:
    """How Postgres answers each query of each report; raises RuntimeError where one reads events that must not."""
    start = made.last - timedelta(days=_DAYS)
    texts = []
    with db.reading(settings, db.Scope("default"), statement_seconds_max=60) as connection:
        for one in REPORTS:
            texts.append(f"== {one.name}: {_path(one, start)}\n")
            for query, values in _queries(settings, _path(one, start)):
                rows = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {query}", values, prepare=False)
                plan = "\n".join(row[0] for row in rows)
                if " on events" in plan and not one.path.startswith("events?"):
                    raise RuntimeError(f"{one.name} reads events:\n{plan}")
                texts.append(f"{query}\n\n{plan}\n")
    return "\n".join(texts)


def _queries(settings: Settings, path: str) -> list[tuple[Any, dict[str, Any]]]:
    """What a report asks of Postgres, found by asking it once in this process."""
    from tripstream.app import create

    with _recorded() as found:
        transport = httpx.ASGITransport(create(settings), client=("127.0.0.1", 50_000))

        async def ask() -> None:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
                (await client.get(path)).raise_for_status()

        asyncio.run(ask())
    return [pair for pair in found if "site_id" in str(pair[0])]


@contextmanager
def _recorded() -> Iterator[list[tuple[Any, dict[str, Any]]]]:
    found: list[tuple[Any, dict[str, Any]]] = []
    execute = psycopg.Cursor.execute

    def recording(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        if isinstance(params, dict):
            found.append((query, params))
        return execute(self, query, params, **more)

    psycopg.Cursor.execute = recording  # type: ignore[method-assign]  # it goes on as before, told
    try:
        yield found
    finally:
        psycopg.Cursor.execute = execute  # type: ignore[method-assign]  # as it was


if __name__ == "__main__":
    sys.exit(main())
