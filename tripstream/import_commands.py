"""`tripstream import umami|plausible|list|undo`: history from elsewhere. In: a file and a site. Out: what it holds, and
the number under which it can be taken back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schema import settings as config
from schema.settings import Settings
from tripstream.figure_commands import _print, console, progress
from tripstream.running import connect

if TYPE_CHECKING:
    from workers.imports import Preview

imports = typer.Typer(help="History from elsewhere.", no_args_is_help=True)
Site = Annotated[str, typer.Option(help="Whose history it is.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only look, and say what would come.")]


@imports.command("umami")
def umami(
    file: Annotated[Path, typer.Argument(help="Umami's export: website_event.csv, or the zip that it is in.")],
    site: Site = "default",
    dry_run: DryRun = False,
) -> None:
    """Bring Umami's events, all of them or none."""
    from schema.event import now
    from workers import imports as importing

    settings, at = _settings(), now()
    with _wrapped():
        _told(importing.preview(settings, file, site, at))
        if dry_run:
            console.print("nothing was imported: this was a dry run")
            return
        done = importing.run(settings, file, site, at)
    console.print(f"import {done.import_id}: {done.events} events are queued; the workers store them")


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
    from workers import imports as importing

    with _wrapped(), progress() as tell:
        events = importing.undo(_settings(), import_id, tell)
    console.print(f"import {import_id} is undone: {events} events were removed")


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
