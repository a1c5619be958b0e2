"""Who gets in: every operation that is described, for everybody who might knock."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from navplane.admin.access import PERMISSIONS, Access, Permission, Role
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS, document
from navplane.admin.plane import Plane
from navplane.admin.roles import SIGNED_IN
from navplane.crypto.token import TokenVerifier
from navplane.store.database import Connection
from navplane_local.issuer import Issuer

from tests.support.http_script import Answer, serving
from tests.support.postgres import TestDatabase

PUBLIC = {("GET", "/health"), ("GET", "/ready"), ("GET", "/providers"), ("GET", "/admin/openapi.json")}
DESCRIBED = [(method.upper(), path) for path, methods in document()["paths"].items() for method in methods]
# Its guard is an API key; test_receipts.py knocks there.
RECEIPTS = ("GET", "/v1/receipts/{request_id}")
GUARDED = [operation for operation in DESCRIBED if operation not in {*PUBLIC, RECEIPTS}]


def call(client: TestClient, operation: tuple[str, str], **more: Any) -> tuple[int, Any]:
    method, path = operation
    answer = client.request(method, re.sub(r"{\w+}", lambda _: str(uuid4()), path), **more)
    return answer.status_code, answer


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.mark.parametrize("operation", GUARDED, ids=" ".join)
def test_an_operation_needs_a_token_and_a_permission(anonymous: TestClient, issuer: Issuer, operation: tuple[str, str]) -> None:
    body = {"json": {"name": "x"}} if operation[0] in ("POST", "PUT") else {}
    status, answer = call(anonymous, operation, **body)
    assert (status, answer.headers["www-authenticate"], answer.json()["code"]) == (401, "Bearer", "unauthenticated")
    expired = issuer.mint("local|admin", lifetime=timedelta(minutes=-5))
    status, answer = call(anonymous, operation, headers={"authorization": f"Bearer {expired}"}, **body)
    assert (status, answer.headers["www-authenticate"]) == (401, "Bearer")
    stranger = issuer.mint("somebody", claims={"is_platform_admin": True, "roles": ["platform_admin"], "scope": "admin"})
    status, answer = call(anonymous, operation, headers={"authorization": f"Bearer {stranger}"}, **body)
    expected = (404, "not_found") if "{org_id}" in operation[1] else (403, "forbidden")
    if document()["paths"][operation[1]][operation[0].lower()]["x-navplane-permission"] not in SIGNED_IN:
        assert (status, answer.json()["code"]) == expected


@pytest.mark.parametrize("operation", sorted(PUBLIC), ids=" ".join)
def test_what_is_public_is_answered_to_anybody(anonymous: TestClient, operation: tuple[str, str]) -> None:
    assert call(anonymous, operation)[0] == 200


def test_the_platform_admin_has_every_permission_there_is() -> None:
    assert PERMISSIONS[Role.PLATFORM_ADMIN] == frozenset(Permission)
    assert set(PERMISSIONS) == set(Role)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic YTpi", "bearer null", "Bearer a.b.c", "Token {token}", "{token}", "Bearer {token} {token}",
     "Bearer {token},Bearer {token}", "Bearer {token}é"],
)  # fmt: skip
def test_credentials_that_are_no_single_bearer_token_are_401(anonymous: TestClient, issuer: Issuer, header: str) -> None:
    value = header.format(token=issuer.mint("local|admin")).encode("latin-1")
    answer = anonymous.get("/admin/orgs", headers=[(b"authorization", value)])
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_two_authorization_headers_are_401(anonymous: TestClient, issuer: Issuer) -> None:
    header = ("authorization", f"Bearer {issuer.mint('local|admin')}")
    assert anonymous.get("/admin/orgs", headers=[header]).status_code == 200
    assert anonymous.get("/admin/orgs", headers=[header, header]).status_code == 401


def test_an_api_key_is_no_way_into_the_admin_api(anonymous: TestClient, organization: dict[str, str]) -> None:
    answer = anonymous.get("/admin/orgs", headers={"authorization": f"Bearer {organization['api_key']}"})
    assert answer.status_code == 401


def test_a_user_is_written_down_and_is_platform_admin_once_marked(
    anonymous: TestClient, issuer: Issuer, superuser: Connection
) -> None:
    token = issuer.mint("user|marked", claims={"email": "m@example.com", "name": "M"})
    headers = {"authorization": f"Bearer {token}"}
    assert anonymous.get("/admin/audit/recent", headers=headers).status_code == 403
    where = "issuer = :issuer AND subject = 'user|marked'"
    found = superuser.run(f"SELECT email, name FROM user_identities WHERE {where}", issuer=issuer.url)
    assert found == [["m@example.com", "M"]]
    superuser.run(f"UPDATE user_identities SET is_platform_admin = true WHERE {where}", issuer=issuer.url)
    assert anonymous.get("/admin/audit/recent", headers=headers).status_code == 200
    superuser.run(f"UPDATE user_identities SET is_platform_admin = false WHERE {where}", issuer=issuer.url)
    assert anonymous.get("/admin/audit/recent", headers=headers).status_code == 403


def test_a_role_that_only_reads_lets_the_marked_and_the_configured_in_and_writes_nobody_down(
    module_database: TestDatabase, plane: Plane, issuer: Issuer, superuser: Connection
) -> None:
    reader = module_database.as_role("navplane_reader")
    verifier, subjects = TokenVerifier(issuer.url, "navplane"), frozenset({"local|admin"})
    access = Access(verifier, database=reader, admin_subjects=subjects, records_users=False)
    app = app_with(plane, access)
    superuser.run(
        "INSERT INTO user_identities (id, issuer, subject, is_platform_admin) VALUES (:id, :issuer, 'user|other', true)",
        id=uuid4(),
        issuer=issuer.url,
    )
    answers = {subject: get_audit(app, issuer.mint(subject)) for subject in ("local|admin", "user|other", "user|new")}
    assert answers == {"local|admin": 200, "user|other": 200, "user|new": 403}
    assert superuser.run("SELECT count(*) FROM user_identities WHERE subject = 'user|new'") == [[0]]


def test_an_issuer_that_is_away_is_503_and_never_401(plane: Plane, database: Any, issuer: Issuer) -> None:
    with serving(lambda request: Answer()) as gone:
        verifier = TokenVerifier(gone.url, "navplane")
    token = issuer.mint("local|admin", claims={"iss": gone.url})
    app = app_with(plane, Access(verifier, database=database, admin_subjects=frozenset(), records_users=True))
    answer = TestClient(app).get("/admin/orgs", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "2")
    assert TestClient(app).get("/admin/orgs").status_code == 401


def app_with(plane: Plane, access: Access) -> FastAPI:
    other = Plane(database=plane.database, access=access, region=plane.region, key_prefixes=plane.key_prefixes)
    return create(title="test", routers=ROUTERS, plane=other)


def get_audit(app: FastAPI, token: str) -> int:
    return TestClient(app).get("/admin/audit/recent", headers={"authorization": f"Bearer {token}"}).status_code
