"""`tripstream import umami|plausible|list|undo`: history from elsewhere. In: a file and a site. Out: what it holds, and
the number under which it can be taken back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schema import settings as config
from schema.settings import Settings
from tripstream.figure_commands import _print, console, progress
from tripstream.running import connect

if TYPE_CHECKING:
    from workers.imported_events import Preview

imports = typer.Typer(help="History from elsewhere.", no_args_is_help=True)
Site = Annotated[str, typer.Option(help="Whose history it is.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only look, and say what would come.")]


@imports.command("umami")
def umami(
    file: Annotated[Path, typer.Argument(help="Umami's export: website_event.csv, or the zip that it is in.")],
    site: Site = "default",
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Leave out what was before (UTC).")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Bring Umami's events, all of them or none."""
    from schema.event import now
    from workers import imported_events as importing

    settings, at = _settings(), now()
    with _wrapped():
        _told(importing.preview(settings, file, site, at, since))
        if dry_run:
            console.print("nothing was imported: this was a dry run")
            return
        done = importing.run(settings, file, site, at, since)
    console.print(f"import {done.import_id}: {done.events} events are queued; the workers store them")


@imports.command("plausible")
def plausible(
    file: Annotated[Path, typer.Argument(help="The zip that Plausible exports.")],
    site: Site = "default",
    dry_run: DryRun = False,
) -> None:
    """Bring Plausible's days, as far as the site has none of its own, all of them or none. They are closed days."""
    from workers import imported_days

    settings = _settings()
    with _wrapped():
        if dry_run:
            found = imported_days.preview(settings, file, site, datetime.now(UTC))
        else:
            import_id, found = imported_days.run(settings, file, site, datetime.now(UTC))
    first, last = found.days[0].date, found.days[-1].date
    console.print(f"{len(found.days)} days, {first} to {last}, with {found.page_views} page views")
    if found.left_out:
        console.print(f"{found.left_out} later days are left out: the site has figures of its own by then")
    console.print("nothing was imported: this was a dry run" if dry_run else f"import {import_id} is in place")


@imports.command("list")
def listing() -> None:
    """Show what was imported."""
    from schema import db
    from workers import imports as importing

    with _wrapped(), db.connect(_settings()) as connection:
        _print("imports", importing.listed(connection))


@imports.command("undo")
def undo(import_id: Annotated[int, typer.Argument(help="Its number: see `tripstream import list`.")]) -> None:
    """Take an import back, with its share of every figure. Draining waits meanwhile."""
    from schema import db
    from workers import imported_days, imported_events, imports, plausible

    settings = _settings()
    with _wrapped(), db.connect(settings) as connection:
        one = imports.one(connection, import_id)
    with _wrapped():
        if one.source == plausible.SOURCE:
            gone = f"{imported_days.take_back(settings, import_id)} days"
        else:
            with progress() as tell:
                gone = f"{imported_events.take_back(settings, import_id, tell)} events"
    console.print(f"import {import_id} is undone: {gone} were removed")


def _told(found: Preview) -> None:
    console.print(f"{found.rows} events of {found.visitors} visitors, {found.first:%Y-%m-%d} to {found.last:%Y-%m-%d}")
    _print("types", [{"event type": name, "events": n} for name, n in found.types.most_common(20)])


def _settings() -> Settings:
    return connect(config.load())


@contextmanager
def _wrapped() -> Iterator[None]:
    from schema import db  # psycopg

    with db.wrapped():
        yield
