"""What is not as a scenario expects it. In: Expected, and what a search answered. Out: sentences, or none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from recommender.policy import Weights
from recommender.scenarios import Expected
from recommender.trips import Found, Scored


class Answer(NamedTuple):
    """What the engine found, what a visitor would see of it, and how many filters were asked for."""

    found: Found
    shown: list[Scored]
    filters: int
    seconds: float


def differences(expected: Expected, answer: Answer, weights: Weights) -> Iterator[str]:
    """Each in a sentence."""
    yield from _of_counts(expected, answer)
    yield from _of_trips(expected, answer.shown)
    yield from _of_scores(expected, answer.shown)
    yield from _of_the_search(expected, answer, weights)


def _of_counts(expected: Expected, answer: Answer) -> Iterator[str]:
    count = len(answer.shown)
    if expected.count_min is not None and count < expected.count_min:
        yield f"{count} results, expected at least {expected.count_min}"
    if expected.count_max is not None and count > expected.count_max:
        yield f"{count} results, expected at most {expected.count_max}"
    if expected.candidates is not None and answer.found.candidates != expected.candidates:
        yield f"{answer.found.candidates} candidates, expected {expected.candidates}"


def _of_trips(expected: Expected, shown: list[Scored]) -> Iterator[str]:
    ids = [one.occurrence_id for one in shown]
    missing = [trip_id for trip_id in expected.must if trip_id not in ids]
    if missing:
        yield f"trip {_list(missing)} must be shown, but is not"
    for trip_id in expected.must_not:
        if trip_id in ids:
            at = ids.index(trip_id)
            yield f"trip {trip_id} must not be shown, but is at position {at + 1} with {_points(shown[at])}"
    if expected.order is not None and ids != expected.order:
        yield f"the order is {_list(ids)}, expected {_list(expected.order)}"


def _of_scores(expected: Expected, shown: list[Scored]) -> Iterator[str]:
    by_trip = {one.occurrence_id: one for one in shown}
    for trip_id, score in expected.scores.items():
        one = by_trip.get(trip_id)
        if one is None:
            yield f"trip {trip_id} is not shown, expected a score of {score}"
        elif one.score != score:
            yield f"trip {trip_id} has {_points(one)}, expected {score} ({one.score - score:+})"
    for one in shown:
        if expected.score_min is not None and one.score < expected.score_min:
            yield f"trip {one.occurrence_id} has {_points(one)}, expected at least {expected.score_min}"
        if expected.score_max is not None and one.score > expected.score_max:
            yield f"trip {one.occurrence_id} has {_points(one)}, expected at most {expected.score_max}"


def _of_the_search(expected: Expected, answer: Answer, weights: Weights) -> Iterator[str]:
    relaxed = [one.occurrence_id for one in answer.shown if one.is_relaxed]
    if expected.relaxed is True and not relaxed:
        yield "no result is relaxed, expected some"
    if expected.relaxed is False and relaxed:
        yield f"trip {_list(relaxed)} is a relaxed result, expected none"
    search_type = "focused_search" if answer.filters >= weights.focused_filters else "exploration"
    if expected.search_type not in (None, search_type):
        yield f"the search is {search_type}, expected {expected.search_type}"
    best = max((one.score for one in answer.shown), default=None)
    if expected.low_score is not None and (best is not None and best < weights.low_score) != expected.low_score:
        than = "less than" if expected.low_score else "no less than"
        yield f"the best score is {best}, expected {than} {weights.low_score}"


def _points(one: Scored) -> str:
    """Its score, and what it is made of."""
    return f"{one.score} points ({', '.join(f'{term.name} {term.points:+}' for term in one.terms)})"


def _list(ids: list[int]) -> str:
    return ", ".join(map(str, ids)) or "empty"
