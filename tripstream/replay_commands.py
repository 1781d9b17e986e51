"""`tripstream replay FILE`: real impressions and clicks, over HTTP. In: a file. Out: a progress bar and a summary."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from schema import settings as config
from tripstream.figure_commands import console

app = typer.Typer()


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="An Open Bandit file: see data/open-bandit.")],
    speed: Annotated[float, typer.Option(help="Times the recorded pace; 0: as fast as it goes.", min=0)] = 0,
    url: Annotated[str | None, typer.Option(help="Where to post. Default: the configured host and port.")] = None,
    write_key: Annotated[str | None, typer.Option(help="Of the site to post to. Default: the open site.")] = None,
    size: Annotated[int, typer.Option(help="Events in a batch.", min=1, max=100)] = 100,
) -> None:
    """Post a file of real impressions and clicks. Doing it twice changes no figure."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    from tripstream import replay as replaying

    settings = config.load()
    rows = replaying.read(file)
    total = len(rows) + sum(row.click for row in rows)
    began = time.monotonic()
    with Progress(BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console) as bars:
        task = bars.add_task("events", total=total)
        counts = replaying.send(
            url or f"http://{settings.host}:{settings.port}",
            replaying.batches(rows, time.time(), size),
            speed,
            write_key,
            lambda n: bars.advance(task, n),
        )
    seconds = time.monotonic() - began
    console.print(
        f"{counts['accepted']} accepted, {counts['rejected']} rejected, {counts['busy']} times busy, in {seconds:.1f} s"
    )
