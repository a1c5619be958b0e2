"""Receipts: read with an API key, for its own workspace, under the role that only reads."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.admin import receipts
from navplane.admin.app import create
from navplane.admin.plane import Plane
from navplane.crypto.api_key import digest
from navplane.gate.gate import Admission, Ask, Charge
from navplane.gate.gate_postgres import PostgresGate
from navplane.gateway.call import Attempt
from navplane.model.ids import RequestId, new_id, new_request_id
from navplane.model.price import Price, PriceSource
from navplane.model.usage import PriceQuality
from navplane.store.database import sqlstate
from navplane.store.request_logs import record
from pg8000.exceptions import DatabaseError

from tests.integration.admin.support import ask
from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

PRICE = Price(
    cost_usd=Decimal("0.000123"), quality=PriceQuality.PRICED, source=PriceSource.LIST, version="list 1", negotiable=True
)


@pytest.fixture
def reading(module_database: TestDatabase, plane: Plane) -> TestClient:
    reader = module_database.as_role("navplane_reader")
    app = create(
        title="analytics",
        routers=(receipts.router,),
        plane=Plane(database=reader, access=plane.access, region=plane.region, key_prefixes=plane.key_prefixes),
    )
    return TestClient(app)


@pytest.fixture
def with_key(api: TestClient, organization: dict[str, str]) -> dict[str, str]:
    body = {"provider": "openai", "label": "main", "api_key": "sk-live-12345678"}
    assert api.post(f"/admin/orgs/{organization['id']}/provider-keys", json=body).status_code == 201
    return organization


def admitted(database: TestDatabase, api_key: str) -> Ask:
    now = datetime.now(UTC)
    gate, asked = PostgresGate(database.as_role("navplane_gate")), ask(api_key, now)
    assert isinstance(gate.admit(asked, now), Admission)
    return asked


def written(database: TestDatabase, request_id: RequestId) -> None:
    """As the writer does: the row, then the gate."""
    writer = database.as_role("navplane_writer")
    with writer.transaction() as db:
        assert record(db, [usage_event(request_id=request_id)], price=lambda _: PRICE).rows
    PostgresGate(writer).finalize({request_id: Charge(tokens=18)}, datetime.now(UTC))


def read(client: TestClient, request_id: object, key: str, header: str = "authorization") -> tuple[int, dict[str, object]]:
    value = f"Bearer {key}" if header == "authorization" else key
    answer = client.get(f"/v1/receipts/{request_id}", headers={header: value})
    return answer.status_code, answer.json()


def test_a_request_is_pending_until_it_is_written_and_then_shows_what_was_charged(
    reading: TestClient, with_key: dict[str, str], module_database: TestDatabase
) -> None:
    asked = admitted(module_database, with_key["api_key"])
    pending = reading.get(f"/v1/receipts/{asked.request_id}", headers={"x-api-key": with_key["api_key"]})
    assert (pending.status_code, pending.headers["retry-after"]) == (202, "1")
    assert pending.json() == {"request_id": str(asked.request_id), "state": "pending"}
    written(module_database, asked.request_id)
    status, receipt = read(reading, asked.request_id, with_key["api_key"])
    assert status == 200
    shown = {name: receipt[name] for name in ("request_id", "state", "outcome", "usage_quality", "total_tokens", "cost_usd")}
    assert shown == {
        "request_id": str(asked.request_id), "state": "recorded", "outcome": "ok", "usage_quality": "exact",
        "total_tokens": 18, "cost_usd": "0.000123000",
    }  # fmt: skip
    assert isinstance(receipt["charged"], list)
    (entry,) = receipt["charged"]
    assert (entry["kind"], entry["amount_usd"], entry["price_source"]) == ("charge", "0.000123000", "list")
    assert (receipt["route"], receipt["attempt_log"]) == (None, None)


def test_what_was_tried_is_shown_as_the_gateway_wrote_it(
    reading: TestClient, with_key: dict[str, str], module_database: TestDatabase
) -> None:
    asked, key_id = admitted(module_database, with_key["api_key"]), new_id()
    first = Attempt(provider="openai", provider_key_id=key_id, model="a", status=503, error=None, milliseconds=12)
    second = Attempt(provider="groq", provider_key_id=key_id, model="b", status=None, error="upstream_timeout", milliseconds=7)
    written(module_database, asked.request_id)
    with module_database.superuser() as superuser:
        superuser.run(
            "UPDATE request_logs SET route = 'fast', attempt_log = :log::jsonb WHERE request_id = :id",
            log=json.dumps([asdict(first), asdict(second)], default=str),
            id=asked.request_id,
        )
    receipt = read(reading, asked.request_id, with_key["api_key"])[1]
    assert receipt["route"] == "fast"
    assert receipt["attempt_log"] == [{**asdict(each), "provider_key_id": str(key_id)} for each in (first, second)]


def test_another_organizations_and_another_workspaces_requests_do_not_exist(
    api: TestClient, reading: TestClient, with_key: dict[str, str], module_database: TestDatabase
) -> None:
    opened, closed = (admitted(module_database, with_key["api_key"]) for _ in range(2))
    written(module_database, closed.request_id)
    stranger = api.post("/admin/orgs", json={"name": "Other"}).json()["api_key"]
    key = f"np_{uuid4()}"
    with module_database.superuser() as superuser:
        ids = {"org": UUID(with_key["id"]), "workspace": uuid4()}
        superuser.run("INSERT INTO workspaces (org_id, id, name, region) VALUES (:org, :workspace, 'More', 'us')", **ids)
        superuser.run(
            """INSERT INTO api_keys (org_id, id, workspace_id, name, digest, key_prefix, key_hint)
               VALUES (:org, :id, :workspace, 'k', :digest, 'np_', 'abcd')""",
            **ids, id=uuid4(), digest=digest(key),
        )  # fmt: skip
    for asked in (opened, closed):
        assert read(reading, asked.request_id, stranger)[0] == 404
        assert read(reading, asked.request_id, key)[0] == 404
    status, problem = read(reading, new_request_id(datetime.now(UTC)), with_key["api_key"])
    assert (status, problem["code"]) == (404, "not_found")
    assert "not written down yet" in str(problem["detail"])


def test_only_a_key_in_force_reads_receipts(api: TestClient, reading: TestClient, organization: dict[str, str]) -> None:
    request_id = new_request_id(datetime.now(UTC))
    for key in ("", "np_x", f"np_{uuid4()}", "Bearer"):
        status, problem = read(reading, request_id, key)
        assert (status, problem["code"]) == (401, "invalid_api_key")
    two = {"authorization": f"Bearer {organization['api_key']}", "x-api-key": f"np_{uuid4()}"}
    assert reading.get(f"/v1/receipts/{request_id}", headers=two).status_code == 401
    path = f"/admin/orgs/{organization['id']}"
    assert api.put(f"{path}/enabled", json={"enabled": False}).status_code == 200
    status, problem = read(reading, request_id, organization["api_key"])
    assert (status, problem["code"]) == (403, "organization_disabled")
    assert api.put(f"{path}/enabled", json={"enabled": True}).status_code == 200
    assert api.post(f"{path}/rotate-key").status_code == 200
    assert read(reading, request_id, organization["api_key"])[0] == 401


def test_an_access_token_reads_no_receipt_and_what_is_no_id_is_not_found(
    api: TestClient, reading: TestClient, organization: dict[str, str]
) -> None:
    assert api.get(f"/v1/receipts/{uuid4()}").status_code == 401
    assert read(reading, "x", organization["api_key"])[0] == 404


def test_nobody_else_may_look_a_key_up(module_database: TestDatabase) -> None:
    for role in ("navplane_admin", "navplane_writer", "navplane_gate"):
        with module_database.as_role(role).connection() as db, pytest.raises(DatabaseError) as refused:
            db.run("SELECT 1 FROM public.receipt_caller(NULL, NULL, NULL)")
        assert sqlstate(refused.value) == "42501"
