"""Errors and the edge: one shape for every refusal, the headers on every answer, and nothing repeated that was sent."""

import json
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter
from fastapi.testclient import TestClient
from navplane.admin.app import create
from navplane.admin.edge import MAX_BODY_BYTES
from navplane.admin.openapi import ROUTERS
from navplane.admin.plane import Plane
from navplane.errors import ConfigurationError
from navplane.store.database import Database, connector

from tests.support.log_lines import captured_log

MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}
JSON = {"content-type": "application/json"}


def is_problem(answer: object, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text  # type: ignore[attr-defined]
    assert answer.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    body = answer.json()  # type: ignore[attr-defined]
    assert body.keys() >= MEMBERS
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:navplane:problem:{code}")
    assert body["request_id"] == answer.headers["x-navplane-request-id"]  # type: ignore[attr-defined]
    UUID(body["request_id"])


def test_every_answer_carries_the_headers(api: TestClient, organization: dict[str, str]) -> None:
    answers = [
        api.get("/health"),
        api.get("/admin/orgs"),
        api.delete(f"/admin/orgs/{organization['id']}"),
        api.get("/nowhere"),
        api.get("/admin/orgs", headers={"authorization": "no"}),
        api.post("/admin/orgs", content=b"{"),
        api.post("/admin/orgs", content=b"x" * (MAX_BODY_BYTES + 1)),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 204, 404, 401, 422, 413]
    for answer in answers:
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
    assert len({answer.headers["x-navplane-request-id"] for answer in answers}) == len(answers)


@pytest.mark.parametrize(
    "path", ["/", "/admin", "/admin/orgs/", "/docs", "/openapi.json", "/admin/%2e%2e/orgs", "/admin/orgs/a/b/c"]
)
def test_an_unknown_path_is_a_404_problem(api: TestClient, path: str) -> None:
    is_problem(api.get(path), 404, "unknown_endpoint")


@pytest.mark.parametrize(("method", "path"), [("PATCH", "/admin/orgs"), ("DELETE", "/admin/orgs"), ("POST", "/health")])
def test_a_wrong_method_is_a_405_problem_that_names_the_right_ones(api: TestClient, method: str, path: str) -> None:
    answer = api.request(method, path)
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"{'name': 'x'}", b"\xff\xfe{", b"{}{}", b"[" * 100_000, b'{"name": "x"} trailing'],
)
def test_a_body_that_is_not_json_is_400(api: TestClient, body: bytes) -> None:
    is_problem(api.post("/admin/orgs", content=body, headers=JSON), 400, "invalid_json")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_body_of_another_type_is_refused(api: TestClient, content_type: str) -> None:
    answer = api.post("/admin/orgs", content=b'{"name": "x"}', headers={"content-type": content_type})
    is_problem(answer, 422, "invalid")
    assert "Content-Type: application/json" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "  "},
        {"name": "a\x00b"},
        {"name": "a\nb"},
        {"name": "x" * 201},
        {"name": 7},
        {"name": None},
        {"name": ["x"]},
        {"name": "x", "home_region": "mars"},
        {"name": "x", "stream_usage": "maybe"},
        {"name": "x", "enabled": False},
        {"name": "x", "id": str(uuid4())},
        {"name": "x", "api_key": "np_mine"},
        {"name": "x", "deleted_at": None},
        {"name": "x", "row_version": 7},
        {"name": "x", "is_platform_admin": True},
        {"name": "x", "created_at": "2020-01-01T00:00:00Z"},
        [],
        "x",
        7,
    ],
)
def test_fields_that_are_wrong_or_nobodys_to_set_are_422(api: TestClient, body: object) -> None:
    is_problem(api.post("/admin/orgs", json=body), 422, "invalid")


@pytest.mark.parametrize(
    "body", [{"enabled": "true"}, {"enabled": 1}, {"enabled": None}, {}, {"enabled": True, "name": "x"}, [True], True]
)
def test_the_kill_switch_takes_a_boolean_and_nothing_else(api: TestClient, organization: dict[str, str], body: object) -> None:
    is_problem(api.put(f"/admin/orgs/{organization['id']}/enabled", json=body), 422, "invalid")
    assert api.get(f"/admin/orgs/{organization['id']}").json()["enabled"] is True


@pytest.mark.parametrize("body", [{"home_region": "eu"}, {"enabled": False}, {"name": ""}, {"id": str(uuid4())}])
def test_what_never_changes_cannot_be_changed(api: TestClient, organization: dict[str, str], body: object) -> None:
    path = f"/admin/orgs/{organization['id']}"
    is_problem(api.put(path, json=body), 422, "invalid")
    assert api.get(path).json()["home_region"] == "us"


@pytest.mark.parametrize("name", [b'"\\ud800"', b'"\\udfff\\ud800"', b'"a\\u0000b"'])
def test_text_that_postgres_cannot_keep_is_422(api: TestClient, name: bytes) -> None:
    is_problem(api.post("/admin/orgs", content=b'{"name": ' + name + b"}", headers=JSON), 422, "invalid")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000])
def test_numbers_out_of_bounds_are_refused(api: TestClient, number: str) -> None:
    answer = api.post("/admin/orgs", content=f'{{"name": {number}}}'.encode(), headers=JSON)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_was_sent_is_never_repeated(api: TestClient, organization: dict[str, str]) -> None:
    secret = "sk-live-echo-0123456789"
    bodies = [
        {secret: 1},
        {"name": {"nested": secret}},
        {"name": "x", "home_region": secret},
        {"name": "x" * 300 + secret},
        {"name": secret + "\x01"},
    ]
    answers = [api.post("/admin/orgs", json=body) for body in bodies]
    answers += [api.get(f"/admin/orgs?cursor={secret}"), api.get(f"/admin/orgs?limit={secret}")]
    answers += [
        api.get(f"/admin/{secret}"),
        api.get(f"/admin/orgs/{secret}"),
        api.put(f"/admin/orgs/{organization['id']}/enabled", json={"enabled": secret}),
    ]
    answers += [api.get(f"/admin/orgs/{organization['id']}/requests?cursor={secret}")]
    for answer in answers:
        assert answer.status_code in (404, 422)
        assert secret not in answer.text


def test_a_body_beyond_the_bound_is_413_also_when_it_comes_in_pieces(api: TestClient) -> None:
    def pieces() -> object:
        for _ in range(MAX_BODY_BYTES // 1024 + 1):
            yield b" " * 1024

    is_problem(api.post("/admin/orgs", content=pieces(), headers=JSON), 413, "request_too_large")  # type: ignore[arg-type]
    fits = json.dumps({"name": "x"}).encode().ljust(MAX_BODY_BYTES)
    assert api.post("/admin/orgs", content=fits, headers=JSON).status_code == 201


def test_a_database_that_is_away_is_503_with_a_time_to_come_back(plane: Plane, api: TestClient) -> None:
    nowhere = connector(host="/nonexistent", port=5432, name="x", user="x", password=lambda: "x", tls=False, tls_ca_file=None)
    app = create(title="test", routers=ROUTERS, plane=replaced(plane, Database(nowhere, size=1)))
    client = TestClient(app, headers=dict(api.headers))
    for answer in (client.get("/admin/orgs"), client.post("/admin/orgs", json={"name": "x"})):
        is_problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"


def replaced(plane: Plane, database: Database) -> Plane:
    return Plane(database=database, access=plane.access, region=plane.region, key_prefixes=plane.key_prefixes)


def broken(fault: Callable[[], None]) -> APIRouter:
    router = APIRouter()

    @router.get("/broken")
    def route() -> None:
        fault()

    return router


def fail() -> None:
    raise RuntimeError("the secret is sk-live-0123456789")


def misconfigured() -> None:
    raise ConfigurationError("ENCRYPTION_KEY is sk-live-0123456789")


@pytest.mark.parametrize(("fault", "code"), [(fail, "internal_error"), (misconfigured, "configuration_error")])
def test_a_fault_of_ours_tells_nothing_and_is_found_by_its_request_id(
    plane: Plane, fault: Callable[[], None], code: str
) -> None:
    with captured_log() as log:
        answer = TestClient(create(title="test", routers=[broken(fault)], plane=plane)).get("/broken")
    is_problem(answer, 500, code)
    assert "sk-live" not in answer.text
    assert "sk-live" not in log.getvalue()
    assert answer.headers["x-navplane-request-id"] in log.getvalue()


def test_a_request_leaves_one_log_line_without_ids_in_its_route(api: TestClient, organization: dict[str, str]) -> None:
    with captured_log() as log:
        answer = api.get(f"/admin/orgs/{organization['id']}")
        refused = api.get(f"/admin/orgs/{uuid4()}")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["route"], line["status"], line.get("error_code")) for line in lines] == [
        ("/admin/orgs/{org_id}", 200, None),
        ("/admin/orgs/{org_id}", 404, "not_found"),
    ]
    assert [line["request_id"] for line in lines] == [
        answer.headers["x-navplane-request-id"],
        refused.headers["x-navplane-request-id"],
    ]
    assert organization["id"] not in log.getvalue()


def test_a_wrong_method_is_told_all_that_the_path_takes(api: TestClient, organization: dict[str, str]) -> None:
    allowed = {
        "/admin/orgs": "GET, POST",
        f"/admin/orgs/{organization['id']}": "DELETE, GET, PUT",
        "/admin/openapi.json": "GET",
    }
    answers = {path: api.patch(path) for path in allowed}
    assert {answer.status_code for answer in answers.values()} == {405}
    assert {path: answer.headers["allow"] for path, answer in answers.items()} == allowed


@pytest.mark.parametrize("moment", ["0", "1700000000", "1700000000.5", "2026-11-21"])
def test_a_number_is_no_time(api: TestClient, moment: str) -> None:
    assert api.get("/admin/audit/recent", params={"since": moment}).status_code == 422
    assert api.get("/admin/audit/recent", params={"since": "2026-11-21T09:30:00Z"}).status_code == 200
