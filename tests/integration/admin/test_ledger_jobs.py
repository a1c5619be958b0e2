"""Jobs on the ledger as they are started and followed; what they do is tested where it is done."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.ledger_jobs import LedgerJobs
from navplane.ingest.recording import record_what_can_be
from navplane.model.usage import Usage

from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

REPRICE: dict[str, Any] = {"kind": "reprice", "start": "2026-11-01T00:00:00Z"}


@pytest.fixture
def path(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}/ledger-jobs"


def test_a_job_is_started_done_and_followed(
    api: TestClient, path: str, organization: dict[str, str], module_database: TestDatabase
) -> None:
    with module_database.superuser() as superuser:
        superuser.run("UPDATE ledger_jobs SET state = 'done'")
        [[key_id]] = superuser.run("SELECT id FROM api_keys WHERE org_id = :id", id=UUID(organization["id"]))
    writer = module_database.as_role("navplane_writer")
    record_what_can_be(writer, [usage_event(key_id=key_id, usage=Usage(input_tokens=1000))])
    terms = {
        "provider": "openai", "model": "gpt-5", "effective_from": "2026-01-01T00:00:00Z", "input_usd_per_million": "1",
        "output_usd_per_million": "1",
    }  # fmt: skip
    assert api.post(f"/admin/orgs/{organization['id']}/price-overrides", json=terms).status_code == 201
    started = api.post(path, json={**REPRICE, "start": "2026-01-01T00:00:00Z"})
    assert (started.status_code, started.json()["state"], started.json()["progress"]) == (202, "waiting", 0)
    LedgerJobs(database=writer, gate=PostgresGate(writer)).run(now=datetime.now(UTC), seconds=60)
    followed = api.get(f"{path}/{started.json()['id']}").json()
    expected = {
        "kind": "reprice", "state": "done", "progress": 1, "requests_seen": 1, "requests_changed": 1,
        "cost_change_usd": "-0.000250000", "failure": None, "requested_by": "local|admin", "start": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    assert expected.items() <= followed.items()
    assert followed["finished_at"] is not None


def test_one_of_a_kind_at_a_time(api: TestClient, path: str) -> None:
    first = api.post(path, json=REPRICE)
    second = api.post(path, json=REPRICE)
    assert (second.status_code, second.json()["code"]) == (409, "conflict")
    other = api.post(path, json={**REPRICE, "kind": "rebuild_rollups"})
    assert other.status_code == 202
    page = api.get(path, params={"limit": 1}).json()
    assert page["items"] == [other.json()]
    assert api.get(path, params={"cursor": page["next_cursor"]}).json() == {"items": [first.json()], "next_cursor": None}


def test_starting_one_is_audited(
    api: TestClient, path: str, organization: dict[str, str], module_database: TestDatabase
) -> None:
    started = api.post(path, json=REPRICE).json()
    with module_database.superuser() as superuser:
        events = superuser.run(
            "SELECT action, actor, after FROM audit_events WHERE resource = :resource", resource=f"ledger_job/{started['id']}"
        )
    assert events == [["ledger_job:create", "local|admin", started]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "delete_everything"}, {"start": "2026-11-01"}, {"start": "2126-01-01T00:00:00Z"},
        {"start": "1969-12-31T23:59:59Z"}, {"end": "2026-11-01T00:00:00Z"}, {"state": "done"}, {"start": None},
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_no_job_is_made(api: TestClient, path: str, wrong: dict[str, Any]) -> None:
    assert api.post(path, json={**REPRICE, **wrong}).status_code == 422
    assert api.get(path).json()["items"] == []


def test_the_job_of_another_organization_does_not_exist(api: TestClient, path: str) -> None:
    job_id = api.post(path, json=REPRICE).json()["id"]
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    for organization in (other, str(uuid4())):
        assert api.get(f"/admin/orgs/{organization}/ledger-jobs/{job_id}").status_code == 404
