"""How callers are held to a pace, how a repeated POST happens once, and how nobody overwrites what they have not seen."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.admin import idempotency
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.idempotency import begin
from navplane.admin.openapi import ROUTERS
from navplane.admin.pace import Pace
from navplane.admin.plane import Plane
from navplane.crypto.held_answer import digest
from navplane.crypto.token import TokenVerifier
from navplane.errors import Conflict, IdempotencyConflict
from navplane.model.ids import new_id
from navplane.store import admin_calls
from navplane.store.admin_calls import Ticket
from navplane.store.database import Connection, Database
from navplane_local.issuer import Issuer

from tests.support.postgres import TestDatabase

NOON = datetime(2026, 11, 21, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as db:
        yield db


def count_organizations(superuser: Connection, name: str) -> int:
    found: int = superuser.run("SELECT count(*) FROM public.organizations WHERE name = :name", name=name)[0][0]
    return found


# -- pace ----------------------------------------------------------------------------------------------------------------


def slow_client(plane: Plane, issuer: Issuer, *, subject: str, pace: Pace) -> TestClient:
    access = Access(
        TokenVerifier(issuer.url, "navplane"),
        database=plane.database,
        admin_subjects=frozenset({subject}),
        records_users=True,
        pace=pace,
    )
    app = create(title="test", routers=ROUTERS, plane=replace(plane, access=access))
    return TestClient(app, headers={"authorization": f"Bearer {issuer.mint(subject)}"})


@pytest.mark.parametrize(("method", "at_most"), [("GET", 3), ("POST", 2)])
def test_one_call_too_many_in_a_minute_is_told_when_to_go_on(plane: Plane, issuer: Issuer, method: str, at_most: int) -> None:
    client = slow_client(plane, issuer, subject=f"pace|{uuid4()}", pace=Pace(reads_per_minute=3, writes_per_minute=2))
    answers = [client.request(method, "/admin/orgs", json={} if method == "POST" else None) for _ in range(3 * at_most + 1)]
    # Enough calls that one minute has too many, wherever the minutes part.
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= at_most - 1
    for answer in refused:
        assert answer.json()["code"] == "rate_limit_exceeded"
        assert 1 <= int(answer.headers["retry-after"]) <= 60


def test_minutes_kinds_and_principals_are_counted_apart(database: Database) -> None:
    mine, other = f"pace|{uuid4()}", f"pace|{uuid4()}"

    def count(principal: str, kind: str, now: datetime) -> int:
        with database.transaction() as db:
            return admin_calls.count(db, principal=principal, kind=kind, at_most=2, now=now)  # type: ignore[arg-type]

    assert [count(mine, "read", NOON) for _ in range(5)] == [1, 2, 3, 3, 3]
    assert count(mine, "write", NOON) == 1
    assert count(other, "read", NOON) == 1
    assert count(mine, "read", NOON + timedelta(minutes=1)) == 1


def test_who_may_not_is_counted_too(plane: Plane, issuer: Issuer) -> None:
    client = slow_client(plane, issuer, subject=f"pace|{uuid4()}", pace=Pace(reads_per_minute=1, writes_per_minute=1))
    client.headers["authorization"] = f"Bearer {issuer.mint(f'nobody|{uuid4()}')}"
    statuses = [client.get("/admin/users").status_code for _ in range(4)]
    assert set(statuses) == {403, 429}


# -- idempotency ---------------------------------------------------------------------------------------------------------


def test_a_repeated_post_happens_once_and_answers_the_same_secret_included(api: TestClient, superuser: Connection) -> None:
    name, headers = f"Once {uuid4()}", {"idempotency-key": str(uuid4())}
    first, second = (api.post("/admin/orgs", json={"name": name}, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert count_organizations(superuser, name) == 1


def test_what_is_kept_shows_neither_the_secret_nor_the_key(api: TestClient, superuser: Connection) -> None:
    key = str(uuid4())
    answer = api.post("/admin/orgs", json={"name": "Sealed"}, headers={"idempotency-key": key})
    rows = superuser.run("SELECT i::text, encode(answer, 'escape') FROM public.admin_idempotency AS i")
    assert rows
    kept = str(rows)
    assert answer.json()["api_key"] not in kept
    assert key not in kept


def test_another_request_under_the_same_key_is_refused(api: TestClient, superuser: Connection) -> None:
    headers, name = {"idempotency-key": str(uuid4())}, f"Other {uuid4()}"
    api.post("/admin/orgs", json={"name": "Acme"}, headers=headers)
    answer = api.post("/admin/orgs", json={"name": name}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_misuse")
    assert count_organizations(superuser, name) == 0


@pytest.mark.parametrize("key", [b"", b"with space", b"x" * 256, b"caf\xe9"])
def test_a_key_that_is_none_is_refused(api: TestClient, key: bytes) -> None:
    answer = api.post("/admin/orgs", json={"name": "Acme"}, headers={b"idempotency-key": key})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_misuse")


def test_a_refused_call_leaves_the_key_free(api: TestClient) -> None:
    headers = {"idempotency-key": str(uuid4())}
    assert api.post("/admin/orgs", json={"name": ""}, headers=headers).status_code == 422
    assert api.post("/admin/orgs", json={"name": "Acme"}, headers=headers).status_code == 201


def test_keys_of_two_principals_are_two_keys(api: TestClient, issuer: Issuer, superuser: Connection) -> None:
    superuser.run(
        "INSERT INTO public.user_identities (id, issuer, subject, is_platform_admin) VALUES (:id, :issuer, :subject, true)",
        id=new_id(),
        issuer=issuer.url,
        subject="second|admin",
    )
    name, headers = f"Twice {uuid4()}", {"idempotency-key": str(uuid4())}
    assert api.post("/admin/orgs", json={"name": name}, headers=headers).status_code == 201
    theirs = {**headers, "authorization": f"Bearer {issuer.mint('second|admin')}"}
    assert api.post("/admin/orgs", json={"name": name}, headers=theirs).status_code == 201
    assert count_organizations(superuser, name) == 2


def test_of_many_at_once_one_happens_and_the_others_wait_or_hear_its_answer(api: TestClient, superuser: Connection) -> None:
    name, headers = f"Race {uuid4()}", {"idempotency-key": str(uuid4())}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: api.post("/admin/orgs", json={"name": name}, headers=headers), range(16)))
    assert {answer.status_code for answer in answers} <= {201, 409, 503}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert count_organizations(superuser, name) == 1


def test_a_try_that_died_after_its_change_is_reported_and_not_repeated(database: Database) -> None:
    principal, key = f"p|{uuid4()}", str(uuid4())
    attempt = begin(database, principal=principal, key=key, request=b"same", now=NOON)
    with database.transaction() as db:
        assert admin_calls.mark(db, attempt.ticket, resource="organization/1")
    for later, words in ((timedelta(seconds=1), "under way"), (timedelta(minutes=2), "changed organization/1")):
        with pytest.raises(IdempotencyConflict, match=words):
            begin(database, principal=principal, key=key, request=b"same", now=NOON + later)


def test_a_try_that_died_before_its_change_may_be_repeated_and_can_change_nothing_any_more(database: Database) -> None:
    principal, key = f"p|{uuid4()}", str(uuid4())
    died = begin(database, principal=principal, key=key, request=b"same", now=NOON)
    begin(database, principal=principal, key=key, request=b"same", now=NOON + timedelta(minutes=2))
    with database.transaction() as db:
        assert not admin_calls.mark(db, died.ticket, resource="organization/1")


def test_a_change_whose_key_was_taken_over_is_rolled_back(database: Database) -> None:
    lost = Ticket(principal="p", key_digest=digest("k", principal="p"), id=new_id())
    with pytest.raises(Conflict), database.transaction() as db:
        idempotency.mark(db, lost, resource="organization/1")


def test_a_key_is_forgotten_after_a_day(database: Database, module_database: TestDatabase) -> None:
    principal, key = f"p|{uuid4()}", str(uuid4())
    begin(database, principal=principal, key=key, request=b"one", now=NOON)
    begin(database, principal=principal, key=key, request=b"another", now=NOON + timedelta(hours=25))
    writer = module_database.as_role("navplane_writer", size=1)
    with writer.transaction() as db:
        assert admin_calls.forget(db, before=NOON + timedelta(hours=26)) >= 1


# -- versions ------------------------------------------------------------------------------------------------------------


def test_a_change_of_a_version_that_is_gone_is_refused_and_changes_nothing(
    api: TestClient, organization: dict[str, str]
) -> None:
    path = f"/admin/orgs/{organization['id']}"
    seen = api.get(path).headers["etag"]
    changed = api.put(path, json={"name": "First"}, headers={"if-match": seen})
    assert changed.status_code == 200
    assert changed.headers["etag"] == api.get(path).headers["etag"] != seen
    late = api.put(path, json={"name": "Second"}, headers={"if-match": seen})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    assert api.get(path).json()["name"] == "First"
    assert api.put(path, json={"name": "Third"}, headers={"if-match": "*"}).status_code == 200


# -- other origins -------------------------------------------------------------------------------------------------------


def preflight(client: TestClient, origin: str) -> str | None:
    headers = {"origin": origin, "access-control-request-method": "PUT", "access-control-request-headers": "authorization"}
    return client.options("/admin/orgs", headers=headers).headers.get("access-control-allow-origin")


def test_only_the_named_origins_pages_may_call(plane: Plane) -> None:
    client = TestClient(create(title="test", routers=ROUTERS, plane=replace(plane, cors_origins=("https://console.example",))))
    assert preflight(client, "https://console.example") == "https://console.example"
    for origin in ("https://console.example.evil", "http://console.example", "https://console.example:444", "null"):
        assert preflight(client, origin) is None


def test_without_a_name_no_page_may_call(anonymous: TestClient) -> None:
    assert preflight(anonymous, "https://console.example") is None


def test_an_operation_without_a_version_refuses_if_match(api: TestClient, organization: dict[str, str]) -> None:
    path = f"/admin/orgs/{organization['id']}"
    answer = api.put(f"{path}/enabled", json={"enabled": False}, headers={"if-match": '"0"'})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert api.get(path).json()["enabled"] is True
