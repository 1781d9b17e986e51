"""Does this speak of that person? In: JSON, text or bytes of any origin, and who is looked for. Out: yes or no.

Ids that say by themselves that they are ids are looked for anywhere; short ones only where an id is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import msgspec

from workers.people import Person
from workers.tombstones import ID_NAMES

_TELLING = 8  # characters: a shorter id is also a word or a number in somebody else's text


def telling(names: Iterable[str]) -> list[str]:
    """Ids that may be looked for inside of texts: long enough, and no plain word."""
    return [name for name in names if len(name) >= _TELLING and re.search(r"[\d@]", name)]


def pattern(names: Iterable[str]) -> str:
    """A regular expression, the same to Postgres and Python, that finds these ids but not within longer ones."""
    found = "|".join(re.sub(r"([^\w@-])", r"\\\1", name) for name in sorted(names))
    return rf"(?<![\w-])({found})(?![\w-])"


class Mentions:
    """Looks for one person."""

    def __init__(self, person: Person) -> None:
        ids = [*person.names, *person.sessions]
        self._whole = {name.lower() for name in ids}
        self._telling = telling(ids)
        self._search: Callable[[str], Any] = (
            re.compile(pattern(self._telling), re.IGNORECASE).search if self._telling else lambda _: None
        )
        self._bytes = [found for name in self._telling for found in _in_bytes(name)]

    def text(self, text: str) -> bool:
        """Whether a text is or holds one of the ids that are looked for anywhere."""
        return self._search(text) is not None

    def json(self, value: Any) -> bool:
        """The same of any text in JSON, keys too; of short ids and numbers under the name of an id."""
        waiting: list[tuple[Any, Any]] = [(None, value)]
        while waiting:
            name, one = waiting.pop()
            if isinstance(one, dict):
                waiting += [*((None, key) for key in one), *one.items()]
            elif isinstance(one, list | tuple):
                waiting += [(name, inner) for inner in one]
            elif isinstance(one, str | int) and self._says(name, str(one)):
                return True
        return False

    def _says(self, name: Any, text: str) -> bool:
        return self.text(text) or (name in ID_NAMES and text.lower() in self._whole)

    def raw(self, raw: bytes) -> bool:
        """The same of bytes, which may be JSON; also an id in the sixteen bytes that queued entries write it in."""
        try:
            if self.json(msgspec.json.decode(raw)):
                return True
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        lowered = raw.lower()
        return any(found in raw or found in lowered for found in self._bytes)


def _in_bytes(name: str) -> list[bytes]:
    try:
        return [name.lower().encode(), UUID(name).bytes]
    except ValueError:
        return [name.encode(), name.lower().encode()]
