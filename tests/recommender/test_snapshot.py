"""What a snapshot is made of, what it refuses, and its file: whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recommender import columns, snapshot_file
from recommender.columns import OccurrenceArrays, TemplateArrays
from recommender.snapshot import Snapshot
from recommender.trips import STATUSES, Trip
from schema.errors import NoSnapshot
from tests.recommender.catalogues import CONTINENTS, TODAY, trip

SEVERAL = [
    trip(3, template_id=7, countries=("FR", "IL"), theme_ids=frozenset({1, 63})),
    trip(1, template_id=9, status="Last Places", price=5),
    trip(2, template_id=7, countries=("FR", "IL"), theme_ids=frozenset({1, 63}), starts_on=TODAY),
    trip(4, template_id=9, status="Full"),
]


def trips_of(snapshot: Snapshot) -> list[Trip]:
    count = len(snapshot.columns.occurrence_id)
    return [columns.trip(snapshot.columns, snapshot.places, row) for row in range(count)]


def arrays() -> tuple[TemplateArrays, OccurrenceArrays]:
    templates = TemplateArrays(
        np.array([9, 7]), [["FR"], ["IL", "FR"]], np.array([1, 1]), np.array([2, 2 + 2**63], np.uint64),
        np.array([2, 2]), np.array([10, 10]),
    )  # fmt: skip
    occurrences = OccurrenceArrays(
        np.array([one.occurrence_id for one in SEVERAL]),
        np.array([one.template_id for one in SEVERAL]),
        np.array([one.starts_on for one in SEVERAL], "datetime64[D]"),
        np.array([one.price for one in SEVERAL]),
        np.array([STATUSES.index(one.status) for one in SEVERAL], np.int8),
    )
    return templates, occurrences


def test_trips_come_out_as_they_went_in_by_departure_then_id_without_those_not_bookable() -> None:
    assert trips_of(Snapshot.of(SEVERAL, CONTINENTS)) == [SEVERAL[2], SEVERAL[1], SEVERAL[0]]


def test_arrays_make_the_same_snapshot_as_trips() -> None:
    assert trips_of(Snapshot.from_columns(*arrays(), CONTINENTS)) == trips_of(Snapshot.of(SEVERAL, CONTINENTS))


def test_an_occurrence_without_its_template_is_refused() -> None:
    templates, occurrences = arrays()
    with pytest.raises(ValueError, match="has no template"):
        Snapshot.from_columns(templates, occurrences._replace(template_id=np.array([7, 9, 8, 9])), CONTINENTS)
    nothing = TemplateArrays(np.array([]), [], np.array([]), np.array([]), np.array([]), np.array([]))
    with pytest.raises(ValueError, match="has no template"):
        Snapshot.from_columns(nothing, occurrences, CONTINENTS)


def test_a_country_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no such country: ZZ"):
        Snapshot.of([trip(countries=("FR", "ZZ"))], CONTINENTS)


def test_changed_trips_to_a_country_newer_than_the_snapshot_are_left_out() -> None:
    news = [trip(8, template_id=7, countries=("FR", "ZZ")), trip(5, template_id=6)]
    after = Snapshot.of(SEVERAL, CONTINENTS).with_changes(news, [7])
    assert after.changed == {7: (), 6: (news[1],)}
    assert len(after.parts) == 2


def test_every_country_of_the_world_has_a_bit_of_its_own() -> None:
    world = {f"{a}{b}": "EU" if a < "N" else "AS" for a in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" for b in "ABCDEFGHIJ"}
    trips = [trip(number, countries=(country,)) for number, country in enumerate(world, 1)]
    assert trips_of(Snapshot.of(trips, world)) == trips


def test_changes_leave_the_snapshot_they_were_made_from_as_it_was() -> None:
    before = Snapshot.of(SEVERAL, CONTINENTS)
    after = before.with_changes([trip(8, template_id=7)], [9])
    assert (before.changed, len(before.parts)) == ({}, 1)
    assert (after.columns is before.columns, sorted(after.changed)) == (True, [7, 9])


def test_columns_cannot_be_written_to_once_mapped(tmp_path: Path) -> None:
    Snapshot.of(SEVERAL, CONTINENTS).write(tmp_path / "file")
    with pytest.raises(ValueError, match="read-only"):
        Snapshot.map(tmp_path / "file").columns.price[0] = 1


def test_a_mapped_snapshot_stays_when_its_file_is_replaced(tmp_path: Path) -> None:
    Snapshot.of(SEVERAL, CONTINENTS).write(tmp_path / "file")
    mapped = Snapshot.map(tmp_path / "file")
    Snapshot.of([], CONTINENTS).write(tmp_path / "file")
    assert trips_of(mapped) == trips_of(Snapshot.of(SEVERAL, CONTINENTS))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_snapshot_with_changes_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="build it anew"):
        Snapshot.of(SEVERAL, CONTINENTS).with_changes([], [7]).write(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_short_anywhere_or_with_a_byte_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    Snapshot.of(SEVERAL, CONTINENTS).write(path)
    whole = path.read_bytes()
    for length in (0, 1, 15, 16, 300, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(NoSnapshot, match=r"too short|torn"):
            Snapshot.map(path)
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(NoSnapshot):
            Snapshot.map(path)


def test_a_foreign_file_and_one_of_another_format_are_refused_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a letter to someone else, and not a short one")
    with pytest.raises(NoSnapshot, match="is not a snapshot"):
        Snapshot.map(path)
    with monkeypatch.context() as patch:
        patch.setattr(snapshot_file, "VERSION", 99)
        Snapshot.of(SEVERAL, CONTINENTS).write(path)
    with pytest.raises(NoSnapshot, match="of format 99, this program reads format 1"):
        Snapshot.map(path)
    snapshot_file.write(path, {"places": [[], []]}, {"price": np.zeros(3)})
    with pytest.raises(NoSnapshot, match="other columns"):
        Snapshot.map(path)
