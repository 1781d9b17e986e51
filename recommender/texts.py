"""What is said of templates and seldom changes, as JSON that answers take as it is. In: rows of the query `texts`. Out:
bytes by template, kept until the template changes.

Fresh says what changed, within two seconds of the commit. A type, a theme or a country that only gets another name
tells nobody: such names are half a minute old at most. What changes while a query is under way is not kept, because the
query may have begun before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from recommender.wire import encode

_SECONDS_MAX = 30.0
_BYTES_MAX = 32 << 20
_ENTRY_BYTES = 200  # what Python takes for one, besides its text


class Text(msgspec.Struct, rename="camel"):
    """A row of the query `texts`; country, type and tags are JSON already."""

    template_id: int
    title_en: str
    title_he: str
    description_en: str
    description_he: str
    duration_days: int
    difficulty: int
    country: msgspec.Raw
    more_countries: list[str]
    type: msgspec.Raw
    tags: msgspec.Raw


class Kept(NamedTuple):
    """A text, and when it was read."""

    text: bytes
    read_at: float


class Texts:
    """Written to by the event loop, and emptied by the catalogue's thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[int, Kept] = {}  # the oldest first
        self._bytes = 0
        self.generation = 0  # of what is kept: raised by each change

    def of(self, template_ids: Iterable[int]) -> dict[int, bytes]:
        """Those that are kept."""
        with self._lock:
            self._drop_old()
            return {one: self._kept[one].text for one in template_ids if one in self._kept}

    def keep(self, found: Mapping[int, bytes], generation: int) -> None:
        """`generation`: when the query began. If anything changed meanwhile, nothing is kept."""
        with self._lock:
            if generation != self.generation:
                return
            for template_id, text in found.items():
                self._drop(template_id)
                self._kept[template_id] = Kept(text, self._clock())
                self._bytes += len(text) + _ENTRY_BYTES
            self._drop_old()

    def forget(self, template_ids: Collection[int] | None) -> None:
        """These changed; None: anything may have."""
        with self._lock:
            self.generation += 1
            for template_id in list(self._kept) if template_ids is None else template_ids:
                self._drop(template_id)

    def _drop_old(self) -> None:
        oldest = self._clock() - _SECONDS_MAX
        while self._kept:
            template_id, kept = next(iter(self._kept.items()))
            if kept.read_at > oldest and self._bytes <= _BYTES_MAX:
                return
            self._drop(template_id)

    def _drop(self, template_id: int) -> None:
        if kept := self._kept.pop(template_id, None):
            self._bytes -= len(kept.text) + _ENTRY_BYTES


def encoded(row: Sequence[Any]) -> bytes:
    """The members of a JSON object, without its braces."""
    *plain, country, more_countries, kind, tags = row
    said = Text(*(*plain, _json(country), more_countries, _json(kind), _json(tags)))
    return encode(said)[1:-1]


def _json(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())
