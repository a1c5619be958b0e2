"""Provider settings, as they are shown and as the gate obeys them."""

import pytest
from fastapi.testclient import TestClient
from navplane.gate.gate import RefusalReason
from navplane.upstream.providers import PROVIDERS

from tests.integration.admin.support import Admission

ALL_ENABLED = {name: {"enabled": True} for name in PROVIDERS}


@pytest.fixture
def path(api: TestClient, organization: dict[str, str]) -> str:
    base = f"/admin/orgs/{organization['id']}"
    key = {"provider": "openai", "label": "x", "api_key": "sk-live-12345678"}
    assert api.post(f"{base}/provider-keys", json=key).status_code == 201
    return f"{base}/provider-settings"


def test_everything_is_allowed_until_somebody_says_otherwise(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission
) -> None:
    assert api.get(path).json() == {"providers": ALL_ENABLED, "allow_models": [], "block_models": []}
    assert admission.refusal(organization["api_key"]) is None


def test_a_disabled_provider_is_refused_from_the_next_call_on(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission
) -> None:
    answer = api.put(path, json={"providers": {"openai": {"enabled": False}}})
    assert answer.json()["providers"] == {**ALL_ENABLED, "openai": {"enabled": False}}
    assert admission.refusal(organization["api_key"]) is RefusalReason.MODEL_NOT_ALLOWED
    api.put(path, json={"providers": {"openai": {"enabled": True}}})
    assert admission.refusal(organization["api_key"]) is None


def test_models_are_allowed_and_blocked_by_pattern(
    api: TestClient, path: str, organization: dict[str, str], admission: Admission
) -> None:
    api.put(path, json={"allow_models": ["gpt-5*"], "block_models": ["gpt-5-pro*"]})
    key = organization["api_key"]
    assert admission.refusal(key, model="gpt-5-mini") is None
    assert admission.refusal(key, model="gpt-5-pro-x") is RefusalReason.MODEL_NOT_ALLOWED
    assert admission.refusal(key, model="o3") is RefusalReason.MODEL_NOT_ALLOWED


def test_what_is_absent_stays_as_it_is(api: TestClient, path: str) -> None:
    api.put(path, json={"providers": {"anthropic": {"enabled": False}}, "allow_models": ["a", "b"]})
    changed = api.put(path, json={"block_models": ["null", "c,d", '"', "{}", "\\"]}).json()
    assert changed == {
        "providers": {**ALL_ENABLED, "anthropic": {"enabled": False}},
        "allow_models": ["a", "b"],
        "block_models": ["null", "c,d", '"', "{}", "\\"],
    }
    assert api.get(path).json() == changed
    assert api.put(path, json={}).json() == changed
    assert api.put(path, json={"allow_models": []}).json()["allow_models"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"providers": {"nobody": {"enabled": True}}},
        {"providers": {"openai": {"enabled": "no"}}},
        {"providers": {"openai": {}}},
        {"providers": {"openai": {"enabled": True, "key": "x"}}},
        {"providers": [["openai", True]]},
        {"allow_models": "gpt-5"},
        {"allow_models": [""]},
        {"allow_models": ["a\nb"]},
        {"allow_models": ["x" * 201]},
        {"allow_models": ["x"] * 201},
        {"block_models": [None]},
        {"disabled_providers": ["openai"]},
        [],
        "providers",
        None,
    ],
)
def test_settings_that_make_no_sense_are_refused_and_change_nothing(api: TestClient, path: str, body: object) -> None:
    before = api.get(path).json()
    answer = api.put(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert api.get(path).json() == before


def test_the_providers_are_listed_without_their_addresses(api: TestClient) -> None:
    page = api.get("/providers").json()
    assert page["next_cursor"] is None
    assert [item["name"] for item in page["items"]] == list(PROVIDERS)
    assert page["items"][1]["endpoints"] == [endpoint.value for endpoint in PROVIDERS["anthropic"].paths]
    assert {"messages", "messages.count_tokens", "models"} <= set(page["items"][1]["endpoints"])
    assert "127.0.0.1" not in api.get("/providers").text
