"""Organizations: what is answered, what the gate makes of it at once, and what is written down."""

import base64
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from navplane.crypto.api_key import ApiKeyShape, digest
from navplane.gate.gate import RefusalReason
from navplane.store.database import Connection

from tests.integration.admin.support import Admission
from tests.support.postgres import TestDatabase

MISSING = RefusalReason.PROVIDER_KEY_MISSING
NOWHERE = "7bee6d5e-4332-4830-8071-e196086c623a"


def cursor(time: str) -> str:
    """One as no list gives it."""
    return base64.urlsafe_b64encode(f"{time} {NOWHERE}".encode()).decode().rstrip("=")


def test_creating_answers_the_organization_and_its_key_once(api: TestClient, admission: Admission) -> None:
    answer = api.post("/admin/orgs", json={"name": "  Acme  "})
    created = answer.json()
    assert answer.status_code == 201
    assert created["name"] == "Acme"
    assert (created["enabled"], created["home_region"], created["stream_usage"]) == (True, "us", "inject")
    assert ApiKeyShape(("np_",)).accepts(created["api_key"])
    assert admission.refusal(created["api_key"]) is MISSING
    read = api.get(f"/admin/orgs/{created['id']}")
    assert read.status_code == 200
    assert read.json() == {name: value for name, value in created.items() if name != "api_key"}


def test_region_and_stream_usage_can_be_chosen(api: TestClient, admission: Admission) -> None:
    created = api.post("/admin/orgs", json={"name": "E", "home_region": "eu", "stream_usage": "observe"}).json()
    assert (created["home_region"], created["stream_usage"]) == ("eu", "observe")
    assert admission.refusal(created["api_key"]) is RefusalReason.REGION_MISMATCH


def test_a_change_leaves_what_is_absent(api: TestClient, organization: dict[str, str]) -> None:
    path = f"/admin/orgs/{organization['id']}"
    assert api.put(path, json={"stream_usage": "observe"}).json()["name"] == "Acme"
    changed = api.put(path, json={"name": "Bcme"}).json()
    assert (changed["name"], changed["stream_usage"], changed["cached_admission"]) == ("Bcme", "observe", False)
    assert api.get(path).json() == changed
    assert api.put(path, json={"cached_admission": True}).json()["cached_admission"] is True
    assert api.put(path, json={"name": "Ccme"}).json()["cached_admission"] is True


def test_the_kill_switch_refuses_the_very_next_call_and_lets_it_through_again(
    api: TestClient, organization: dict[str, str], admission: Admission
) -> None:
    path = f"/admin/orgs/{organization['id']}/enabled"
    assert api.put(path, json={"enabled": False}).json()["enabled"] is False
    assert admission.refusal(organization["api_key"]) is RefusalReason.ORGANIZATION_DISABLED
    assert api.put(path, json={"enabled": True}).json()["enabled"] is True
    assert admission.refusal(organization["api_key"]) is MISSING


def test_rotation_refuses_the_old_key_at_once(api: TestClient, organization: dict[str, str], admission: Admission) -> None:
    answer = api.post(f"/admin/orgs/{organization['id']}/rotate-key")
    assert answer.status_code == 200
    assert list(answer.json()) == ["api_key"]
    assert admission.refusal(organization["api_key"]) is RefusalReason.INVALID_KEY
    assert admission.refusal(answer.json()["api_key"]) is MISSING


def test_rotations_at_the_same_time_leave_one_key_in_force(
    api: TestClient, organization: dict[str, str], admission: Admission
) -> None:
    path = f"/admin/orgs/{organization['id']}/rotate-key"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: api.post(path), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    standing = [admission.refusal(answer.json()["api_key"]) for answer in answers]
    assert standing.count(MISSING) == 1
    assert standing.count(RefusalReason.INVALID_KEY) == 7


@pytest.mark.parametrize("change", ["rotate", "delete"])
def test_a_change_of_keys_does_not_deadlock_with_an_admission(
    api: TestClient, organization: dict[str, str], module_database: TestDatabase, change: str
) -> None:
    path = f"/admin/orgs/{organization['id']}"
    calls = {"rotate": lambda: api.post(f"{path}/rotate-key"), "delete": lambda: api.delete(path)}
    org_id = UUID(organization["id"])
    with ThreadPoolExecutor(1) as pool, module_database.superuser() as db, module_database.superuser() as watcher:
        # Half of an admission: it has locked the key's row and goes for the organization's next.
        db.run("BEGIN; SET LOCAL lock_timeout = '5s'")
        db.run("SELECT 1 FROM api_keys WHERE org_id = :id FOR SHARE", id=org_id)
        changing = pool.submit(calls[change])
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        while watcher.run(waiting)[0][0] < 1:
            assert not changing.done()
        # Had the change locked the organization first, each would wait for the other here.
        assert db.run("SELECT 1 FROM organizations WHERE id = :id FOR SHARE", id=org_id) == [[1]]
        db.run("COMMIT")
        assert changing.result(timeout=10).status_code in (200, 204)


def test_deleting_revokes_the_keys_hides_the_organization_and_keeps_its_audit(
    api: TestClient, organization: dict[str, str], admission: Admission, module_database: TestDatabase
) -> None:
    path = f"/admin/orgs/{organization['id']}"
    key = api.post(f"{path}/provider-keys", json={"provider": "openai", "label": "x", "api_key": "sk-live-12345678"})
    assert key.status_code == 201
    answer = api.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert admission.refusal(organization["api_key"]) is RefusalReason.INVALID_KEY
    for method, below, body in [
        ("GET", "", None),
        ("PUT", "", {"name": "x"}),
        ("DELETE", "", None),
        ("PUT", "/enabled", {"enabled": True}),
        ("POST", "/rotate-key", None),
        ("GET", "/provider-keys", None),
        ("DELETE", f"/provider-keys/{key.json()['id']}", None),
        ("GET", "/provider-settings", None),
        ("PUT", "/provider-settings", {}),
        ("GET", "/limits", None),
        ("POST", "/limits", {"scope": "organization", "kind": "requests_per_hour", "amount": 1}),
    ]:
        assert api.request(method, path + below, json=body).status_code == 404, (method, below)
    assert organization["id"] not in {item["id"] for item in api.get("/admin/orgs?limit=200").json()["items"]}
    requests = api.get(f"{path}/requests").json()
    assert (requests["items"], requests["next_cursor"]) == ([], None)
    with module_database.superuser() as db:
        assert actions(db, organization["id"]) == ["organization:create", "provider_key:create", "organization:delete"]
        assert db.run("SELECT sealed FROM provider_keys WHERE id = :id", id=UUID(key.json()["id"])) == [[b""]]


def actions(db: Connection, org_id: str) -> list[str]:
    rows = db.run("SELECT action FROM audit_events WHERE org_id = :id ORDER BY occurred_at, id", id=UUID(org_id))
    return [row[0] for row in rows]


def test_a_list_is_newest_first_and_every_page_follows_the_one_before(api: TestClient) -> None:
    made = [api.post("/admin/orgs", json={"name": f"page {n}"}).json()["id"] for n in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        page = api.get("/admin/orgs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert len(page["items"]) <= 2
        assert all("api_key" not in item for item in page["items"])
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen[:5] == made[::-1]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=x", "cursor=", "cursor=AAAA", "cursor=%00", f"cursor={'A' * 300}"),
        *(
            f"cursor={cursor(time)}"
            for time in ("2026-01-01T00:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59")
        ),
    ],
)
def test_limits_and_cursors_that_no_list_gave_are_refused(api: TestClient, query: str) -> None:
    answer = api.get(f"/admin/orgs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("org_id", [NOWHERE, "not-an-id", "00000000-0000-0000-0000-000000000000", "%00", "1' OR '1'='1"])
def test_an_unknown_organization_is_404_whatever_its_id_looks_like(api: TestClient, org_id: str) -> None:
    for below in ("", "/provider-keys", "/provider-settings", "/limits", "/requests"):
        answer = api.get(f"/admin/orgs/{org_id}{below}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_every_change_leaves_an_audit_event_and_word_for_the_gate(
    api: TestClient, organization: dict[str, str], module_database: TestDatabase
) -> None:
    path = f"/admin/orgs/{organization['id']}"
    api.put(path, json={"name": "Bcme"}, headers={"user-agent": "curl/8\x07"})
    api.put(f"{path}/enabled", json={"enabled": False})
    api.post(f"{path}/rotate-key")
    with module_database.superuser() as db:
        expected = ["organization:create", "organization:update", "organization:enable", "api_key:rotate"]
        assert actions(db, organization["id"]) == expected
        columns = "actor, resource, before, after, user_agent, request_id IS NOT NULL"
        where = "org_id = :id AND action = 'organization:update'"
        event = db.run(f"SELECT {columns} FROM audit_events WHERE {where}", id=UUID(organization["id"]))[0]
        told = db.run("SELECT aggregate FROM outbox WHERE org_id = :id ORDER BY created_at", id=UUID(organization["id"]))
    assert event[0] == "local|admin"
    assert event[1] == f"organization/{organization['id']}"
    assert (event[2]["name"], event[3]["name"]) == ("Acme", "Bcme")
    assert event[4:] == ["curl/8", True]
    assert sorted(row[0] for row in told) == ["api_key"] * 3 + ["organization"] * 3


def test_only_the_digest_of_an_api_key_is_stored(organization: dict[str, str], module_database: TestDatabase) -> None:
    with module_database.superuser() as db:
        rows = db.run("SELECT digest, key_prefix, key_hint FROM api_keys WHERE org_id = :id", id=UUID(organization["id"]))
    assert rows == [[digest(organization["api_key"]), "np_", organization["api_key"][-4:]]]
