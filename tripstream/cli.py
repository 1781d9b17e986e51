"""The command line: `tripstream <command>`.

In: arguments and the environment. Out: an exit code: 0; 2 for a wrong setting; 1 for anything else that goes wrong,
each told in one line on stderr.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import typer

from schema import settings as settings_module
from schema.errors import ConfigError, TripstreamError
from tripstream import (
    catalogue_commands,
    database_commands,
    evaluation_commands,
    figure_commands,
    identity_commands,
    import_commands,
    owner_commands,
    privacy_commands,
    replay_commands,
    retention_commands,
    run_commands,
    schema_commands,
    site_commands,
    tail_commands,
)

# Commands import what they need when they run: `tripstream dsn` answers in 0.3 s, and the drain never loads FastAPI.


class _CommandLine(typer.Typer):
    @cache  # noqa: B019 there is one, for as long as we live
    def commands(self) -> Callable[..., Any]:
        return typer.main.get_command(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.commands()(*args, **kwargs)
        except Exception as error:
            if not (line := _in_one_line(error)):
                raise
            typer.echo(f"tripstream: {line}", err=True)
            raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None


def _in_one_line(error: Exception) -> str:
    """What to say of an error that comes from outside; nothing for one of ours, whose stack is wanted."""
    from psycopg import Error  # here, because it takes a tenth of a second, and so does redis
    from redis.exceptions import RedisError

    from schema.db import first_line

    if isinstance(error, TripstreamError):
        return error.message
    where = "Redis" if isinstance(error, RedisError) else "Postgres" if isinstance(error, Error) else ""
    return where and f"{where}: {first_line(error)}"


app = _CommandLine(
    help="First-party events and recommendations for trip marketplaces.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def up() -> None:
    """Run everything on this machine: servers, web, workers, clock."""
    from tripstream.up import up as run  # the supervisor, the servers

    raise typer.Exit(run(settings_module.load()))


@app.command("admin-key")
def admin_key() -> None:
    """Print the admin key in use, for calls that change things."""
    from tripstream.running import connect

    typer.echo(connect(settings_module.load()).admin_key.get_secret_value())


for _commands in (
    database_commands,
    run_commands,
    catalogue_commands,
    figure_commands,
    evaluation_commands,
    replay_commands,
    tail_commands,
    privacy_commands,
):
    app.add_typer(_commands.app)
site_commands.site.add_typer(owner_commands.owner, name="owner")
app.add_typer(site_commands.site, name="site")
app.add_typer(identity_commands.identity, name="identity")
app.add_typer(import_commands.imports, name="import")
app.add_typer(site_commands.deadletters, name="deadletters")
app.add_typer(retention_commands.retention, name="retention")
app.add_typer(schema_commands.schema, name="schema")
