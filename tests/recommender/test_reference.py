"""The reference API over HTTP: what there is to choose from, in order, in pages, kept for a moment."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from pydantic import TypeAdapter

from recommender import documented, reference, seed
from schema import db, migrate
from tests.conftest import Servers
from tests.ingest.serving import Server, serving

TODAY = date(2026, 3, 1)
LISTS = ("/api/guides", "/api/trip-types", "/api/tags")
PLACES = ("/api/locations", "/api/countries", "/api/countries/IL")
PAGES = ("/api/v2/templates", "/api/v2/occurrences")


@pytest.fixture(scope="module")
def shared(servers: Servers) -> Iterator[Server]:
    """An application with a catalogue that these tests only read."""
    with db.connect(servers.settings("postgres"), "owner") as connection:
        connection.execute("CREATE DATABASE reference")
    settings = servers.settings("reference")
    migrate.upgrade(settings)
    with db.connect(settings, "owner") as connection:
        seed.fill(connection, 600, TODAY)
        connection.execute("UPDATE trip_occurrences SET is_active = false WHERE occurrence_id = 3")
    with serving(settings) as server:
        yield server
    with db.connect(servers.settings("postgres"), "owner") as connection:
        connection.execute("DROP DATABASE reference WITH (FORCE)")


def get(server: Server, path: str, **params: Any) -> Any:
    answer = server.request("GET", path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(server: Server, path: str, **params: Any) -> dict[str, Any]:
    answer = server.request("GET", path, params=params)
    assert answer.status_code == 422, answer.text
    return answer.json()


def walk(server: Server, path: str, **params: Any) -> list[dict[str, Any]]:
    """Every page of it, one after another."""
    found = []
    while True:
        page = get(server, path, **params)
        found += page["items"]
        if not page["nextCursor"]:
            return found
        params["cursor"] = page["nextCursor"]


def one(server: Server, query: str) -> Any:
    with db.connect(server.settings, "tripstream_reader") as connection:
        return connection.execute(query).fetchall()[0][0]


def test_locations_are_all_continents_and_countries_in_two_languages(shared: Server) -> None:
    found = get(shared, "/api/locations")
    assert (len(found["continents"]), len(found["countries"])) == (7, 250)
    assert {"id": "IL", "nameEn": "Israel", "nameHe": "ישראל", "continent": "AS"} in found["countries"]
    assert found["continents"][0] == {"id": "AF", "nameEn": "Africa", "nameHe": "אפריקה"}
    names = [country["nameEn"] for country in found["countries"]]
    assert names[:3] == ["Afghanistan", "Åland Islands", "Albania"] and names[-1] == "Zimbabwe"


def test_countries_leave_antarctica_out_and_may_be_of_one_continent(shared: Server) -> None:
    everywhere = get(shared, "/api/countries")
    assert "AN" not in {country["continent"] for country in everywhere}
    assert "AQ" not in {country["id"] for country in everywhere} and len(everywhere) > 240
    europe = get(shared, "/api/countries", continent="EU")
    assert {country["continent"] for country in europe} == {"EU"} and len(europe) > 40
    assert get(shared, "/api/countries", continent="AN") == []
    assert refused(shared, "/api/countries", continent="XX")["fields"][0]["field"] == "continent"


def test_a_country_is_found_by_its_code_in_any_case(shared: Server) -> None:
    expected = {"id": "AQ", "nameEn": "Antarctica", "nameHe": "אנטארקטיקה", "continent": "AN"}
    assert get(shared, "/api/countries/AQ") == get(shared, "/api/countries/aq") == expected
    for code in ("UK", "ISR", "1", "%00", "é", "ß"):
        answer = shared.request("GET", f"/api/countries/{code}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_lists_are_alphabetical_and_hold_who_works(shared: Server) -> None:
    for path, count in zip(LISTS, (57, 12, 20), strict=True):
        found = get(shared, path)
        names = [row["nameEn"].casefold() for row in found]
        assert names == sorted(names) and len(names) == count
        assert all(row["nameHe"] and isinstance(row["id"], int) for row in found)
    assert {"id": 2, "code": "trekking", "nameEn": "Trekking", "nameHe": "טרקים"} in get(shared, "/api/trip-types")


@pytest.mark.parametrize("path", PAGES)
def test_pages_together_are_everything_once_and_in_order(shared: Server, path: str) -> None:
    found = walk(shared, path, limit=17)
    ids = [row["id"] for row in found]
    assert len(ids) == len(set(ids))
    if path == PAGES[0]:
        assert len(ids) == one(shared, "SELECT count(*) FROM trip_templates AS t JOIN companies AS c USING (company_id)"
                               " WHERE t.is_active AND c.is_active")  # fmt: skip
        keys = [(row["titleEn"].lower().encode(), row["id"]) for row in found]
    else:
        assert len(ids) > 500 and 3 not in ids
        keys = [(row["startsOn"], row["id"]) for row in found]
    assert keys == sorted(keys)
    assert len(get(shared, path)["items"]) == 50
    assert get(shared, path, limit=200)["items"] == found[:200]


def test_a_template_is_shown_with_all_that_hangs_on_it(shared: Server) -> None:
    template = next(row for row in walk(shared, PAGES[0], limit=200) if row["moreCountries"])
    assert template.keys() == {
        "id", "titleEn", "titleHe", "descriptionEn", "descriptionHe", "companyId", "company", "typeId",
        "primaryCountry", "moreCountries", "tagIds", "difficulty", "basePrice", "durationDays",
    }  # fmt: skip
    assert isinstance(template["basePrice"], float) and len(template["tagIds"]) >= 2
    occurrence = get(shared, PAGES[1], templateId=template["id"], limit=1)["items"][0]
    assert occurrence["titleHe"] == template["titleHe"]
    assert occurrence.keys() == {
        "id", "templateId", "titleEn", "titleHe", "startsOn", "endsOn", "price", "guideId", "seats", "seatsLeft",
        "status",
    }  # fmt: skip


def test_filters_narrow_what_is_found_and_none_is_ignored(shared: Server) -> None:
    everything = walk(shared, PAGES[0], limit=200)
    template = next(row for row in everything if row["moreCountries"])
    second = template["moreCountries"][0]
    wanted = {
        "country": (second.lower(), lambda row: second in (row["primaryCountry"], *row["moreCountries"])),
        "typeId": (template["typeId"], lambda row: row["typeId"] == template["typeId"]),
        "tagId": (template["tagIds"][0], lambda row: template["tagIds"][0] in row["tagIds"]),
        "difficulty": (3, lambda row: row["difficulty"] == 3),
        "companyId": (template["companyId"], lambda row: row["companyId"] == template["companyId"]),
    }
    for name, (value, fits) in wanted.items():
        assert walk(shared, PAGES[0], limit=200, **{name: value}) == [row for row in everything if fits(row)], name
    departures = walk(shared, PAGES[1], limit=200)
    bounds = {"startsFrom": "2026-06-01", "startsUntil": "2026-09-30", "priceMin": 1500, "priceMax": "3000.50"}
    fitting = [
        row for row in departures
        if "2026-06-01" <= row["startsOn"] <= "2026-09-30" and 1500 <= row["price"] <= 3000.5
        and row["status"] in ("Full", "Last Places")
    ]  # fmt: skip
    assert walk(shared, PAGES[1], limit=7, **bounds, status=["Full", "Last Places"]) == fitting != []
    for name, key in {"guideId": "guideId", "templateId": "templateId"}.items():
        value = fitting[0][key] or 1
        assert walk(shared, PAGES[1], limit=50, **{name: value}) == [row for row in departures if row[key] == value]


@pytest.mark.parametrize("path", PAGES)
def test_a_continent_is_that_of_any_country_of_the_trip(shared: Server, path: str) -> None:
    asia = {row["id"] for row in get(shared, "/api/countries", continent="AS")}
    trips = walk(shared, PAGES[0], limit=200)
    fitting = {row["id"] for row in trips if asia & {row["primaryCountry"], *row["moreCountries"]}}
    found = walk(shared, path, limit=200, continent="AS")
    assert {row.get("templateId", row["id"]) for row in found} == fitting
    assert 0 < len(fitting) < len(trips)


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        (PAGES[0], "limit", "0"),
        (PAGES[1], "limit", "201"),
        (PAGES[0], "cursor", "nonsense"),
        (PAGES[0], "cursor", "WzEsMl0"),
        (PAGES[1], "cursor", "WyJ4IiwxXQ"),
        (PAGES[0], "cursor", "é"),
        (PAGES[1], "priceMin", "1e-20000"),
        (PAGES[1], "startsFrom", "soon"),
        (PAGES[1], "startsFrom", "0"),
        (PAGES[1], "startsUntil", "1800000000"),
        (PAGES[1], "status", "Sold"),
        (PAGES[0], "country", "ISR"),
        (PAGES[0], "typeId", "99999999999"),
        (PAGES[1], "templateId", "9223372036854775808"),
        (PAGES[0], "colour", "blue"),
    ],
)
def test_a_wrong_filter_is_refused_and_named(shared: Server, path: str, name: str, value: str) -> None:
    told = refused(shared, path, **{name: value})
    assert told["code"] == "invalid_request"
    assert told["message"].startswith(name)


def test_a_day_in_a_cursor_may_be_written_in_any_way_that_we_read(shared: Server) -> None:
    cursors = [urlsafe_b64encode(f'["{day}", 1]'.encode()).decode() for day in ("2027-01-04", "2027-W01-1", "20270104")]
    pages = [get(shared, PAGES[1], cursor=cursor) for cursor in cursors]
    assert pages[0] == pages[1] == pages[2]


def test_every_wrong_field_is_named_without_what_was_sent(shared: Server) -> None:
    told = refused(shared, PAGES[1], priceMin="cheap", limit="x", status=["Open", "sold"])
    assert [one["field"] for one in told["fields"]] == ["limit", "status.1", "priceMin"]
    assert told["message"] == f"limit: {told['fields'][0]['message']}"
    assert "cheap" not in str(told) and "sold" not in str(told)


def test_rows_that_come_meanwhile_neither_repeat_nor_hide_a_neighbour(shared: Server) -> None:
    first = get(shared, PAGES[1], limit=5)
    day = first["items"][-1]["startsOn"]
    with db.connect(shared.settings) as connection:
        (added,) = connection.execute(
            "INSERT INTO trip_occurrences (template_id, starts_on, ends_on, price, seats, seats_left)"
            " VALUES (%s, '2026-03-01', '2026-03-02', 1, 1, 1) RETURNING occurrence_id",
            (first["items"][0]["templateId"],),
        ).fetchall()[0]
        rest = walk(shared, PAGES[1], limit=200, cursor=first["nextCursor"])
        connection.execute("DELETE FROM trip_occurrences WHERE occurrence_id = %s", (added,))
    assert all(row["startsOn"] >= day for row in rest)
    assert not {row["id"] for row in rest} & {added, *(row["id"] for row in first["items"])}


@pytest.mark.parametrize("path", PLACES + LISTS + PAGES)
def test_an_answer_has_a_tag_and_who_has_it_already_gets_304(shared: Server, path: str) -> None:
    answer = shared.request("GET", path)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"].startswith("public, max-age=")
    assert answer.headers["access-control-allow-origin"] == "*"
    tag = answer.headers["etag"]
    for sent in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = shared.request("GET", path, headers={"if-none-match": sent})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert shared.request("GET", path, headers={"if-none-match": '"other"'}).status_code == 200


def test_one_departure_has_all_that_a_result_has_of_its_trip(shared: Server) -> None:
    wanted = {"selectedContinents": ["EU", "AS"], "limit": 3}
    for result in shared.request("POST", "/api/v2/recommendations", json=wanted).json()["results"]:
        for name in ("position", "matchScore", "matchDetails", "isRelaxed"):
            del result[name]
        assert get(shared, f"/api/v2/occurrences/{result['occurrenceId']}") == result


def test_a_departure_that_is_not_offered_is_not_found(shared: Server) -> None:
    for wrong, status in ((3, 404), (10**12, 404), (0, 422), ("x", 422)):
        assert shared.request("GET", f"/api/v2/occurrences/{wrong}").status_code == status


def test_every_route_is_documented(shared: Server) -> None:
    paths = shared.request("GET", "/openapi.json").json()["paths"]
    for path in ("/api/locations", "/api/countries", "/api/countries/{id}", *LISTS, *PAGES, "/api/v2/occurrences/{id}"):
        assert paths[path]["get"]["summary"]
    names = {one["name"] for one in paths[PAGES[1]]["get"]["parameters"]}
    assert {"templateId", "startsFrom", "cursor", "limit", "status"} <= names


def test_a_page_may_read_why_it_is_refused_and_other_routes_stay_closed_to_it(shared: Server) -> None:
    for path, status in (("/api/countries/QQ", 404), ("/api/countries?continent=XX", 422), (f"{PAGES[0]}?a=1", 422)):
        answer = shared.request("GET", path)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, "*")
    for path in ("/api/metrics", "/readyz", "/api/v2"):
        assert "access-control-allow-origin" not in shared.request("GET", path).headers


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/locations", documented.Locations),
        ("/api/countries", list[documented.Country]),
        ("/api/countries/IL", documented.Country),
        ("/api/guides", list[documented.Guide]),
        ("/api/trip-types", list[documented.Coded]),
        ("/api/tags", list[documented.Coded]),
        (PAGES[0], documented.Templates),
        (PAGES[1], documented.Occurrences),
        (f"{PAGES[1]}/1", documented.Departure),
    ],
)
def test_answers_are_as_documented(shared: Server, path: str, told: Any) -> None:
    paths = shared.request("GET", "/openapi.json").json()["paths"]
    operation = paths[re.sub("/(IL|1)$", "/{id}", path)]["get"]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"].keys() & {"$ref", "items"}
    assert TypeAdapter(told).validate_json(shared.request("GET", path).content)


def test_codes_that_are_guessed_are_not_asked_of_postgres_one_by_one(
    shared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    rows = reference._rows
    monkeypatch.setattr(reference, "_rows", lambda *of: asked.append(of[1]) or rows(*of))
    for first in "QXZ":
        for second in "ABCDEFGHIJ":
            shared.request("GET", f"/api/countries/{first}{second}")
    assert len(asked) <= 8
