"""Provider keys: validated first, sealed then, and never seen again."""

import json
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS
from navplane.admin.plane import KeyDesk, Plane
from navplane.crypto.envelope import open_sealed
from navplane.crypto.kek_aws_kms import AwsKmsKek
from navplane.crypto.kek_local import LocalKek
from navplane.upstream.origin import Origins

from tests.integration.admin.support import Admission
from tests.support.http_script import Answer, ScriptedServer, serving
from tests.support.moto_server import aws_environment
from tests.support.postgres import TestDatabase

SECRET = "sk-live-0123456789-WXYZ"


@pytest.fixture
def path(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}/provider-keys"


def new_key(**changes: object) -> dict[str, object]:
    return {"provider": "openai", "label": "production", "api_key": SECRET, **changes}


def stored(database: TestDatabase, path: str) -> int:
    with database.superuser() as db:
        return int(db.run("SELECT count(*) FROM provider_keys WHERE org_id = :id", id=UUID(path.split("/")[3]))[0][0])


def test_a_key_is_stored_sealed_and_opens_where_the_gate_hands_it_out(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission, kek: LocalKek
) -> None:
    answer = api.post(path, json=new_key())
    assert answer.status_code == 201
    view = answer.json()
    assert set(view) == {
        "id",
        "provider",
        "label",
        "key_hint",
        "base_url",
        "demo",
        "is_default",
        "weight",
        "replaces",
        "created_at",
    }
    assert (view["provider"], view["label"], view["key_hint"]) == ("openai", "production", "WXYZ")
    assert (view["base_url"], view["demo"]) == (None, False)
    (candidate,) = admission.candidates(organization["api_key"])
    assert candidate.context.provider_key_id == UUID(view["id"])
    assert open_sealed(candidate.sealed, context=candidate.context, kek=kek).reveal() == SECRET.encode()


def test_the_provider_is_asked_with_the_key_in_its_own_way(api: TestClient, path: str, provider: ScriptedServer) -> None:
    api.post(path, json=new_key())
    api.post(path, json=new_key(provider="anthropic"))
    assert [request.path for request in provider.requests] == ["/v1/models", "/v1/models"]
    assert provider.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert SECRET in provider.requests[1].headers.values()


def test_a_key_that_the_provider_refuses_is_not_stored(api: TestClient, path: str, module_database: TestDatabase) -> None:
    answer = api.post(path, json=new_key(api_key="sk-bad-0123456789"))
    assert (answer.status_code, answer.json()["code"]) == (422, "provider_key_invalid")
    assert "sk-bad" not in answer.text
    assert stored(module_database, path) == 0


def test_a_provider_that_is_broken_is_our_unavailability(api: TestClient, path: str, module_database: TestDatabase) -> None:
    answer = api.post(path, json=new_key(api_key="sk-broken-0123456789"))
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "sk-broken" not in answer.text
    assert stored(module_database, path) == 0


def test_a_provider_that_nobody_listens_for_is_our_unavailability(
    plane: Plane, kek: LocalKek, api: TestClient, path: str, module_database: TestDatabase
) -> None:
    with serving(lambda request: Answer()) as gone:
        url = gone.url
    desk = KeyDesk(kek=kek, origins=Origins(overrides={"openai": url}, demo_url=None))
    answer = with_desk(plane, desk, api).post(path, json=new_key())
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert stored(module_database, path) == 0


def test_a_kek_that_is_away_stores_nothing(
    plane: Plane, api: TestClient, path: str, provider: ScriptedServer, module_database: TestDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    denied = Answer(status=400, body=json.dumps({"__type": "AccessDeniedException"}).encode())
    with serving(lambda request: denied) as kms:
        for name, value in aws_environment(kms.url).items():
            monkeypatch.setenv(name, value)
        desk = KeyDesk(kek=AwsKmsKek(str(uuid4())), origins=Origins(overrides={"openai": provider.url}, demo_url=None))
        answer = with_desk(plane, desk, api).post(path, json=new_key())
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert stored(module_database, path) == 0


def with_desk(plane: Plane, desk: KeyDesk, api: TestClient) -> TestClient:
    other = Plane(
        database=plane.database, access=plane.access, region=plane.region, key_prefixes=plane.key_prefixes, key_desk=desk
    )
    return TestClient(create(title="test", routers=ROUTERS, plane=other), headers=dict(api.headers))


def test_a_second_key_of_the_same_label_is_a_conflict_until_the_first_is_deleted(
    api: TestClient, path: str, provider: ScriptedServer
) -> None:
    first = api.post(path, json=new_key()).json()
    asked = len(provider.requests)
    answer = api.post(path, json=new_key(api_key="sk-live-another-1"))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert len(provider.requests) == asked
    assert api.post(path, json=new_key(label="staging")).status_code == 201
    assert api.post(path, json=new_key(provider="anthropic")).status_code == 201
    assert api.delete(f"{path}/{first['id']}").status_code == 204
    assert api.post(path, json=new_key()).status_code == 201


def test_a_deleted_key_is_gone_from_the_list_from_the_gate_and_from_the_row(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission, module_database: TestDatabase
) -> None:
    key_id = api.post(path, json=new_key()).json()["id"]
    assert api.delete(f"{path}/{key_id}").status_code == 204
    assert api.delete(f"{path}/{key_id}").status_code == 404
    assert api.get(path).json()["items"] == []
    assert admission.refusal(organization["api_key"]) == "provider_key_missing"
    with module_database.superuser() as db:
        assert db.run("SELECT sealed FROM provider_keys WHERE id = :id", id=UUID(key_id)) == [[b""]]


def test_another_organizations_key_is_404_as_one_that_does_not_exist(api: TestClient, path: str) -> None:
    key_id = api.post(path, json=new_key()).json()["id"]
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    for known_or_not in (key_id, str(uuid4()), "no-id"):
        answer = api.delete(f"/admin/orgs/{other}/provider-keys/{known_or_not}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert [item["id"] for item in api.get(path).json()["items"]] == [key_id]


def test_the_list_pages_newest_first(api: TestClient, path: str) -> None:
    made = [api.post(path, json=new_key(label=f"label {n}")).json()["id"] for n in range(3)]
    first = api.get(path, params={"limit": 2}).json()
    second = api.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [item["id"] for item in first["items"] + second["items"]] == made[::-1]
    assert second["next_cursor"] is None


def test_an_address_of_its_own_is_stored_shown_and_handed_out(
    plane: Plane, kek: LocalKek, api: TestClient, path: str, provider: ScriptedServer, organization: dict[str, str],
    admission: Admission,
) -> None:  # fmt: skip
    desk = KeyDesk(kek=kek, origins=Origins(overrides={"azure": provider.url}, demo_url=None))
    body = new_key(provider="azure", base_url=" https://my-resource.openai.azure.com/ ")
    answer = with_desk(plane, desk, api).post(path, json=body)
    assert (answer.status_code, answer.json()["base_url"]) == (201, "https://my-resource.openai.azure.com/")
    assert (provider.requests[0].path, provider.requests[0].headers["api-key"]) == ("/openai/v1/models", SECRET)
    (candidate,) = admission.candidates(organization["api_key"], provider="azure")
    assert candidate.base_url == "https://my-resource.openai.azure.com/"


def test_demo_keys_are_judged_by_the_demo_upstream_and_marked(api: TestClient, path: str, provider: ScriptedServer) -> None:
    assert api.post(path, json=new_key(api_key="sk-demo-12345678")).json()["demo"] is True
    assert api.post(path, json=new_key(api_key="sk-bad-12345678", label="bad")).status_code == 422
    assert api.post(path, json=new_key(label="real")).json()["demo"] is False
    assert [request.path for request in provider.requests] == ["/demo/v1/models", "/demo/v1/models", "/v1/models"]


def test_without_a_demo_upstream_a_demo_key_is_a_key_like_any_other(
    plane: Plane, kek: LocalKek, api: TestClient, path: str, provider: ScriptedServer
) -> None:
    desk = KeyDesk(kek=kek, origins=Origins(overrides={"openai": provider.url}, demo_url=None))
    answer = with_desk(plane, desk, api).post(path, json=new_key(api_key="sk-demo-12345678"))
    assert answer.json()["demo"] is False
    assert provider.requests[0].path == "/v1/models"


REFUSED: dict[str, dict[str, object]] = {
    "unknown provider": {"provider": "nobody"},
    "the key as provider": {"provider": SECRET},
    "base_url for a provider with an address": {"base_url": "https://evil.example/v1"},
    "no base_url for a provider without an address": {"provider": "azure"},
    "base_url of somebody else": {"provider": "azure", "base_url": "https://x.openai.azure.com.evil.example"},
    "base_url without TLS": {"provider": "custom", "base_url": "http://evil.example/v1"},
    "base_url with credentials": {"provider": "custom", "base_url": "https://evil@llm.example.com/v1"},
    "base_url that is an address": {"provider": "custom", "base_url": "https://169.254.169.254/v1"},
    "base_url of this machine": {"provider": "custom", "base_url": "https://localhost/v1"},
    "empty label": {"label": "   "},
    "label with a line break": {"label": "a\nb"},
    "label with NUL": {"label": "a\x00b"},
    "label too long": {"label": "x" * 201},
    "key of another type": {"api_key": ["sk-live-0123456789"]},
    "key too short": {"api_key": "sk-WXYZ"},
    "key too long": {"api_key": "sk-" + "x" * 5000},
    "key with a line break inside": {"api_key": "sk-live-01234\r\nx-evil: 56789"},
    "key with a space": {"api_key": "sk-live-0123 456789"},
    "key beyond ASCII": {"api_key": "sk-live-0123456789é"},
    "empty key": {"api_key": ""},
    "organization of another": {"org_id": str(uuid4())},
    "marked as demo": {"demo": True},
    "sealed already": {"sealed": "AQ=="},
    "id chosen": {"id": str(uuid4())},
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_accepted_is_422_before_the_provider_is_asked(
    api: TestClient, path: str, provider: ScriptedServer, module_database: TestDatabase, case: str
) -> None:
    answer = api.post(path, json=new_key(**REFUSED[case]))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text
    assert "sk-" not in answer.text
    assert "evil" not in answer.text
    assert provider.requests == []
    assert stored(module_database, path) == 0


@pytest.mark.parametrize("missing", ["provider", "label", "api_key"])
def test_a_missing_field_is_named_and_the_others_are_not_repeated(api: TestClient, path: str, missing: str) -> None:
    answer = api.post(path, json={name: value for name, value in new_key().items() if name != missing})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": f"body.{missing}", "message": "Field required"}]
    assert SECRET not in answer.text


def test_an_organization_of_another_region_keeps_its_keys_there(api: TestClient, provider: ScriptedServer) -> None:
    org_id = api.post("/admin/orgs", json={"name": "E", "home_region": "eu"}).json()["id"]
    answer = api.post(f"/admin/orgs/{org_id}/provider-keys", json=new_key())
    assert (answer.status_code, answer.json()["code"]) == (403, "region_mismatch")
    assert provider.requests == []


def test_an_unknown_organization_is_404_before_the_provider_is_asked(api: TestClient, provider: ScriptedServer) -> None:
    answer = api.post(f"/admin/orgs/{uuid4()}/provider-keys", json=new_key())
    assert answer.status_code == 404
    assert provider.requests == []
