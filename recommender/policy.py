"""Every weight and threshold of the rules, in one table. In: nothing. Out: WEIGHTS, and the name under which its
answers are logged: whoever changes a number raises VERSION, so that logged answers say which rules made them. The
README's table of points is generated from it.
"""

from __future__ import annotations

from typing import NamedTuple

from schema.asked import LOW_SCORE

POLICY = "rules"
VERSION = 1


class Weights(NamedTuple):
    """Points, and the limits at which they are given. Shares are of the asked budget, in percent."""

    base: int = 30
    themes_several: int = 25
    themes_one: int = 12
    themes_none: int = -15
    difficulty_exact: int = 15
    duration_within: int = 12
    duration_near: int = 8
    duration_near_days: int = 4
    price_within: int = 12
    price_close: int = 8
    price_close_percent: int = 110
    price_above: int = 5
    price_above_percent: int = 120
    price_max_percent: int = 130
    guaranteed: int = 7
    last_places: int = 15
    soon: int = 7
    soon_days: int = 30
    country: int = 15
    continent: int = 5
    difficulty_reach: int = 1
    results: int = 10
    relax_below: int = 6
    relaxed: int = -15
    relaxed_type: int = -10
    relaxed_months: int = 2
    relaxed_difficulty_reach: int = 2
    relaxed_price_max_percent: int = 150
    focused_filters: int = 2
    low_score: int = LOW_SCORE


WEIGHTS = Weights()


def table(w: Weights = WEIGHTS) -> str:
    """The points as a Markdown table, for the README."""
    rows = (
        ("every trip that fits", w.base),
        ("themes asked for: two or more; one; none", w.themes_several, w.themes_one, w.themes_none),
        ("exactly the difficulty asked for", w.difficulty_exact),
        (f"duration as asked; at most {w.duration_near_days} days off", w.duration_within, w.duration_near),
        (
            f"price within the budget; up to {w.price_close_percent} % of it; up to {w.price_above_percent} %",
            *(w.price_within, w.price_close, w.price_above),
        ),
        ("status Last Places; Guaranteed", w.last_places, w.guaranteed),
        (f"leaves within {w.soon_days} days", w.soon),
        ("a country asked for; else a continent asked for", w.country, w.continent),
        ("found by the relaxed search; of another type besides", w.relaxed, w.relaxed_type),
    )
    lines = (f"| {what} | {'; '.join(f'{n:+}' for n in points)} |" for what, *points in rows)
    return "\n".join(["| what | points |", "|---|---|", *lines])
