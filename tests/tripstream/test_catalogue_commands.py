"""`tripstream seed` and `tripstream import-trips`, as people call them."""

from __future__ import annotations

from pathlib import Path

from schema import db
from schema.settings import Settings
from tests.tripstream.test_cli import tripstream

HEADER = "template_key,company,title_en,type,countries,difficulty,base_price,duration_days,starts_on,seats\n"


def counted(settings: Settings) -> int:
    with db.connect(settings) as connection:
        return connection.execute("SELECT count(*) FROM trip_occurrences").fetchall()[0][0]


def test_a_catalogue_is_seeded_once_and_only_replaced_when_asked(settings: Settings) -> None:
    known = {"DATABASE_URL": settings.database_url}
    done = tripstream("seed", "--occurrences", "40", **known)
    assert (done.returncode, counted(settings)) == (0, 40), done.stderr
    assert "40 departures" in done.stdout
    again = tripstream("seed", "--occurrences", "30", **known)
    assert (again.returncode, counted(settings)) == (2, 40)
    assert "--replace" in again.stderr and again.stderr.count("\n") == 1
    assert tripstream("seed", "--occurrences", "30", "--replace", **known).returncode == 0
    assert counted(settings) == 30


def test_a_file_is_imported_or_every_bad_line_is_told(settings: Settings, tmp_path: Path) -> None:
    known = {"DATABASE_URL": settings.database_url}
    path = tmp_path / "trips.csv"
    path.write_text(HEADER + "a,Mine,Alps,Trekking,CH,2,1500,8,2027-06-01,12\nb,Mine,Alps,Trekking,UK,2,1,8,x,12\n")
    done = tripstream("import-trips", str(path), **known)
    assert (done.returncode, counted(settings)) == (1, 0)
    assert done.stderr.splitlines() == [
        "tripstream: nothing was imported, for 2 reasons:",
        "line 3: countries: 'UK' is no ISO 3166 alpha-2 code",
        "line 3: starts_on: is no day like 2027-03-31",
    ]
    path.write_text(path.read_text().replace("UK", "GB").replace(",x,", ",2027-07-01,"))
    done = tripstream("import-trips", str(path), **known)
    assert (done.returncode, counted(settings)) == (0, 2), done.stderr
    assert done.stdout == "2 trips with 2 departures are in the catalogue\n"
