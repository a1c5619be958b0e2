"""Where an organization and the platform want to be told: set up, shown, tested, and never another's."""

import os
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS
from navplane.admin.plane import Plane
from navplane.crypto.kek_local import LocalKek
from navplane.custody.notify import Notifier
from navplane_local.issuer import Issuer

from tests.support.http_script import Answer, serving
from tests.support.postgres import TestDatabase

HOOK = {"name": "on call", "kind": "webhook", "address": "https://hooks.example.com/t/PATH-TOKEN"}


@pytest.fixture
def path(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}/alert-destinations"


@pytest.fixture(params=["organization", "platform"])
def base(request: pytest.FixtureRequest, path: str, module_database: TestDatabase) -> str:
    if request.param == "organization":
        return path
    with module_database.superuser() as db:
        db.run("DELETE FROM alert_destinations WHERE org_id IS NULL")
    return "/admin/alert-destinations"


def test_the_secret_is_shown_once_and_kept_sealed(api: TestClient, base: str, module_database: TestDatabase) -> None:
    answer = api.post(base, json=HOOK)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["secret"].startswith("whsec_")
    assert made["address"] == "https://hooks.example.com/…"
    for shown in (api.get(f"{base}/{made['id']}"), api.get(base)):
        assert shown.status_code == 200
        assert made["secret"] not in shown.text
        assert "PATH-TOKEN" not in shown.text
    with module_database.superuser() as db:
        (row,) = db.run("SELECT sealed, kek_id FROM alert_destinations WHERE id = :id", id=UUID(made["id"]))
        audit = db.run("SELECT entry::text FROM audit_events WHERE resource = :r", r=f"alert_destination/{made['id']}")
    assert len(audit) == 1
    assert made["secret"].encode() not in bytes(row[0])
    assert "PATH-TOKEN" not in str(audit) and made["secret"] not in str(audit)  # noqa: PT018


def test_a_destination_is_changed_held_to_its_version_and_deleted(
    api: TestClient, base: str, module_database: TestDatabase
) -> None:
    made = api.post(base, json=HOOK).json()
    url = f"{base}/{made['id']}"
    etag = api.get(url).headers["etag"]
    change = {"name": "renamed", "alerts": ["unpriced"], "enabled": False}
    assert api.put(url, json=change, headers={"if-match": '"another"'}).status_code == 412
    changed = api.put(url, json=change, headers={"if-match": etag})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["alerts"], changed.json()["enabled"]) == ("renamed", ["unpriced"], False)
    assert api.post(f"{url}/test").status_code == 409
    assert api.delete(url).status_code == 204
    for gone in (api.get(url), api.delete(url), api.put(url, json={"name": "x"}), api.post(f"{url}/test")):
        assert gone.status_code == 404
    with module_database.superuser() as db:
        assert db.run("SELECT length(sealed) FROM alert_destinations WHERE id = :id", id=UUID(made["id"])) == [[0]]


def test_a_name_is_taken_until_it_is_deleted(api: TestClient, base: str) -> None:
    made = api.post(base, json=HOOK).json()
    assert api.post(base, json=HOOK).status_code == 409
    assert api.delete(f"{base}/{made['id']}").status_code == 204
    assert api.post(base, json=HOOK).status_code == 201


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "http://hooks.example.com/"},
        {"address": "https://10.0.0.1/"},
        {"address": "http://127.0.0.1:9/"},
        {"kind": "email", "address": "not an address"},
        {"kind": "email", "address": "a@example.com\nb@example.com"},
        {"kind": "sns", "address": "arn:aws:sqs:us-east-1:123456789012:q"},
        {"alerts": ["no such kind"]},
        {"alerts": []},
        {"secret": "whsec_mine"},
    ],
)
def test_what_makes_no_sense_is_refused(api: TestClient, base: str, wrong: dict[str, object]) -> None:
    answer = api.post(base, json=HOOK | wrong)
    assert answer.status_code == 422, answer.text


def test_a_loopback_address_is_taken_in_local_mode(api: TestClient, path: str, plane: Plane) -> None:
    assert plane.key_desk is not None
    local = replace(plane, key_desk=replace(plane.key_desk, loopback=True))
    client = TestClient(create(title="test", routers=ROUTERS, plane=local), headers=dict(api.headers))
    assert client.post(path, json=HOOK | {"address": "http://127.0.0.1:9/hook"}).status_code == 201


def test_kinds_differ_for_the_platform(api: TestClient, path: str) -> None:
    assert api.post(path, json=HOOK).json()["alerts"] == ["budget", "spike", "unpriced", "reconciliation"]
    assert api.post(path, json=HOOK | {"name": "x", "alerts": ["dead_letters"]}).status_code == 422


def test_only_a_platform_admin_names_a_topic(
    api: TestClient, path: str, app: object, issuer: Issuer, module_database: TestDatabase
) -> None:
    topic = {"name": "topic", "kind": "sns", "address": "arn:aws:sns:us-east-1:123456789012:alerts"}
    subject = f"owner-{uuid4()}"
    owner = TestClient(app, headers={"authorization": f"Bearer {issuer.mint(subject)}"})  # type: ignore[arg-type]
    owner.get("/admin/orgs")
    with module_database.superuser() as db:
        db.run(
            "INSERT INTO org_members (org_id, user_id, role) SELECT :org, id, 'owner' FROM user_identities WHERE subject = :s",
            org=UUID(path.split("/")[3]), s=subject,
        )  # fmt: skip
    assert owner.post(path, json=topic).status_code == 403
    assert owner.post(path, json=HOOK).status_code == 201
    assert api.post(path, json=topic).json()["secret"] is None


def test_another_organizations_destination_and_the_platforms_are_404(api: TestClient, path: str) -> None:
    mine = api.post(path, json=HOOK).json()["id"]
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    for url in (f"/admin/orgs/{other}/alert-destinations/{mine}", f"/admin/alert-destinations/{mine}"):
        assert api.get(url).status_code == 404
        assert api.get(f"{url}/deliveries").status_code == 404
        assert api.delete(url).status_code == 404
    assert mine not in api.get("/admin/alert-destinations").text


def test_a_test_is_delivered_and_what_became_of_it_is_listed(
    api: TestClient, base: str, plane: Plane, kek: LocalKek, module_database: TestDatabase
) -> None:
    assert plane.key_desk is not None
    local = replace(plane, key_desk=replace(plane.key_desk, loopback=True))
    client = TestClient(create(title="test", routers=ROUTERS, plane=local), headers=dict(api.headers))
    pool = module_database.as_role("navplane_notifier")
    with serving(lambda _: Answer()) as receiver:
        made = client.post(base, json=HOOK | {"address": receiver.url + "/hook"}).json()
        sent = client.post(f"{base}/{made['id']}/test")
        assert sent.status_code == 202, sent.text
        assert sent.json()["state"] == "pending"
        Notifier(database=pool, keys=kek, loopback=True).run()
    assert [request.headers["webhook-id"] for request in receiver.requests] == [sent.json()["id"]]
    assert b'"type": "alert.test"' in receiver.requests[0].body
    (listed,) = client.get(f"{base}/{made['id']}/deliveries").json()["items"]
    assert (listed["id"], listed["state"], listed["attempts"]) == (sent.json()["id"], "delivered", 1)


def test_deliveries_are_paged(api: TestClient, base: str) -> None:
    made = api.post(base, json=HOOK).json()
    url = f"{base}/{made['id']}"
    sent = [api.post(f"{url}/test").json()["id"] for _ in range(3)]
    first = api.get(f"{url}/deliveries", params={"limit": 2}).json()
    second = api.get(f"{url}/deliveries", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [one["id"] for one in [*first["items"], *second["items"]]] == sent[::-1]
    assert second["next_cursor"] is None


def test_a_kek_of_another_opens_nothing(api: TestClient, path: str, module_database: TestDatabase) -> None:
    made = api.post(path, json=HOOK).json()
    api.post(f"{path}/{made['id']}/test")
    Notifier(database=module_database.as_role("navplane_notifier"), keys=LocalKek(os.urandom(32))).run()
    (listed,) = api.get(f"{path}/{made['id']}/deliveries").json()["items"]
    assert (listed["state"], listed["last_error"]) == ("pending", "The sealed value could not be opened.")
