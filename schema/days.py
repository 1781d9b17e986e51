"""A day as people write it. In: text. Out: a date, or that it is no day."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator


def _day(value: object) -> object:
    """A day and nothing else: pydantic would take a number for seconds since 1970."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        raise ValueError("is no day like 2027-03-31")
    return value


Day = Annotated[date, BeforeValidator(_day)]
