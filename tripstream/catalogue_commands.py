"""Commands that fill the catalogue: seed, import-trips. In: a number, or a file. Out: rows, a bar and a summary."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from schema import settings as config
from tripstream.figure_commands import console
from tripstream.running import connect

app = typer.Typer()


@app.command()
def seed(
    occurrences: Annotated[
        int, typer.Option(help="Departures; trips a tenth. 0 with --replace: none.", min=0, max=10_000_000)
    ] = 10_000,
    replace: Annotated[bool, typer.Option(help="Delete the catalogue that is there.")] = False,
    seed: Annotated[int, typer.Option(help="Another number makes another catalogue.")] = 1,
) -> None:
    """Fill the catalogue with trips to try things on."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    from recommender import seed as seeding
    from schema import db

    settings = connect(config.load(), "database_url")
    began = time.monotonic()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with db.wrapped(), db.connect(settings, "owner") as connection, Progress(*columns, console=console) as bars:
        task = bars.add_task("occurrences", total=occurrences)
        today = datetime.now(UTC).date()
        seeding.fill(
            connection, occurrences, today, seed=seed, replace=replace, progress=lambda n: bars.advance(task, n)
        )
    console.print(f"{occurrences} departures in {time.monotonic() - began:.1f} s")


@app.command("import-trips")
def import_trips(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSON lines (.jsonl). README lists the columns.")],
) -> None:
    """Load trips of your own, all of them or none. What was imported before is updated."""
    from recommender import importing
    from schema import db

    settings = connect(config.load(), "database_url")
    with db.wrapped(), db.connect(settings) as connection:
        done = importing.load_file(connection, file)
    console.print(f"{done.templates} trips with {done.occurrences} departures are in the catalogue")
