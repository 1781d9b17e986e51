"""The catalogue in memory: an immutable set of columns, and what changed since it was built beside it.

In: trips, arrays or a file. Out: Snapshot. A change makes another Snapshot that shares the columns: templates that
changed are hidden in them, and their trips stand in a small second set, which is built anew with each change. A search
over both finds what a search over a full rebuild would.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender import snapshot_file
from recommender.columns import Columns, OccurrenceArrays, Places, TemplateArrays, of_arrays, of_trips
from recommender.trips import Trip
from schema.errors import NoSnapshot


class Part(NamedTuple):
    """Columns, and which templates of theirs are hidden: none, or a mask over templates."""

    columns: Columns
    hidden: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Snapshot:
    """`label` is the builder's: what it wants to know of its file again. `changed` holds the trips of templates that
    changed, none for one that went."""

    columns: Columns
    places: Places
    label: str = ""
    changed: Mapping[int, tuple[Trip, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, trips: Iterable[Trip], continents: Mapping[str, str]) -> Snapshot:
        """From trips, one object each. `continents`: the continent of every country."""
        places = Places.of(continents)
        return cls(of_trips(trips, places), places)

    @classmethod
    def from_columns(
        cls, templates: TemplateArrays, occurrences: OccurrenceArrays, continents: Mapping[str, str]
    ) -> Snapshot:
        """From arrays: a million occurrences without an object each."""
        places = Places.of(continents)
        return cls(of_arrays(templates, occurrences, places), places)

    def with_changes(self, trips: Iterable[Trip], removed_template_ids: Iterable[int] = ()) -> Snapshot:
        """`trips`: all that the changed templates have now. A template that has none left counts as removed. Trips to
        a country that is newer than this snapshot are left out until one is built that knows it."""
        fresh: dict[int, list[Trip]] = {template: [] for template in removed_template_ids}
        for trip in trips:
            of_template = fresh.setdefault(trip.template_id, [])
            if self.places.numbers.keys() >= set(trip.countries):
                of_template.append(trip)
        changed = {**self.changed, **{template: tuple(found) for template, found in fresh.items()}}
        return replace(self, changed=changed)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What a search goes through: the columns, then the changes."""
        if not self.changed:
            return (Part(self.columns, None),)
        hidden = np.isin(self.columns.template_id, np.fromiter(self.changed, np.int64))
        news = of_trips((trip for found in self.changed.values() for trip in found), self.places)
        return Part(self.columns, hidden), Part(news, None)

    @cached_property
    def until(self) -> int:
        """The last day that anything leaves, since 1970-01-01."""
        return max((int(part.columns.starts_on[-1]) for part in self.parts if len(part.columns.starts_on)), default=0)

    def write(self, path: Path) -> None:
        """To one file, whole or not at all. Raises ValueError with changes, which a rebuild takes in."""
        if self.changed:
            raise ValueError("a snapshot with changes is not written: build it anew")
        metadata = {
            "places": [self.places.countries, self.places.continent_of],
            "label": self.label,
        }
        snapshot_file.write(path, metadata, self.columns._asdict())

    @classmethod
    def map(cls, path: Path) -> Snapshot:
        """From its file, without a copy. Raises NoSnapshot for a torn or foreign one."""
        metadata, columns = snapshot_file.read(path)
        countries, continent_of = metadata["places"]
        places = Places(tuple(countries), tuple(continent_of))
        return cls(_whole(path, columns), places, metadata["label"])


def _whole(path: Path, columns: dict[str, NDArray[Any]]) -> Columns:
    if columns.keys() != set(Columns._fields):
        raise NoSnapshot(f"{path} has other columns than this program")
    return Columns(**columns)
