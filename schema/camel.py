"""How answers and requests name their fields in JSON: camelCase. In: nothing. Out: pydantic's settings for a model."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

CAMEL = ConfigDict(alias_generator=to_camel, populate_by_name=True)
CAMEL_ONLY_KNOWN = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")
