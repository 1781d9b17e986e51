"""The commands about the database as a whole: dsn, psql, pg_dump, backup, restore.

In: settings, and arguments. psql and pg_dump take our place, so that pipes, signals and exit code are their own. The
programs are those of the wheel that brings the embedded server: a pg_dump older than its server refuses.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from schema import settings as config
from tripstream.running import connect

app = typer.Typer()
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command()
def dsn() -> None:
    """Print the Postgres URL in use, for programs of yours."""
    typer.echo(connect(config.load(), "database_url").database_url)


@app.command(context_settings=_PASSED_ON)
def psql(context: typer.Context) -> None:
    """Open psql on our database: tripstream psql [psql's options]."""
    _become("psql", context.args)


@app.command("pg_dump", context_settings=_PASSED_ON)
def pg_dump(context: typer.Context) -> None:
    """Open pg_dump on our database: tripstream pg_dump [pg_dump's options] > FILE."""
    _become("pg_dump", context.args)


@app.command()
def backup(file: Annotated[Path, typer.Argument(help="A new file; readable by nobody else.")]) -> None:
    """Write everything that Postgres holds into one file."""
    from schema import db
    from tripstream.backup import backup as write

    with db.wrapped():
        done = write(connect(config.load()), file)
    typer.echo(f"{done.path}: {done.events:,} events, {done.size / 1e6:.1f} MB")
    if done.queued:
        typer.echo(f"not in it: {done.queued} batches that were still queued in Redis")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `tripstream backup` wrote.")],
    replace: Annotated[bool, typer.Option("--replace", help="Also where the database holds events.")] = False,
) -> None:
    """Put a backup in place of what the database holds, then verify it."""
    from schema import db
    from tripstream.backup import restore as load
    from tripstream.figure_commands import progress, told

    with db.wrapped(), progress() as tell:
        report = load(connect(config.load()), file, tell, replace=replace)
    told(report)


def _become(name: str, arguments: list[str]) -> None:
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from schema import db
    from tripstream import binaries

    parts = conninfo_to_dict(db.checked_url(connect(config.load(), "database_url")))
    password = parts.pop("password", None)  # not where `ps` shows it to everyone
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    program = str(binaries.postgres_client(name))
    url = make_conninfo("", **parts)
    os.execve(program, [program, f"--dbname={url}", *arguments], environment)  # noqa: S606 no shell is wanted
