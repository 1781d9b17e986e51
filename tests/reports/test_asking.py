"""How every question about days is asked and answered, on the one about a site at a glance."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from schema import answers, sheet, sketch
from tests.make import uid
from tests.reports.asking import STRANGER, Get, key_of
from tests.workers.pipeline import Pipeline, visit

PATH = "/api/stats/overview"


def fill(pipe: Pipeline, day: str, views: int, site_id: str = "default") -> None:
    """So many page views of one visitor on a day, as its rollup writes them."""
    pipe.connection.execute(
        "INSERT INTO daily_stats VALUES (%s, %s, %s, 1, '{}', %s)", (site_id, day, views, sketch.of(["v"]))
    )
    pipe.connection.execute(
        "INSERT INTO daily_events SELECT %s, %s, event_type_id, %s, 1, %s FROM event_types"
        " WHERE event_type = 'page_view'",
        (site_id, day, views, sketch.of(["v"])),
    )


def rolled_up(pipe: Pipeline, at: str) -> None:
    pipe.connection.execute("UPDATE rolled_up SET as_of = %s", (at,))


def test_the_empty_site_has_no_figures_and_no_moment(get: Get) -> None:
    found = get(PATH)
    assert found.status_code == 200, found.text
    shown = found.json()
    assert (shown["siteId"], shown["timeZone"], shown["asOf"], shown["isMoving"]) == ("default", "UTC", None, True)
    assert (shown["current"]["visitors"], shown["current"]["bounceRate"]) == (0, None)
    assert (shown["previous"]["events"], shown["change"]["pageViews"]) == (0, None)


SPANS = {
    "": ("2025-12-12", "2026-01-10"),
    "days=1": ("2026-01-10", "2026-01-10"),
    "start=2026-01-08": ("2026-01-08", "2026-01-10"),
    "start=2026-02-08": ("2026-02-08", "2026-02-08"),
    "end=2025-12-31&days=31": ("2025-12-01", "2025-12-31"),
    "start=2025-12-01&days=2": ("2025-12-01", "2025-12-02"),
    "start=2024-02-29&end=2024-02-29": ("2024-02-29", "2024-02-29"),
    "start=1970-01-01&days=3660": ("1970-01-01", "1980-01-08"),
    "end=9900-12-31": ("9900-12-02", "9900-12-31"),
    "end=1970-01-01&days=3660": ("1959-12-26", "1970-01-01"),
}


def test_two_of_first_last_and_how_many_say_which_days(get: Get) -> None:
    for query, span in SPANS.items():
        shown = get(f"{PATH}?{query}").json()
        assert (shown["start"], shown["end"]) == span, query


WRONG = {
    "days=0": "days",
    "days=3661": "days",
    "days=x": "days",
    "start=yesterday": "start",
    "start=1767225600": "start",
    "end=2026-02-30": "end",
    "end=9999-12-31": "end",
    "start=1969-12-31": "start",
    "start=2026-01-02&end=2026-01-01": "start",
    "start=2000-01-01&end=2026-01-01": "start",
    "start=2026-01-01&end=2026-01-01&days=1": "days",
    "format=xls": "format",
    "strat=2026-01-01": "strat",
}
NULS = {"types?type=%00": "type.0", "owners?owner=a%00": "owner", "top?by=share&share=%00": "share"}


def test_a_wrong_parameter_is_named(get: Get) -> None:
    for query, field in WRONG.items():
        found = get(f"{PATH}?{query}")
        assert (found.status_code, found.json()["code"]) == (422, "invalid_request"), query
        assert [one["field"] for one in found.json()["fields"]] == [field], query
        assert "Value error" not in found.text and "permitted" not in found.text
    for path, field in NULS.items():
        found = get(f"/api/stats/{path}")
        assert (found.status_code, [one["field"] for one in found.json()["fields"]]) == (422, [field]), path


@pytest.mark.parametrize("path", ["top?by=path", "trips", "owners", "groups"])
def test_a_page_beyond_the_last_row_says_how_many_rows_there_are(pipe: Pipeline, get: Get, path: str) -> None:
    pipe.send(*(visit(n, 1, path=f"/{n}", owner_code=f"o{n}", trip_id=n + 1) for n in range(3)))
    pipe.roll_up()
    query = f"/api/stats/{path}{'&' if '?' in path else '?'}limit=2&offset="
    for offset, rows in ((0, 2), (2, 1), (3, 0), (900, 0)):
        found = get(f"{query}{offset}")
        assert (found.json()["total"], found.headers["x-total"], len(found.json()["rows"])) == (3, "3", rows), offset


def test_figures_say_until_when_they_are_complete_and_whether_they_move(pipe: Pipeline, get: Get) -> None:
    rolled_up(pipe, "2026-01-10 11:59:30+00")
    fill(pipe, "2026-01-09", 3)
    today, yesterday = get(f"{PATH}?days=1"), get(f"{PATH}?end=2026-01-09&days=1")
    assert (today.json()["asOf"], today.json()["isMoving"]) == ("2026-01-10T11:59:30Z", True)
    assert (yesterday.json()["isMoving"], yesterday.headers["x-is-moving"]) == (False, "false")
    assert yesterday.headers["x-as-of"] == "2026-01-10T11:59:30+00:00"
    assert (yesterday.json()["current"]["pageViews"], today.json()["previous"]["pageViews"]) == (3, 3)
    assert today.json()["change"]["pageViews"] == -1
    pipe.connection.execute("INSERT INTO dirty_days VALUES ('default', '2026-01-09'), ('other', '2026-01-08')")
    assert get(f"{PATH}?end=2026-01-09&days=1").json()["isMoving"] is True
    assert get(f"{PATH}?end=2026-01-08&days=1").json()["isMoving"] is False


def test_who_has_the_figures_already_gets_304_until_they_change(pipe: Pipeline, get: Get) -> None:
    query = f"{PATH}?end=2026-01-09"
    rolled_up(pipe, "2026-01-10 11:00+00")
    tag = get(query).headers["etag"]
    assert tag.startswith('W/"')
    rolled_up(pipe, "2026-01-10 11:01+00")
    for sent in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        again = get(query, **{"if-none-match": sent})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), sent
        assert again.headers["x-as-of"] == "2026-01-10T11:01:00+00:00"
        assert again.headers["cache-control"] == "private, max-age=60"
    assert get(query, accept="text/csv", **{"if-none-match": tag}).status_code == 200
    fill(pipe, "2026-01-09", 1)
    assert get(query, **{"if-none-match": tag}).status_code == 200


def test_figures_come_as_csv_where_they_are_asked_for_so(pipe: Pipeline, get: Get) -> None:
    fill(pipe, "2026-01-10", 7)
    found = get(f"{PATH}?days=1&format=csv", accept="application/json")
    assert found.headers["content-type"] == "text/csv; charset=utf-8"
    assert found.headers["content-disposition"] == 'attachment; filename="overview-default-2026-01-10-2026-01-10.csv"'
    (row,) = csv.DictReader(io.StringIO(found.text))
    assert (row["siteId"], row["start"], row["current.pageViews"]) == ("default", "2026-01-10", "7")
    assert (row["current.bounceRate"], row["current.seconds.p95"]) == ("", "")
    assert "asOf" not in row
    assert get(f"{PATH}?format=json", accept="text/csv").headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    {
        "": "json",
        "*/*": "json",
        "text/html,*/*;q=0.8": "json",
        "text/csv": "csv",
        "TEXT/CSV; charset=utf-8": "csv",
        "application/json, text/csv;q=0.9": "json",
        "application/json;q=0.5, text/csv": "csv",
        "text/csv;q=0": "json",
    }.items(),
)
def test_accept_asks_for_csv_where_it_names_it(accept: str, chosen: str) -> None:
    assert answers.accepted(accept) == chosen


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("+1+1", "'+1+1"), ("-cmd", "'-cmd"), ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"), ("\rx", "'\rx"), ("\n=1", "'\n=1"), (" =1+1", "' =1+1"), ("＝1+1", "'＝1+1"),
        ("-5", "-5"), ("+5.5", "+5.5"), ("-1e3", "-1e3"), (-5, "-5"), (-0.5, "-0.5"), ("a=b", "a=b"), ("", ""),
        (None, ""), (True, "true"), ("שלום", "שלום"), ([1, "a"], '[1,"a"]'), ("-٣", "'-٣"),
        (uid(1), str(uid(1))),
    ],
)  # fmt: skip
def test_a_cell_never_begins_like_a_formula(value: Any, cell: str) -> None:
    assert sheet.cell(value) == cell


def test_a_csv_has_the_columns_of_all_rows_and_reads_back(get: Get) -> None:
    rows: list[dict[str, Any]] = [{"a": 'x,"y"\r\nz', "in": {"n": 1}}, {"a": None, "in": {"m": 2}, "=b": "c"}]
    text = sheet.write(rows, ["first"])
    assert text.splitlines()[0] == "first,a,in.n,in.m,'=b"
    assert [*csv.reader(io.StringIO(text, newline=""))][1:] == [["", 'x,"y"\r\nz', "1", "", ""], ["", "", "", "2", "c"]]


def test_every_column_of_a_csv_is_some_rows(get: Get) -> None:
    (columns, row, *_) = csv.reader(io.StringIO(get("/api/metrics/daily?format=csv").text))
    assert "filters.geography.requests" in columns
    assert not {"filters", "filters.requests", "filters.rate"} & {*columns}
    assert len(row) == len(columns) == len({*columns})


def test_a_read_key_reads_its_own_site_and_a_write_key_nothing(pipe: Pipeline, get: Get) -> None:
    keys = {role: key_of(pipe, "shop", role) for role in ("read", "write")}
    fill(pipe, "2026-01-10", 7)
    fill(pipe, "2026-01-10", 2, "shop")
    shown = get(PATH, STRANGER, authorization=f"Bearer {keys['read']}").json()
    assert (shown["siteId"], shown["current"]["pageViews"]) == ("shop", 2)
    assert get(PATH, STRANGER, authorization=f"Bearer {keys['write']}").status_code == 403
    assert get(PATH, STRANGER).status_code == get(PATH, STRANGER, authorization="Bearer nonsense").status_code == 401
    assert get(PATH).json()["current"]["pageViews"] == 7
