"""Real input: the replayed files' clicks and impressions, counted by the product and counted by hand."""

from __future__ import annotations

import csv
import gzip
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest
import uvicorn

from schema import sites
from schema.errors import ConfigError
from schema.settings import Settings
from tests.ingest.serving import drain, select
from tripstream import replay, serve
from tripstream.app import create
from workers import verify

DATA = Path(__file__).parents[2] / "data" / "open-bandit"


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    """A real HTTP server in front of the test's database."""
    sites.announce(settings)
    listener = serve.listen(settings.model_copy(update={"port": 0}))
    server = uvicorn.Server(uvicorn.Config(create(settings), log_config=None))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def counted_by_hand(*names: str) -> dict[int, tuple[int, int]]:
    """Impressions and clicks per trip, straight from the files."""
    shown: Counter[int] = Counter()
    clicked: Counter[int] = Counter()
    for name in names:
        with gzip.open(DATA / name, "rt") as lines:
            for row in csv.DictReader(lines):
                shown[int(row["item_id"]) + 1] += 1
                clicked[int(row["item_id"]) + 1] += int(row["click"])
    return {trip: (shown[trip], clicked[trip]) for trip in shown}


def counted_by_tripstream(settings: Settings) -> dict[int, tuple[int, int]]:
    rows = select(settings, "SELECT trip_id, impression_count, click_count FROM trip_interactions")
    return {trip: (shown, clicked) for trip, shown, clicked in rows}


def replayed(address: str, name: str) -> Counter[str]:
    rows = replay.read(DATA / name)
    return replay.send(address, replay.batches(rows, time.time(), 100), 0, None, lambda _: None)


@pytest.mark.parametrize("name", ["random-all.csv.gz", "bts-all.csv.gz"])
def test_after_a_replay_the_trip_counters_are_the_files_own_counts(settings: Settings, address: str, name: str) -> None:
    counts = replayed(address, name)
    assert drain(settings) == counts["accepted"]
    assert counts["rejected"] == 0
    assert counted_by_tripstream(settings) == counted_by_hand(name)
    assert verify.verify(settings, lambda *_: None).problems == []


def test_replaying_a_file_twice_changes_no_figure(settings: Settings, address: str) -> None:
    figures = "SELECT * FROM trip_interactions ORDER BY trip_id", "SELECT * FROM sessions ORDER BY session_id"
    replayed(address, "bts-all.csv.gz")
    drain(settings)
    once = [select(settings, query) for query in figures]
    replayed(address, "bts-all.csv.gz")
    drain(settings)
    assert [select(settings, query) for query in figures] == once
    assert counted_by_tripstream(settings) == counted_by_hand("bts-all.csv.gz")


def test_the_order_and_the_pace_between_rows_are_kept_and_the_last_row_lies_an_hour_back() -> None:
    rows = replay.read(DATA / "random-all.csv.gz")
    now = 1_800_000_000.0
    sent = [event for _, batch in replay.batches(rows, now, 100) for event in batch]
    shown = [event for event in sent if event["event_type"] == "impression"]
    times = [replay.datetime.fromisoformat(event["client_timestamp"]).timestamp() for event in shown]
    assert [event["trip_id"] - 1 for event in shown] == [row.item_id for row in rows]
    assert max(times) == pytest.approx(now - 3600, abs=1e-5)
    assert [b - a for a, b in pairwise(times)] == pytest.approx([b.at - a.at for a, b in pairwise(rows)], abs=1e-5)


def test_a_file_that_is_no_such_file_is_refused_with_its_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    header = (
        "timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3"
    )
    broken.write_text(f"{header}\n2019-11-24 00:00:00+00:00,x,1,0,0.1,a,b,c,d\n")
    with pytest.raises(ConfigError, match="line 2"):
        replay.read(broken)
    broken.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="lacks the columns"):
        replay.read(broken)
    with pytest.raises(ConfigError, match="cannot be read"):
        replay.read(tmp_path / "nowhere.csv")
