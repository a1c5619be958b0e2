"""What becomes of a stored provider key: its label, the default of its provider, and its rotation under load."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS
from navplane.admin.plane import Plane
from navplane.crypto.envelope import kek_id_of, open_sealed
from navplane.crypto.kek import Kek
from navplane.crypto.kek_local import LocalKek
from navplane.crypto.kek_ring import KekRing
from navplane.custody.rewrap import Rewrapper

from tests.integration.admin.support import Admission
from tests.support.postgres import TestDatabase

FIRST, SECOND = "sk-live-0123456789-AAAA", "sk-live-0123456789-BBBB"
Opened = Callable[[], list[str]]


@pytest.fixture
def path(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}/provider-keys"


@pytest.fixture
def key(api: TestClient, path: str) -> dict[str, Any]:
    return store(api, path, "production", FIRST)


@pytest.fixture
def opened(organization: dict[str, str], admission: Admission, kek: LocalKek) -> Opened:
    """The keys that a call would be given just now, opened."""
    return lambda: opening(admission, organization, kek)


def store(api: TestClient, path: str, label: str, secret: str, **more: object) -> dict[str, Any]:
    answer = api.post(path, json={"provider": "openai", "label": label, "api_key": secret, **more})
    assert answer.status_code == 201, answer.text
    stored: dict[str, Any] = answer.json()
    return stored


def opening(admission: Admission, organization: dict[str, str], kek: Kek) -> list[str]:
    candidates = admission.candidates(organization["api_key"])
    return [open_sealed(one.sealed, context=one.context, kek=kek).reveal().decode() for one in candidates]


def test_a_label_can_be_changed_to_one_that_is_free(api: TestClient, path: str, key: dict[str, Any], opened: Opened) -> None:
    other = store(api, path, "other", SECOND)
    assert api.put(f"{path}/{key['id']}", json={"label": " live "}).json() == {**key, "label": "live"}
    assert api.put(f"{path}/{other['id']}", json={"label": "live"}).status_code == 409
    assert api.put(f"{path}/{other['id']}", json={"label": "other"}).status_code == 200
    assert api.put(f"{path}/{uuid4()}", json={"label": "x"}).status_code == 404
    assert api.put(f"{path}/{key['id']}", json={"api_key": SECOND}).status_code == 422
    assert sorted(opened()) == [FIRST, SECOND]


def test_a_change_of_what_has_changed_meanwhile_is_refused(api: TestClient, path: str, key: dict[str, Any]) -> None:
    read = api.get(f"{path}/{key['id']}")
    assert read.json() == key
    version = {"if-match": read.headers["etag"]}
    assert api.put(f"{path}/{key['id']}", json={"label": "one"}, headers=version).status_code == 200
    assert api.put(f"{path}/{key['id']}", json={"label": "two"}, headers=version).status_code == 412


def test_calls_go_to_the_default_key_alone_until_there_is_none(
    api: TestClient, path: str, key: dict[str, Any], opened: Opened
) -> None:
    other = store(api, path, "other", SECOND)
    assert api.put(f"{path}/{key['id']}", json={"is_default": True}).json()["is_default"] is True
    assert opened() == [FIRST]
    later = store(api, path, "later", "sk-live-0123456789-CCCC")
    assert opened() == [FIRST]
    api.put(f"{path}/{other['id']}", json={"is_default": True})
    assert opened() == [SECOND]
    shown = {item["id"]: item["is_default"] for item in api.get(path).json()["items"]}
    assert shown == {key["id"]: False, other["id"]: True, later["id"]: False}
    api.delete(f"{path}/{other['id']}")
    assert len(opened()) == 2
    api.put(f"{path}/{key['id']}", json={"is_default": True})
    api.put(f"{path}/{key['id']}", json={"is_default": False})
    assert len(opened()) == 2


def test_calls_are_shared_out_by_weight_which_a_rotation_keeps(
    api: TestClient, path: str, key: dict[str, Any], organization: dict[str, str], admission: Admission
) -> None:
    other = store(api, path, "other", SECOND, weight=3)
    assert (key["weight"], other["weight"]) == (1, 3)
    assert api.put(f"{path}/{key['id']}", json={"weight": 7}).json()["weight"] == 7
    new = api.post(f"{path}/{key['id']}/rotate", json={"api_key": FIRST}).json()
    assert new["weight"] == 7
    assert admission.shares(organization["api_key"]) == {new["id"]: 700, other["id"]: 300}
    assert api.put(f"{path}/{new['id']}", json={"weight": 0}).status_code == 422


def test_one_providers_default_is_no_matter_of_anothers(
    api: TestClient, path: str, key: dict[str, Any], organization: dict[str, str], admission: Admission
) -> None:
    store(api, path, "production", SECOND, provider="anthropic")
    api.put(f"{path}/{key['id']}", json={"is_default": True})
    assert len(admission.candidates(organization["api_key"], provider="anthropic")) == 1


def test_a_rotated_key_gives_way_at_once_and_its_successor_has_its_place(
    api: TestClient, path: str, key: dict[str, Any], opened: Opened, module_database: TestDatabase
) -> None:
    api.put(f"{path}/{key['id']}", json={"is_default": True})
    new = api.post(f"{path}/{key['id']}/rotate", json={"api_key": SECOND})
    assert new.status_code == 201
    shown = new.json()
    assert (shown["label"], shown["is_default"], shown["replaces"], shown["key_hint"]) == (
        "production",
        True,
        key["id"],
        "BBBB",
    )
    assert opened() == [SECOND]
    assert [item["id"] for item in api.get(path).json()["items"]] == [shown["id"]]
    with module_database.superuser() as db:
        assert db.run("SELECT length(sealed) FROM provider_keys WHERE id = :id", id=UUID(key["id"])) == [[0]]
        actions = db.run("SELECT action, before->>'key_hint', after->>'key_hint' FROM audit_events WHERE resource = :r",
                         r=f"provider_key/{shown['id']}")  # fmt: skip
    assert actions == [["provider_key:rotate", "AAAA", "BBBB"]]
    assert api.post(f"{path}/{key['id']}/rotate", json={"api_key": SECOND}).status_code == 404


@pytest.mark.parametrize(("secret", "status"), [("sk-bad-0123456789", 422), ("sk-broken-0123456789", 503), ("x", 422)])
def test_a_new_key_that_the_provider_does_not_take_changes_nothing(
    api: TestClient, path: str, key: dict[str, Any], opened: Opened, secret: str, status: int
) -> None:
    answer = api.post(f"{path}/{key['id']}/rotate", json={"api_key": secret})
    assert answer.status_code == status
    assert secret not in answer.text
    assert opened() == [FIRST]


def test_no_call_finds_itself_without_a_key_while_one_is_rotated(
    api: TestClient, path: str, key: dict[str, Any], organization: dict[str, str], admission: Admission, kek: LocalKek
) -> None:
    stop, seen = threading.Event(), set()

    def calls() -> None:
        while not stop.is_set():
            (secret,) = opening(admission, organization, kek)
            seen.add(secret)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(calls) for _ in range(2)]
        current, secrets = key["id"], {FIRST}
        for number in range(10):
            secret = f"sk-live-0123456789-{number:04}"
            current = api.post(f"{path}/{current}/rotate", json={"api_key": secret}).json()["id"]
            secrets.add(secret)
        stop.set()
        for one in running:
            one.result(timeout=30)
    assert seen <= secrets
    assert opening(admission, organization, kek) == [secret]


def test_another_organizations_key_does_not_exist(api: TestClient, path: str, key: dict[str, Any], opened: Opened) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    elsewhere = f"/admin/orgs/{other['id']}/provider-keys/{key['id']}"
    assert api.put(elsewhere, json={"label": "x"}).status_code == 404
    assert api.post(f"{elsewhere}/rotate", json={"api_key": SECOND}).status_code == 404
    assert opened() == [FIRST]


def test_while_the_kek_is_replaced_a_key_is_sealed_under_the_new_one_or_not_at_all(
    plane: Plane, api: TestClient, path: str, key: dict[str, Any], organization: dict[str, str], admission: Admission,
    kek: LocalKek, module_database: TestDatabase,
) -> None:  # fmt: skip
    new = LocalKek(os.urandom(32))
    custodian = module_database.as_role("navplane_rewrap", size=1)
    rewrapper = Rewrapper(database=custodian, old=kek, new=new)
    rewrapper.run(now=lambda: datetime.now(UTC), goes_on=lambda: False)
    try:
        refused = api.post(f"{path}/{key['id']}/rotate", json={"api_key": SECOND})
        assert (refused.status_code, refused.json()["code"]) == (503, "key_unavailable")
        assert plane.key_desk is not None
        knowing = create(title="t", routers=ROUTERS, plane=replace(plane, key_desk=replace(plane.key_desk, successor=new)))
        client = TestClient(knowing, headers=dict(api.headers))
        assert client.post(f"{path}/{key['id']}/rotate", json={"api_key": SECOND}).status_code == 201
        (candidate,) = admission.candidates(organization["api_key"])
        assert kek_id_of(candidate.sealed) == new.kek_id
        assert opening(admission, organization, KekRing(current=kek, successor=new)) == [SECOND]
    finally:
        rewrapper.run(now=lambda: datetime.now(UTC))
        assert replace(rewrapper, old=new, new=kek).run(now=lambda: datetime.now(UTC)).finished
