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


Site = Annotated[str, typer.Argument(help="The site's id.")]
Origins = Annotated[list[str] | None, typer.Option(help="Allowed origin; repeat it. Default: any.")]
_OPEN = "Who may post without a key: nobody, loopback, everyone."
_SIGNALS = "Sec-GPC and DNT: honour (such a browser's events are not kept) or ignore."
_ROLE = "What it is for: write (events), read (figures) or admin (calls that change things)."
_UNTIL = "; default: the setting's; 0: no limit"
_AGAIN = "; -1: the setting's again"
_RAW = "Days that single interactions and activities are kept; figures stay for ever. Default: as their category."


def _limit(what: str, least: int = 0, more: str = _UNTIL) -> Any:
    return typer.Option(min=least, max=(1 << 31) - 1, help=what + more + ".")


@site.command("add")
def add(
    site_id: Annotated[str, typer.Argument(help="Short id: a-z, 0-9, - and _.")],
    name: Annotated[str, typer.Option(help="Name for people.")] = "",
    time_zone: Annotated[str, typer.Option(help="Where its days begin and end.")] = "UTC",
    origin: Origins = None,
    open_to: Annotated[str, typer.Option(help=_OPEN)] = "nobody",
    strict: Annotated[bool, typer.Option(help="Refuse unknown event types and sources.")] = False,
    signals: Annotated[str, typer.Option(help=_SIGNALS)] = "ignore",
    raw_days: Annotated[int | None, typer.Option(min=1, max=36500, help=_RAW)] = None,
    key_rate: Annotated[int | None, _limit("Events a second of one key")] = None,
    key_burst: Annotated[int | None, _limit("Events at once of one key")] = None,
    address_rate: Annotated[int | None, _limit("Events a second of one address")] = None,
    address_burst: Annotated[int | None, _limit("Events at once of one address")] = None,
) -> None:
    """Add a site and print its write key, once."""
    from schema import sites

    values = {
        "site_id": site_id,
        "name": name or site_id,
        "time_zone": time_zone,
        "origins": origin or ["*"],
        "open_to": open_to,
        "strict": strict,
        "signals": signals,
        "raw_days": raw_days,
        "key_rate": key_rate,
        "key_burst": key_burst,
        "address_rate": address_rate,
        "address_burst": address_burst,
    }
    with _postgres(role="owner") as (connection, settings):
        made = sites.add_site(connection, values)
        _give(f"site {site_id} added; its write key", made)
        _publish(settings)


@site.command("change")
def change(
    site_id: Site,
    name: Annotated[str | None, typer.Option(help="Name for people.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Where its days begin and end from tomorrow on.")] = None,
    origin: Annotated[list[str] | None, typer.Option(help="Allowed origins from now on; * for any.")] = None,
    open_to: Annotated[str | None, typer.Option(help=_OPEN)] = None,
    strict: Annotated[bool | None, typer.Option(help="Refuse unknown event types and sources.")] = None,
    signals: Annotated[str | None, typer.Option(help=_SIGNALS)] = None,
    raw_days: Annotated[int | None, typer.Option(min=-1, max=36500, help=_RAW + " -1: that again.")] = None,
    key_rate: Annotated[int | None, _limit("Events a second of one key", -1, _AGAIN)] = None,
    key_burst: Annotated[int | None, _limit("Events at once of one key", -1, _AGAIN)] = None,
    address_rate: Annotated[int | None, _limit("Events a second of one address", -1, _AGAIN)] = None,
    address_burst: Annotated[int | None, _limit("Events at once of one address", -1, _AGAIN)] = None,
) -> None:
    """Change a site's rules and limits; what is not named stays."""
    from schema import sites

    changes = {
        "name": name,
        "time_zone": time_zone,
        "origins": origin or None,
        "open_to": open_to,
        "strict": strict,
        "signals": signals,
        "raw_days": raw_days,
        "key_rate": key_rate,
        "key_burst": key_burst,
        "address_rate": address_rate,
        "address_burst": address_burst,
    }
    with _postgres(role="owner") as (connection, settings):
        sites.change_site(connection, site_id, changes)
        _publish(settings)
        *_, (zone, since) = sites.zones(connection, site_id)
    console.print(f"site {site_id} changed")
    if time_zone is not None and since is not None:
        console.print(f"its days are those of {zone} from {since} on; those before stay as they are")


@site.command("key")
def key(
    site_id: Site,
    role: Annotated[str, typer.Option(help=_ROLE)] = "read",
    hours: Annotated[float | None, typer.Option(min=0, help="It ends after so long; default: never.")] = None,
) -> None:
    """Make one more key of a site and print it, once."""
    from schema import sites

    with _postgres(role="owner") as (connection, settings):
        made = sites.add_key(connection, site_id, role, hours)
        _give(f"a {role} key of site {site_id}", made)
        _publish(settings)


@site.command("rotate")
def rotate(
    site_id: Site,
    role: Annotated[str, typer.Option(help=_ROLE)] = "write",
    overlap_hours: Annotated[float, typer.Option(min=0, max=24 * 366, help="How long the old keys still work.")] = 24,
) -> None:
    """Make a new key and print it, once; the old ones of that role end after the overlap."""
    from schema import sites

    with _postgres(role="owner") as (connection, settings):
        made = sites.rotate(connection, site_id, role, overlap_hours)
        _give(f"the new {role} key of site {site_id}; the old ones end in {overlap_hours:g} hours", made)
        _publish(settings)


@site.command("revoke")
def revoke(site_id: Site, key_id: Annotated[int, typer.Argument(help="Its number in `site show`.")]) -> None:
    """End one key now."""
    from schema import sites

    with _postgres(role="owner") as (connection, settings):
        sites.revoke(connection, site_id, key_id)
        _publish(settings)
    console.print(f"key {key_id} of site {site_id} has ended")


@site.command("show")
def show_site(site_id: Site) -> None:
    """Show a site's rules, limits and keys, without the keys themselves."""
    from schema import registry, sites

    with _postgres(role="owner") as (connection, settings):
        rules, keys = sites.shown(connection, site_id)
    in_force = registry.limits(msgspec.convert(rules, registry.SiteRule), settings)._asdict()
    for name, value in rules.items():
        told = ", ".join(value) if isinstance(value, list) else value
        if name in in_force:
            told = in_force[name] if value is not None else f"{in_force[name]} (not set)"
        console.print(f"{name:13} {told}", highlight=False, markup=False)
    _print("keys", keys)


@site.command("list")
def list_() -> None:
    """List sites."""
    from schema import sites

    with _postgres() as (connection, _):
        _print("sites", sites.listed(connection))


@deadletters.command("list")
def list_dead(
    site_id: Annotated[str | None, typer.Option("--site", help="Only this site's.")] = None,
    state: Annotated[str, typer.Option(help="dead, replayed, duplicate, discarded or all.")] = "dead",
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


@deadletters.command("discard")
def discard(ids: Annotated[list[int], typer.Argument(help="Which ones.")]) -> None:
    """Give dead letters up: they count as discarded, and cannot be replayed any more."""
    from workers import deadletters as letters

    with _postgres() as (connection, _):
        console.print(f"{letters.discard(connection, ids)} discarded", highlight=False)


def _give(what: str, made: str) -> None:
    """Before anything else can fail: the key is nowhere else."""
    console.print(f"{what}, shown only now:", highlight=False)
    typer.echo(made)


def _publish(settings: Settings) -> None:
    """Where Redis is away, the clock publishes it when it is back."""
    from schema import sites, stream

    with stream.connect(settings.streams_url) as redis:
        sites.publish(settings, redis)


@contextmanager
def _postgres(role: Any = "tripstream_writer") -> Iterator[tuple[Any, Settings]]:
    from schema import db

    settings = connect(config.load())
    with db.wrapped(), db.connect(settings, role) as connection:
        yield connection, settings
