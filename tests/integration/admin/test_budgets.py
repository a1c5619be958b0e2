"""Budgets: what the gate has counted, told apart, beside what the ledger says."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from navplane.gate.gate import Charge
from navplane.gate.gate_postgres import PostgresGate
from navplane.store.database import sqlstate
from pg8000.exceptions import DatabaseError

from tests.integration.admin.support import ask
from tests.support.postgres import TestDatabase


@pytest.fixture
def base(api: TestClient, organization: dict[str, str]) -> str:
    base = f"/admin/orgs/{organization['id']}"
    key = {"provider": "openai", "label": "x", "api_key": "sk-live-12345678"}
    assert api.post(f"{base}/provider-keys", json=key).status_code == 201
    return base


def limit(api: TestClient, base: str, **body: object) -> str:
    answer = api.post(f"{base}/limits", json={"scope": "organization", **body})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_what_is_spent_is_told_from_what_is_held_and_shown_beside_the_ledger(
    api: TestClient, base: str, organization: dict[str, str], module_database: TestDatabase
) -> None:
    limit(api, base, kind="tokens_per_day", amount=1000)
    limit(api, base, kind="requests_per_minute", amount=1000)
    now = datetime.now(UTC)
    gate = PostgresGate(module_database.as_role("navplane_gate"))
    writer = PostgresGate(module_database.as_role("navplane_writer"))
    done, open_ = (ask(organization["api_key"], now) for _ in range(2))
    for one, tokens in ((done, 300), (open_, 200)):
        gate.admit(one, now)
        gate.settle(one.request_id, Charge(tokens=tokens), now)
    writer.finalize({done.request_id: Charge(tokens=250)}, now)
    with module_database.superuser() as db:
        db.run(
            "INSERT INTO usage_daily (org_id, workspace_id, key_id, endpoint, demo, starts_at, requests, failed_requests,"
            " unpriced_requests, inexact_requests, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens,"
            " reasoning_tokens, cost_usd) SELECT :org, id, id, 'models', false, date_trunc('day', :now::timestamptz, 'UTC'),"
            " 1, 0, 0, 0, 200, 0, 0, 60, 0, 0 FROM workspaces WHERE org_id = :org",
            org=UUID(organization["id"]), now=now,
        )  # fmt: skip
    (budget,) = api.get(f"{base}/budgets").json()["items"]
    expected = {
        "kind": "tokens_per_day", "unit": "tokens", "amount": "1000", "spent": "250", "reserved": "200", "remaining": "550",
        "percent": 25.0, "recorded": "260", "difference": "10",
    }  # fmt: skip
    assert expected.items() <= budget.items()
    starts, ends = (datetime.fromisoformat(budget[name]) for name in ("starts_at", "resets_at"))
    assert starts <= now < ends
    assert ends - starts == timedelta(days=1)


def test_a_budget_in_usd_is_in_usd_and_a_budget_of_nothing_has_no_percent(api: TestClient, base: str) -> None:
    nothing = limit(api, base, kind="tokens_per_month", amount=0)
    money = limit(api, base, kind="usd_per_month", amount_usd="25.50")
    first, second = api.get(f"{base}/budgets").json()["items"]
    assert (first["limit_id"], first["unit"], first["amount"], first["remaining"]) == (money, "usd", "25.5", "25.5")
    assert (second["limit_id"], second["percent"]) == (nothing, None)
    page = api.get(f"{base}/budgets", params={"limit": 1}).json()
    rest = api.get(f"{base}/budgets", params={"cursor": page["next_cursor"]}).json()
    assert [item["limit_id"] for item in page["items"] + rest["items"]] == [money, nothing]


def test_nobody_sees_another_organizations_budgets(api: TestClient, base: str, module_database: TestDatabase) -> None:
    limit(api, base, kind="tokens_per_day", amount=1000)
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    assert api.get(f"/admin/orgs/{other}/budgets").json()["items"] == []
    reader = module_database.as_role("navplane_reader", size=1)
    with reader.transaction() as db:
        assert db.run("SELECT FROM public.budgets_of_organization(now())") == []
    for function in ("budgets_of_everybody(now())", "gate_budgets(NULL, now())"):
        with pytest.raises(DatabaseError) as refused, reader.transaction(org_id=UUID(other)) as db:
            db.run(f"SELECT FROM public.{function}")
        assert sqlstate(refused.value) == "42501"
