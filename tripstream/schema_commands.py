"""The schema registry: `tripstream schema list|add|check|types`.

In: files. Out: tables, the new version with what it makes stricter, lines that do not fit, or type declarations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from schema.errors import ConfigError
from tripstream.figure_commands import _print, console
from tripstream.site_commands import _postgres

schema = typer.Typer(help="JSON Schemas of event types.", no_args_is_help=True)


@schema.command("list")
def list_() -> None:
    """List the types that have a schema, with their marks and what lenient sites stored in spite of it."""
    from schema import schemas

    with _postgres() as (connection, _):
        _print("schemas", schemas.listed(connection))


@schema.command("add")
def add(
    event_type: Annotated[str, typer.Argument(metavar="TYPE", help="The event type; an unknown one is registered.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON Schema of the whole event.")],
    category: Annotated[str | None, typer.Option(help="Of a new type: interaction, transaction, …")] = None,
    retention: Annotated[str | None, typer.Option(help="How long its events are kept, like '2 years'.")] = None,
    personal: Annotated[list[str] | None, typer.Option(help="A field with personal data: metadata.phone.")] = None,
) -> None:
    """Add the next version of a type's schema, and say what it makes stricter."""
    from schema import schemas, sites, stream

    marks = schemas.Marks(category, retention, personal or ())
    with _postgres(role="owner") as (connection, settings):
        version, reasons = schemas.add(connection, event_type, _text(file), marks)
        with stream.connect(settings.streams_url) as redis:
            sites.publish(settings, redis)
    console.print(f"{event_type} has version {version} of its schema; drains hold events to it within a second")
    if version > 1:
        console.print("stricter than the former version:" if reasons else "it takes whatever the former version took")
    for reason in reasons:
        console.print(f"  {reason}", highlight=False, markup=False)


@schema.command("check")
def check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Events as JSON, one a line.")],
    event_type: Annotated[str | None, typer.Option("--type", help="The type of events that name none.")] = None,
) -> None:
    """Hold events, as they would be posted to /api/events, to the schemas. Stores nothing; exit code 1 for a misfit."""
    from schema import schemas
    from workers.fits import Fits, compile_all

    fits = Fits()
    with _postgres() as (connection, _):
        fits.types = compile_all(schemas.versions(connection))
    if event_type is not None and event_type not in fits.types:
        raise ConfigError(f"{event_type} has no schema: see `tripstream schema list`")
    fitting = free = wrong = 0
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        event, why = _read(line, event_type)
        if event is not None:
            why = fits.misfit(event)
            free += event.event_type not in fits.types
        if why:
            typer.echo(f"line {number}: {why}")
        wrong, fitting = wrong + bool(why), fitting + (not why)
    console.print(f"{fitting} fit, {free} of them without a schema; {wrong} do not", highlight=False)
    raise typer.Exit(int(wrong > 0))


@schema.command("types")
def types(
    language: Annotated[str | None, typer.Argument(help="typescript or python. Default: one after the other.")] = None,
) -> None:
    """Print types of all events that have a schema, for programs that send them."""
    from schema import schemas
    from schema.declarations import LANGUAGES

    if language not in (None, *LANGUAGES):
        raise ConfigError(f"{language!r} is not known here: {' or '.join(LANGUAGES)}")
    with _postgres() as (connection, _):
        found = {name: (one.version, one.schema) for name, one in schemas.newest(connection).items()}
    for name in [language] if language else LANGUAGES:
        typer.echo(LANGUAGES[name]().document(found))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8 text") from None


def _read(line: str, event_type: str | None) -> tuple[Any, str | None]:
    """The event as the native dialect understands it, or what is wrong with it. Ids that are missing are made up: they
    are not what a file of examples is about."""
    from ingest.dialects import native
    from ingest.rules import Context
    from schema.event import now
    from schema.registry import Registry, SiteRule
    from schema.settings import Settings

    try:
        item = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        return None, f"not JSON: {error}"
    if isinstance(item, dict):
        nobody = str(UUID(int=0))
        given = {} if event_type is None else {"event_type": event_type}
        item = dict.fromkeys(("event_id", "session_id", "anonymous_id"), nobody) | given | item
    rule = SiteRule([], "nobody", strict=False)
    known = Registry({}, {}, frozenset(), frozenset())
    context = Context("default", rule, known, Settings(accept_window_days=3650, dedupe_window_days=3650), now())
    parsed = native.parse([item], None, context, True)
    if parsed.rejected:
        return None, parsed.rejected[0].message
    return parsed.events[0], None
