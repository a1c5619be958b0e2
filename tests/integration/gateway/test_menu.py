"""`GET /v1/models`: what this key may call, in the caller's dialect, without a provider being asked."""

import pytest
from navplane.model.dialect import Dialect
from navplane.model.ids import new_id
from navplane.model.limit import ModelPrice
from navplane.model.policy import Policy
from navplane.model.route import Route, Target
from navplane.model.usage import Outcome, Usage, UsageQuality

from tests.integration.gateway.conftest import Application
from tests.support.provider import FakeProvider

PRICE = ModelPrice(input_nano_usd=1, output_nano_usd=1)
PRICED = [("openai", "gpt-5"), ("openai", "o5"), ("openrouter", "x/y"), ("anthropic", "claude-opus-5"), ("anthropic", "other")]


@pytest.fixture(autouse=True)
def priced(application: Application) -> None:
    for provider, model in PRICED:
        application.server.gate.set_price(provider, model, PRICE)


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/v1/models"])
def test_openai_clients_get_a_list_of_theirs(application: Application, provider: FakeProvider, path: str) -> None:
    called = len(provider.requests)
    targets = (Target(provider="openai", model="gpt-5"),)
    fast = Route(id=new_id(), name="f", match="fast", dialect=Dialect.OPENAI, targets=targets)
    application.server.gate.set_route(application.tenant.org_id, fast)
    answer = application.http.get(path, headers=application.bearer)
    assert answer.status_code == 200
    assert answer.json() == {
        "object": "list",
        "data": [
            {"id": "fast", "object": "model", "created": 0, "owned_by": "route"},
            {"id": "gpt-5", "object": "model", "created": 0, "owned_by": "openai"},
            {"id": "o5", "object": "model", "created": 0, "owned_by": "openai"},
        ],
    }
    assert len(provider.requests) == called
    row = application.row()
    assert (row.endpoint.value, row.provider, row.outcome, row.usage, row.usage_quality) == (
        "models", None, Outcome.OK, Usage(), UsageQuality.EXACT,
    )  # fmt: skip
    assert answer.headers["x-navplane-request-id"] == str(row.request_id)


def test_anthropic_clients_get_a_list_of_theirs_with_prefixes_where_the_name_alone_leads_elsewhere(
    application: Application,
) -> None:
    answer = application.http.get("/v1/models?limit=1000", headers={**application.bearer, "anthropic-version": "2023-06-01"})
    listed = answer.json()
    assert [model["id"] for model in listed["data"]] == ["claude-opus-5", "anthropic/other"]
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, "claude-opus-5", "anthropic/other")
    assert set(listed["data"][0]) == {"type", "id", "display_name", "created_at"}


def test_policies_hold_for_the_list_too(application: Application) -> None:
    application.server.gate.set_policy(application.tenant.org_id, Policy(allow_models=("o5",)))
    answer = application.http.get("/v1/models", headers=application.bearer)
    assert [model["id"] for model in answer.json()["data"]] == ["o5"]


def test_a_disabled_organization_has_no_list_and_a_row(application: Application) -> None:
    application.server.gate.set_enabled(application.tenant.org_id, False)
    answer = application.http.get("/v1/models", headers=application.bearer)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "organization_disabled")
    assert application.row().outcome is Outcome.REFUSED


def test_an_unknown_key_is_401(application: Application) -> None:
    key = "np_00000000-0000-4000-8000-000000000000"
    answer = application.http.get("/v1/models", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 401
