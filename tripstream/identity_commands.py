"""Who somebody is, and that somebody is not: `tripstream identity show`, `tripstream identity unlink`.

In: a visitor's id, a registered id, an email or a user's number. Out: tables; links undone, and rows moved back.
"""

from __future__ import annotations

import getpass
from typing import Annotated

import msgspec
import typer

from schema import settings as config
from schema.errors import NotFound
from tripstream.figure_commands import _print, console
from tripstream.running import connect

identity = typer.Typer(help="Visitors, registered users, and the links between them.", no_args_is_help=True)
Value = Annotated[str, typer.Argument(help="A visitor's id, a registered id, an email, or a user's number.")]


@identity.command("show")
def show(
    value: Value,
    site_id: Annotated[str | None, typer.Option("--site", help="Only this site's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Show the user, everything that stands for it, and what was linked, joined and unlinked."""
    from schema import db
    from workers import unlinking

    settings = connect(config.load())
    with db.wrapped(), db.connect(settings) as connection:
        shown = unlinking.show(connection, site_id, value)
    if not shown.identities:
        raise NotFound(f"Nobody is known as {value}.")
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(shown._asdict(), enc_hook=str), indent=2).decode())
        return
    for title, rows in shown._asdict().items():
        _print(title, rows)


@identity.command("unlink")
def unlink(
    value: Annotated[str, typer.Argument(help="The visitor's id, or the email, whose links are wrong.")],
    auth: Annotated[str | None, typer.Option("--from", help="Only the link to this registered id.")] = None,
    site_id: Annotated[str, typer.Option("--site", help="The site.")] = "default",
) -> None:
    """Undo links: events go back as if they had never been there. What is sent from now on may link again."""
    from schema import db
    from workers import unlinking

    settings = connect(config.load())
    with db.wrapped(), db.connect(settings, statement_seconds_max=240) as connection:
        undone = unlinking.unlink(connection, site_id, value, auth, by=getpass.getuser())
    if not undone:
        raise NotFound(f"Site {site_id} has no such link: see `tripstream identity show {value}`.")
    console.print(f"{undone} links undone", highlight=False)
