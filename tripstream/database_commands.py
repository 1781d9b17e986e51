"""The commands that open Postgres' own programs on our database: dsn, psql, pg_dump.

In: settings, and arguments for the program. Out: the program in our place, so that pipes, signals and exit code are
its own. The programs are those of the wheel that brings the embedded server: a pg_dump older than its server refuses.
"""

from __future__ import annotations

import os

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
    """Back our database up: tripstream pg_dump [pg_dump's options] > FILE."""
    _become("pg_dump", context.args)


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
