"""How requests and answers are written as JSON: camelCase, prices as numbers. In: values. Out: bytes."""

from __future__ import annotations

import msgspec
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

encode = msgspec.json.Encoder(decimal_format="number").encode
CAMEL = ConfigDict(alias_generator=to_camel, populate_by_name=True)
CAMEL_ONLY_KNOWN = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")
