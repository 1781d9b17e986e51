"""What people may ask of their data: `tripstream export-person`, `tripstream erase-person`, `tripstream erasure`.

In: one way to name a person. Out: a JSON document; an erasure, done now, and its receipt. Exit code 1 where something
remains.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer

from schema import settings as config
from schema.errors import ConfigError
from tripstream.running import connect

app = typer.Typer()
Site = Annotated[str, typer.Option("--site", help="The site.")]
User = Annotated[str | None, typer.Option("--user", help="A registered user's id, verified or claimed.")]
Visitor = Annotated[str | None, typer.Option("--anonymous-id", help="A browser's id (UUID).")]
Email = Annotated[str | None, typer.Option("--email", help="An email that came with a verified token, or as user id.")]


@app.command("export-person")
def export_person(
    site_id: Site = "default",
    user: User = None,
    anonymous_id: Visitor = None,
    email: Email = None,
    out: Annotated[Path | None, typer.Option(help="Write here, not to standard output; must not exist.")] = None,
) -> None:
    """Write everything that is kept of a person, as one JSON document."""
    from schema import db
    from workers import export, people

    settings, who = connect(config.load()), people.named(user, anonymous_id, email)
    with db.wrapped():
        pieces = export.export(settings, site_id, who)
        if out is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            return
        try:
            with out.open("xb") as file:
                file.writelines(pieces)
        except OSError as error:
            raise ConfigError(f"{out} cannot be written: {error.strerror}") from None


@app.command("erase-person")
def erase_person(
    site_id: Site = "default",
    user: User = None,
    anonymous_id: Visitor = None,
    email: Email = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
) -> None:
    """Make everything that is kept of a person nobody's; totals stay. Prints the receipt. It cannot be undone."""
    from schema import db
    from workers import erasure, people

    settings, who = connect(config.load()), people.named(user, anonymous_id, email)
    if not yes:
        typer.confirm(f"Erase {who.kind} {who.value} of site {site_id} for ever?", abort=True, err=True)
    with db.wrapped():
        with db.connect(settings) as connection:
            erasure_id = people.request(connection, site_id, who, by=getpass.getuser())
        _show(erasure.advance(settings, erasure_id))


@app.command("erasure")
def show_erasure(erasure_id: UUID) -> None:
    """Show what became of an erasure, going on with it where it is not finished."""
    from schema import db
    from workers import erasure

    settings = connect(config.load())
    with db.wrapped():
        _show(erasure.advance(settings, erasure_id))


def _show(receipt: dict[str, Any]) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(receipt, enc_hook=str), indent=2).decode())
    raise typer.Exit(int(receipt["state"] != "done"))
