"""The commands that look: status, doctor, verify; and those that recompute: rollup, rebuild, reclassify, migrate.

In: settings. Out: tables and one-line verdicts on standard output; exit code 1 when something is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schema import settings as config
from schema.errors import ConfigError
from schema.settings import Settings
from tripstream.running import connect

if TYPE_CHECKING:
    from workers.verify import Report  # psycopg, datasketches

app = typer.Typer()
_TURNED_SHOWN = 20
console = Console(width=None if sys.stdout.isatty() else 160)


@app.command()
def status() -> None:
    """Show backlog, rates, failures by type and reason, freshness, and the last run of each chore."""
    from reports import status as figures  # psycopg
    from schema import db, sites, stream
    from workers import agents

    settings = _settings()
    with (
        db.wrapped(),
        db.connect(settings) as connection,
        db.connect(settings, "tripstream_monitor") as monitor,
        stream.connect(settings.streams_url) as redis,
    ):
        queue = figures.queue(redis, settings)
        fresh = figures.freshness(monitor)
        minute, hour = figures.rates(monitor)
        console.print(f"backlog    {queue.batches} batches, oldest {queue.oldest_seconds:.1f} s")
        console.print(f"memory     {queue.memory_share:.0%} of Redis' limit")
        outbox = figures.outbox(monitor)
        console.print(
            f"outbox     {outbox.pending} pending, oldest {outbox.oldest_seconds:.1f} s; {outbox.failed} failed"
        )
        console.print(f"rate       {minute:.1f} events/s over a minute, {hour:.1f} over an hour")
        console.print("asked      {} recommendations in an hour, {} without a result".format(*figures.asked(monitor)))
        console.print(f"freshness  last stored {_ago(fresh.last_drained)}, newest rolled-up hour {fresh.newest_hour}")
        console.print(f"waiting    {fresh.dirty_hours} hours and {fresh.dirty_days} days for the next rollup")
        console.print("identities {} wait to be moved; {} failed".format(*figures.marked(monitor)))
        if outdated := agents.outdated(connection):
            console.print(f"agents     {outdated} user agents were judged by older rules: `tripstream reclassify`")
        _print("events by site and lane", figures.drained(monitor))
        _print("chores", figures.chores(monitor))
        refused = [
            {"site": site, "event type and reason": reason, "refused": n}
            for site in sites.ids(connection)
            for reason, n in sorted(stream.rejected(redis, site).items())
        ]
        _print("refused in a response", refused)
        _print("identities that cannot be moved", figures.unmoved(connection))
        _print("dead letters", figures.dead_by_reason(connection))
        _print("stored though it does not fit its schema", figures.schema_warnings(monitor))


@app.command()
def doctor() -> None:
    """Check versions, durability, memory, migrations, disk, workers and clock, and say what to do about each."""
    from tripstream.doctor import examine  # psycopg

    findings = examine(_settings())
    for finding in findings:
        mark = {True: "[green]ok[/]  ", False: "[red]FAIL[/]", None: "[yellow]warn[/]"}[finding.good]
        console.print(f"{mark} {finding.what}: {finding.found}", highlight=False)
        if not finding.good:
            console.print(f"     -> {finding.advice}", highlight=False)
    raise typer.Exit(int(any(finding.good is False for finding in findings)))


@app.command()
def verify() -> None:
    """Prove that accepted = stored + duplicate + dead + discarded + queued, and that counters and rollups are right."""
    from schema import db
    from workers import verify as verification  # psycopg, datasketches

    with db.wrapped(), progress() as tell:
        report = verification.verify(_settings(), tell)
    told(report)


def told(report: Report) -> NoReturn:
    """Print what a verification found, and end with its exit code."""
    _print("promise 3", [site._asdict() | {"residual": site.residual} for site in report.sites])
    for problem in report.problems:
        console.print(f"[red]differs[/] {problem}", highlight=False)
    console.print("everything agrees" if not report.problems else f"{len(report.problems)} problems")
    raise typer.Exit(int(bool(report.problems)))


@app.command()
def rebuild() -> None:
    """Recompute every counter and rollup from events, and put them in place in one transaction."""
    from schema import db
    from workers import verify as verification  # psycopg, datasketches

    with db.wrapped(), progress() as tell:
        verification.rebuild(_settings(), tell)
    console.print("rebuilt")


@app.command()
def reclassify(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
) -> None:
    """Judge every user agent again by the present rules, and restate what counted bots as people or people as bots."""
    from schema import db
    from workers import reclassify as judging  # psycopg, datasketches

    with db.wrapped(), progress() as tell:
        report = judging.reclassify(_settings(), tell, dry_run=dry_run)
    rows = [{"user agent": one.user_agent[:90], "is": one.bot_reason or "no bot", "events": one.events}
            for one in report.turned[:_TURNED_SHOWN]]  # fmt: skip
    _print("user agents that turned out to be bots, or none", rows)
    if len(report.turned) > _TURNED_SHOWN:
        console.print(f"and {len(report.turned) - _TURNED_SHOWN} more")
    would = "would change" if dry_run else "changed"
    console.print(f"{report.agents} user agents judged again, {report.changed} verdicts {would}")
    console.print(f"{report.events} events {would}" + ("" if dry_run else f", and {report.requests} requests"))


@app.command()
def rollup(
    day: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Also this day, though nothing in it changed.")
    ] = None,
    site_id: Annotated[str | None, typer.Option("--site", help="With --day: only of this site.")] = None,
) -> None:
    """Roll up what changed since the last time; the clock does this every minute."""
    from schema import db
    from workers import rollup as rolling  # psycopg, datasketches

    if site_id is not None and day is None:
        raise ConfigError("--site needs --day: say which day of the site to roll up again")
    with db.wrapped(), db.connect(_settings(), statement_seconds_max=0) as connection, progress() as tell:
        if day is not None:
            rolling.mark(connection, day.date(), site_id)
        done = rolling.run_once(connection, lambda at, total: tell("buckets", at, total))
    console.print(f"{done.hours} hours and {done.days} days rolled up")


@app.command()
def migrate(
    demo: Annotated[int, typer.Option(help="Fill a catalogue that never had a trip with so many departures.")] = 0,
) -> None:
    """Bring the database to this version's schema and publish the registry; needs Postgres' owner."""
    from recommender import seed
    from schema import db, sites
    from schema import migrate as migrations  # Alembic
    from workers import upkeep

    settings = _settings()
    migrations.upgrade(settings)
    sites.announce(settings)
    upkeep.partitions(settings)  # a version's new tables lack their months, and the chore may have run today
    typer.echo(f"the schema is at {migrations.head()}")
    if demo:
        with db.wrapped(), db.connect(settings, "owner") as connection:
            is_loaded = seed.fill_new(connection, demo, datetime.now(UTC).date())
        if is_loaded:
            typer.echo(f"loaded a demo catalogue of {demo} departures")


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar per step on standard error; the function it yields is told (step, done, total)."""
    from rich.progress import Progress

    tasks: dict[str, Any] = {}
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as bars:

        def tell(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step)
            bars.update(tasks[step], completed=done, total=total)

        yield tell


def _settings() -> Settings:
    return connect(config.load())


def _ago(at: datetime | None) -> str:
    return "never" if at is None else f"{(datetime.now(UTC) - at).total_seconds():.1f} s ago"


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        console.print(f"{title}: none")
        return
    table = Table(*rows[0], title=title, title_justify="left", box=None, header_style="bold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else escape(str(value))
