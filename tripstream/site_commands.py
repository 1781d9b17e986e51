"""Sites, and what could not be stored for them: `tripstream site …`, `tripstream deadletters …`.

In: arguments. Out: tables, one letter as JSON, or a line per replay. A key is shown once, when it is made.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
import typer

from schema import settings as config
from schema.errors import ConfigError
from schema.settings import Settings
from tripstream.figure_commands import _print, console
from tripstream.running import connect

site = typer.Typer(help="Sites and their keys.", no_args_is_help=True)
deadletters = typer.Typer(help="Events that could not be stored.", no_args_is_help=True)


@site.command("add")
def add(
    site_id: Annotated[str, typer.Argument(help="Short id: a-z, 0-9, - and _.")],
    name: Annotated[str, typer.Option(help="Name for people.")] = "",
    time_zone: Annotated[str, typer.Option(help="Where its days begin and end.")] = "UTC",
    origin: Annotated[list[str] | None, typer.Option(help="Allowed origin; repeat it. Default: any.")] = None,
    open_to: Annotated[str, typer.Option(help="Who may post without a key: nobody, loopback, everyone.")] = "nobody",
    strict: Annotated[bool, typer.Option(help="Refuse unknown event types and sources.")] = False,
) -> None:
    """Add a site and print its write key, once."""
    from schema import sites, stream

    values = {
        "site_id": site_id,
        "name": name or site_id,
        "time_zone": time_zone,
        "origins": origin or ["*"],
        "open_to": open_to,
        "strict": strict,
    }
    with _postgres(role="owner") as (connection, settings):
        key = sites.add_site(connection, values)
        with stream.connect(settings.streams_url) as redis:
            sites.publish(settings, redis)
    console.print(f"site {site_id} added; its write key, shown only now:")
    typer.echo(key)


@site.command("key")
def key(
    site_id: Annotated[str, typer.Argument(help="The site's id.")],
    role: Annotated[str, typer.Option(help="What it is for: read (figures) or write (events).")] = "read",
) -> None:
    """Make one more key of a site and print it, once."""
    from schema import sites, stream

    with _postgres(role="owner") as (connection, settings):
        made = sites.add_key(connection, site_id, role)
        with stream.connect(settings.streams_url) as redis:
            sites.publish(settings, redis)
    console.print(f"a {role} key of site {site_id}, shown only now:")
    typer.echo(made)


@site.command("list")
def list_() -> None:
    """List sites."""
    from schema import sites

    with _postgres() as (connection, _):
        _print("sites", sites.listed(connection))


@deadletters.command("list")
def list_dead(
    site_id: Annotated[str | None, typer.Option("--site", help="Only this site's.")] = None,
    state: Annotated[str, typer.Option(help="dead, replayed, duplicate or all.")] = "dead",
    limit: Annotated[int, typer.Option(help="At most this many, newest first.")] = 50,
) -> None:
    """List dead letters, newest first."""
    from workers import deadletters as letters

    with _postgres() as (connection, _):
        _print("dead letters", letters.listed(connection, site_id, None if state == "all" else state, limit))


@deadletters.command("show")
def show(dead_letter_id: int) -> None:
    """Show one dead letter as JSON."""
    from workers import deadletters as letters

    with _postgres() as (connection, _):
        letter = letters.show(connection, dead_letter_id)
    raw = letter.pop("raw")
    if letter["event"] is None:
        letter |= {"raw_base64": raw, "not_replayable": letters.why_kept(letter)}
    typer.echo(msgspec.json.format(msgspec.json.encode(letter, enc_hook=str), indent=2).decode())


@deadletters.command("patch")
def patch(
    dead_letter_id: int,
    changes: Annotated[str, typer.Argument(help="Fields to change, as JSON: '{\"trip_id\": 7}'; null clears one.")],
) -> None:
    """Change fields of a dead event, so that a replay can store it."""
    from workers import deadletters as letters

    try:
        fields = msgspec.json.decode(changes, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ConfigError(f'changes must be a JSON object like {{"trip_id": 7}}: {error}') from None
    with _postgres() as (connection, _):
        letters.patch(connection, dead_letter_id, fields)
    console.print(f"dead letter {dead_letter_id} patched; `tripstream deadletters replay {dead_letter_id}` stores it")


@deadletters.command("replay")
def replay(
    ids: Annotated[list[int] | None, typer.Argument(help="Which ones.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are dead.")] = False,
    site_id: Annotated[str | None, typer.Option("--site", help="With --all: only this site's.")] = None,
) -> None:
    """Store dead events after all. Doing it twice stores nothing twice."""
    from workers import deadletters as letters

    if bool(ids) == everything:
        raise ConfigError("say which dead letters to replay, or --all")
    with _postgres() as (connection, settings):
        wanted = letters.open_ids(connection, site_id) if everything else ids or []
        done = letters.replay(connection, wanted, settings)
    for result in done:
        reason = f": {result.reason}" if result.reason else ""
        console.print(f"{result.dead_letter_id} {result.verdict}{reason}", highlight=False)
    sys.exit(int(any(result.verdict == "dead" for result in done)))


@contextmanager
def _postgres(role: Any = "tripstream_writer") -> Iterator[tuple[Any, Settings]]:
    from schema import db

    settings = connect(config.load())
    with db.wrapped(), db.connect(settings, role) as connection:
        yield connection, settings
