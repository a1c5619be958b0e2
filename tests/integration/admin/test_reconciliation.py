"""The ledger against a provider's report, from the admin key that is stored to the page that shows how they compare."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.crypto.envelope import open_sealed
from navplane.crypto.kek_local import LocalKek
from navplane.custody.reconcile import Reconciler
from navplane.errors import DecryptionError
from navplane.ingest.alerts import watch
from navplane.model.provider_key import SealingContext
from navplane.model.tenancy import Region
from navplane.store.database import sqlstate
from navplane.upstream.provider import Origin
from navplane.upstream.usage_reports import UsageReports
from pg8000.exceptions import DatabaseError

from tests.support.http_script import Answer, ScriptedServer, serving
from tests.support.postgres import TestDatabase
from tests.support.usage_reports import ANTHROPIC_PAGES, OPENAI_PAGES, reporting

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = "sk-admin-0123456789-WXYZ"


@pytest.fixture
def path(organization: dict[str, str], module_database: TestDatabase) -> str:
    with module_database.superuser() as db:
        db.run("DELETE FROM reconciliation_keys")
    return f"/admin/orgs/{organization['id']}/reconciliation"


def reconciler(
    server: ScriptedServer, database: TestDatabase, kek: LocalKek, now: datetime = NOW, *, region: Region = Region.US
) -> Reconciler:
    origin = Origin.parse(server.url)
    reports = UsageReports({"openai": origin, "anthropic": origin})
    pool = database.as_role("navplane_probe", size=1)
    return Reconciler(database=pool, keys=kek, reports=reports, region=region, clock=lambda: now, days=2)


def store(api: TestClient, path: str, database: TestDatabase, provider: str = "openai") -> None:
    answer = api.post(f"{path}/keys", json={"provider": provider, "admin_key": KEY})
    assert answer.status_code == 201, answer.text
    assert KEY not in answer.text
    with database.superuser() as db:
        db.run("UPDATE reconciliation_keys SET requested_at = :now WHERE requested_at IS NOT NULL", now=NOW)


def used(database: TestDatabase, path: str, *, model: str, day: str, requests: int, given: int, out: int, usd: str) -> None:
    with database.superuser() as db:
        db.run(
            "INSERT INTO org_usage_daily (org_id, workspace_id, provider, model, endpoint, demo, starts_at, requests,"
            " failed_requests, unpriced_requests, inexact_requests, input_tokens, cached_input_tokens, cache_write_tokens,"
            " output_tokens, reasoning_tokens, cost_usd) VALUES (:org, :ws, 'openai', :model, 'chat.completions', false,"
            " CAST(:day AS timestamptz), :requests, 0, 0, 0, :given, 0, 0, :out, 0, CAST(:usd AS numeric))",
            org=UUID(path.split("/")[3]), ws=uuid4(), model=model, day=f"{day}T00:00:00Z", requests=requests, given=given,
            out=out, usd=usd,
        )  # fmt: skip


def test_without_a_key_it_is_not_configured_and_says_so(api: TestClient, path: str) -> None:
    states = api.get(f"{path}/keys").json()["items"]
    assert [(state["provider"], state["configured"]) for state in states] == [("openai", False), ("anthropic", False)]
    assert api.get(path).json() == {"items": [], "next_cursor": None}
    assert api.post(f"{path}/runs").status_code == 409


def test_the_ledger_is_held_against_the_report(
    api: TestClient, path: str, module_database: TestDatabase, kek: LocalKek
) -> None:
    store(api, path, module_database)
    used(module_database, path, model="gpt-5", day="2026-11-19", requests=15, given=3000, out=700, usd="0.75")
    used(module_database, path, model="gpt-5", day="2026-11-18", requests=99, given=9, out=9, usd="9")
    with serving(reporting(OPENAI_PAGES)) as provider:
        assert reconciler(provider, module_database, kek).run() == {"reconciled": 1}
        # Not due again for hours.
        assert reconciler(provider, module_database, kek).run() == {"reconciled": 0}
    items = api.get(path).json()["items"]
    found = {(item["day"], item["model"]): item for item in items}
    assert set(found) == {("2026-11-19", "gpt-5"), ("2026-11-20", "gpt-5"), ("2026-11-20", "text-embedding-3-small")}
    same, gone = found["2026-11-19", "gpt-5"], found["2026-11-20", "gpt-5"]
    assert (same["drift_percent"], same["missing_requests"]) == (0.0, 0)
    assert (gone["drift_percent"], gone["missing_requests"]) == (100.0, 1)
    (state, _) = api.get(f"{path}/keys").json()["items"]
    assert state["last_error"] is None
    assert state["requested_at"] is None
    assert datetime.fromisoformat(state["succeeded_at"]) == NOW


def test_anthropic_counts_no_requests(api: TestClient, path: str, module_database: TestDatabase, kek: LocalKek) -> None:
    store(api, path, module_database, "anthropic")
    with serving(reporting(ANTHROPIC_PAGES)) as provider:
        reconciler(provider, module_database, kek).run()
    (item,) = api.get(path).json()["items"]
    assert (item["reported"]["requests"], item["missing_requests"]) == (None, None)
    assert item["reported"]["cost_usd"] == "1.234500000"


@pytest.mark.parametrize("status", [401, 500])
def test_a_provider_that_is_down_or_refuses_leaves_the_last_result_and_says_so(
    api: TestClient, path: str, module_database: TestDatabase, kek: LocalKek, status: int
) -> None:
    store(api, path, module_database)
    with serving(reporting(OPENAI_PAGES)) as provider:
        reconciler(provider, module_database, kek).run()
        before = api.get(path).json()
        assert len(before["items"]) == 3
        provider.script = lambda _: Answer(status=status, body=KEY.encode())
        later = NOW + timedelta(hours=7)
        assert reconciler(provider, module_database, kek, later).run() == {"reconciled": 1}
    assert api.get(path).json() == before
    (state, _) = api.get(f"{path}/keys").json()["items"]
    assert state["last_error"]
    assert KEY not in str(state)
    assert datetime.fromisoformat(state["succeeded_at"]) == NOW
    assert datetime.fromisoformat(state["ran_at"]) == later


def test_a_run_can_be_asked_for(api: TestClient, path: str, module_database: TestDatabase, kek: LocalKek) -> None:
    store(api, path, module_database)
    with serving(reporting(OPENAI_PAGES)) as provider:
        reconciler(provider, module_database, kek).run()
        answer = api.post(f"{path}/runs")
        assert answer.status_code == 202, answer.text
        asked_at = datetime.fromisoformat(answer.json()["items"][0]["requested_at"])
        assert reconciler(provider, module_database, kek, asked_at + timedelta(seconds=1)).run() == {"reconciled": 1}
    assert api.get(f"{path}/keys").json()["items"][0]["requested_at"] is None


def test_results_are_paged_and_filtered(api: TestClient, path: str, module_database: TestDatabase, kek: LocalKek) -> None:
    store(api, path, module_database)
    with serving(reporting(OPENAI_PAGES)) as provider:
        reconciler(provider, module_database, kek).run()
    first = api.get(path, params={"limit": 2}).json()
    second = api.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    days = [item["day"] for item in [*first["items"], *second["items"]]]
    assert days == ["2026-11-20", "2026-11-20", "2026-11-19"]
    assert second["next_cursor"] is None
    assert api.get(path, params={"provider": "anthropic"}).json()["items"] == []
    assert api.get(path, params={"cursor": "nonsense"}).status_code == 422


def test_drift_is_told_once(api: TestClient, path: str, module_database: TestDatabase, kek: LocalKek) -> None:
    store(api, path, module_database)
    with serving(reporting(OPENAI_PAGES)) as provider:
        reconciler(provider, module_database, kek).run()
    for _ in range(2):
        watch(module_database.as_role("navplane_writer", size=1), now=NOW)
    told = [
        one
        for one in api.get(path.replace("reconciliation", "notifications")).json()["items"]
        if one["kind"] == "reconciliation"
    ]
    assert sorted((one["subject"], one["window_name"]) for one in told) == [
        ("model/openai/gpt-5", "d:2026-11-19"),
        ("model/openai/gpt-5", "d:2026-11-20"),
        ("model/openai/text-embedding-3-small", "d:2026-11-20"),
    ]


def test_the_admin_key_opens_as_nothing_else_and_nobody_but_the_probe_reads_it(
    api: TestClient, path: str, module_database: TestDatabase, kek: LocalKek
) -> None:
    store(api, path, module_database)
    with module_database.superuser() as db:
        (row,) = db.run("SELECT org_id, id, provider, region, sealed FROM reconciliation_keys")
    as_provider_key = SealingContext(org_id=row[0], provider_key_id=row[1], provider=row[2], region=row[3])
    with pytest.raises(DecryptionError):
        open_sealed(bytes(row[4]), context=as_provider_key, kek=kek)
    for role in ("navplane_admin", "navplane_reader", "navplane_writer", "navplane_gate", "navplane_notifier"):
        with pytest.raises(DatabaseError) as refused, module_database.as_role(role, size=1).transaction() as db:
            db.run("SELECT sealed FROM public.reconciliation_keys")
        assert sqlstate(refused.value) == "42501"


def test_a_deleted_key_is_gone_and_what_was_found_stays(
    api: TestClient, path: str, module_database: TestDatabase, kek: LocalKek
) -> None:
    store(api, path, module_database)
    assert api.post(f"{path}/keys", json={"provider": "openai", "admin_key": KEY}).status_code == 409
    with serving(reporting(OPENAI_PAGES)) as provider:
        reconciler(provider, module_database, kek).run()
    assert api.delete(f"{path}/keys/openai").status_code == 204
    assert api.delete(f"{path}/keys/openai").status_code == 404
    assert len(api.get(path).json()["items"]) == 3
    with module_database.superuser() as db:
        assert db.run("SELECT count(*) FROM reconciliation_keys") == [[0]]
        audit = db.run("SELECT entry::text FROM audit_events WHERE action LIKE 'reconciliation:%'")
    assert len(audit) >= 2
    assert KEY not in str(audit)


def test_another_organization_sees_nothing_of_it(
    api: TestClient, path: str, module_database: TestDatabase, kek: LocalKek
) -> None:
    store(api, path, module_database)
    with serving(reporting(OPENAI_PAGES)) as provider:
        reconciler(provider, module_database, kek).run()
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    assert api.get(f"/admin/orgs/{other}/reconciliation").json()["items"] == []
    assert api.get(f"/admin/orgs/{other}/reconciliation/keys").json()["items"][0]["configured"] is False
    assert date.fromisoformat(api.get(path).json()["items"][0]["day"]) == date(2026, 11, 20)


def test_a_key_is_opened_in_its_region_only(api: TestClient, path: str, module_database: TestDatabase, kek: LocalKek) -> None:
    store(api, path, module_database)
    with serving(reporting(OPENAI_PAGES)) as provider:
        assert reconciler(provider, module_database, kek, region=Region.EU).run() == {"reconciled": 0}
        assert provider.requests == []
        assert reconciler(provider, module_database, kek).run() == {"reconciled": 1}
