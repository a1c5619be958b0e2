"""Agreed prices, as they are set, shown and ended, and as the writer obeys them."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.ingest.recording import record_what_can_be
from navplane.model.usage import Usage

from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

TERMS: dict[str, Any] = {
    "provider": "openai",
    "model": "gpt-5",
    "effective_from": "2026-11-01T00:00:00Z",
    "input_usd_per_million": "1.1",
    "output_usd_per_million": "8.80",
}


@pytest.fixture
def path(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}/price-overrides"


def test_an_agreed_price_is_what_the_next_recorded_request_costs(
    api: TestClient, path: str, organization: dict[str, str], module_database: TestDatabase
) -> None:
    terms = {**TERMS, "cached_input_usd_per_million": "0.11", "web_search_usd_per_thousand": "8", "request_usd": "0.0005"}
    made = api.post(path, json=terms)
    assert made.status_code == 201, made.text
    with module_database.superuser() as superuser:
        [[key_id]] = superuser.run("SELECT id FROM api_keys WHERE org_id = :id", id=UUID(organization["id"]))
    event = usage_event(
        key_id=key_id, usage=Usage(input_tokens=1000, cached_input_tokens=200, output_tokens=100, web_searches=3)
    )
    [row] = record_what_can_be(module_database.as_role("navplane_writer"), [event]).rows
    # 800 × 1.1 + 200 × 0.11 + 100 × 8.8 µUSD, 3 × 0.008 and 0.0005
    assert row.cost_usd == Decimal("0.026282")


def test_it_is_shown_as_it_was_set(api: TestClient, path: str) -> None:
    units = {"audio_usd_per_minute": "0.0043", "characters_usd_per_million": "15", "image_usd": "0.04"}
    made = api.post(path, json={**TERMS, "cache_write_1h_usd_per_million": "0.000000001", **units}).json()
    assert units.items() <= made.items()
    expected = {
        "provider": "openai", "model": "gpt-5", "effective_from": "2026-11-01T00:00:00Z", "effective_to": None,
        "input_usd_per_million": "1.1", "output_usd_per_million": "8.8", "cached_input_usd_per_million": None,
        "cache_write_1h_usd_per_million": "0.000000001", "web_search_usd_per_thousand": "0", "request_usd": "0",
    }  # fmt: skip
    assert expected.items() <= made.items()
    assert api.get(f"{path}/{made['id']}").json() == made
    other = api.post(path, json={**TERMS, "model": "gpt-5-mini"}).json()
    page = api.get(path, params={"limit": 1}).json()
    assert page["items"] == [other]
    assert api.get(path, params={"cursor": page["next_cursor"]}).json() == {"items": [made], "next_cursor": None}


SPANS = [
    (("2026-11-01T00:00:00Z", None), ("2026-11-15T00:00:00Z", None), 409),
    (("2026-11-10T00:00:00Z", None), ("2026-11-01T00:00:00Z", "2026-11-10T00:00:01Z"), 409),
    (("2026-11-10T00:00:00Z", None), ("2026-11-01T00:00:00Z", "2026-11-10T00:00:00Z"), 201),
    (("2026-11-01T00:00:00Z", "2026-11-10T00:00:00Z"), ("2026-11-10T00:00:00Z", None), 201),
    (("2026-11-01T00:00:00Z", "2026-11-10T00:00:00Z"), ("2026-11-09T23:59:59Z", None), 409),
    # The same moment, said in another zone.
    (("2026-11-01T00:00:00Z", "2026-11-10T00:00:00Z"), ("2026-11-10T01:00:00+01:00", None), 201),
]


@pytest.mark.parametrize(("first", "second", "status"), SPANS)
def test_two_prices_never_hold_at_once(
    api: TestClient, path: str, first: tuple[str, str | None], second: tuple[str, str | None], status: int
) -> None:
    answers = [
        api.post(path, json={**TERMS, "effective_from": since, "effective_to": until}) for since, until in (first, second)
    ]
    assert [answer.status_code for answer in answers] == [201, status]
    for name, value in (("model", "gpt-5-mini"), ("provider", "azure")):
        other = {**TERMS, "effective_from": second[0], "effective_to": second[1], name: value}
        assert api.post(path, json=other).status_code == 201


def test_it_is_ended_and_followed_by_another_one_and_never_rewritten(api: TestClient, path: str) -> None:
    one = f"{path}/{api.post(path, json=TERMS).json()['id']}"
    ended = api.put(one, json={"effective_to": "2026-11-16T00:00:00Z"})
    assert (ended.status_code, ended.json()["effective_to"]) == (200, "2026-11-16T00:00:00Z")
    assert api.post(path, json={**TERMS, "effective_from": "2026-11-16T00:00:00Z"}).status_code == 201
    assert api.put(one, json={"effective_to": None}).status_code == 409
    assert api.put(one, json={"effective_to": None, "input_usd_per_million": "2"}).status_code == 422
    assert api.put(one, json={"effective_to": TERMS["effective_from"]}).status_code == 422


def test_only_a_price_that_was_never_in_force_can_be_taken_back(api: TestClient, path: str) -> None:
    past = f"{path}/{api.post(path, json={**TERMS, 'effective_to': '2026-11-02T00:00:00Z'}).json()['id']}"
    future = f"{path}/{api.post(path, json={**TERMS, 'effective_from': '2126-01-01T00:00:00Z'}).json()['id']}"
    assert api.delete(past).json()["code"] == "conflict"
    assert api.get(past).status_code == 200
    assert api.delete(future).status_code == 204
    assert api.get(future).status_code == api.delete(future).status_code == 404


def test_every_change_is_audited_with_what_was_and_what_is(
    api: TestClient, path: str, organization: dict[str, str], module_database: TestDatabase
) -> None:
    made = api.post(path, json={**TERMS, "effective_from": "2126-01-01T00:00:00Z"}).json()
    ended = api.put(f"{path}/{made['id']}", json={"effective_to": "2127-01-01T00:00:00Z"}).json()
    api.delete(f"{path}/{made['id']}")
    with module_database.superuser() as superuser:
        events = superuser.run(
            "SELECT action, before, after FROM audit_events WHERE org_id = :org AND resource = :resource ORDER BY occurred_at",
            org=UUID(organization["id"]),
            resource=f"price_override/{made['id']}",
        )
    assert events == [
        ["price_override:create", None, made],
        ["price_override:update", made, ended],
        ["price_override:delete", ended, None],
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": "nobody"}, {"model": ""}, {"model": "a\nb"}, {"effective_from": "2026-11-01T00:00:00"},
        {"effective_from": None}, {"effective_to": "2026-10-01T00:00:00Z"}, {"input_usd_per_million": 1.1},
        {"input_usd_per_million": "-1"}, {"input_usd_per_million": "1e3"}, {"output_usd_per_million": "1000000000"},
        {"request_usd": "100000"}, {"image_usd": "100000"}, {"web_search_usd_per_thousand": "100000"},
        {"audio_usd_per_minute": "100000"}, {"effective_to": "9999-12-31T23:59:59-23:00"},
        {"org_id": "00000000-0000-4000-8000-000000000000"},
    ],
)  # fmt: skip
def test_bad_terms_are_refused_and_nothing_is_kept(api: TestClient, path: str, wrong: dict[str, Any]) -> None:
    assert api.post(path, json={**TERMS, **wrong}).status_code == 422
    assert api.get(path).json()["items"] == []


def test_the_dearest_terms_can_be_kept(api: TestClient, path: str) -> None:
    few = ("request_usd", "image_usd", "web_search_usd_per_thousand", "audio_usd_per_minute")
    many = ("input", "output", "cached_input", "cache_write_5m", "cache_write_1h", "audio_input", "audio_output")
    dear = dict.fromkeys(few, "99999.999999999") | {f"{kind}_usd_per_million": "999999999.999999999" for kind in many}
    made = api.post(path, json={**TERMS, **dear})
    assert made.status_code == 201, made.text
    assert made.json()["image_usd"] == "99999.999999999"
    assert api.delete(f"{path}/{made.json()['id']}").status_code in (204, 409)


def test_the_prices_of_another_organization_do_not_exist(api: TestClient, path: str) -> None:
    made = api.post(path, json=TERMS).json()
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    for organization in (other, str(uuid4())):
        assert api.get(f"/admin/orgs/{organization}/price-overrides/{made['id']}").status_code == 404
        answer = api.put(f"/admin/orgs/{organization}/price-overrides/{made['id']}", json={"effective_to": None})
        assert answer.status_code == 404
