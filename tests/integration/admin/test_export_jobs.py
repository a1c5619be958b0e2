"""Export jobs: asked for as the control plane, made as the log plane, fetched as who only reads: the bytes of an answer."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from navplane.admin import export_parts, exports
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.export_work import ExportWork
from navplane.admin.plane import Plane
from navplane.crypto.token import TokenVerifier
from navplane.errors import DependencyUnavailable
from navplane.ingest.recording import record_what_can_be
from navplane.model.export_job import KEPT, MOST_OPEN
from navplane.model.ids import new_id
from navplane.model.usage import Outcome
from navplane.store.database import Database
from navplane_local.issuer import Issuer

from tests.support.postgres import TestDatabase
from tests.support.usage_events import usage_event

NOW = datetime.now(UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
SPAN = {"start": (TODAY - timedelta(days=3)).isoformat(), "end": TODAY.isoformat()}
DAYS = {name: moment[:10] for name, moment in SPAN.items()}
FORMATS = ["csv", "json", "parquet"]


@pytest.fixture
def writer(module_database: TestDatabase) -> Database:
    return module_database.as_role("navplane_writer", size=1)


@pytest.fixture
def reading(module_database: TestDatabase, plane: Plane, issuer: Issuer) -> TestClient:
    reader = module_database.as_role("navplane_reader")
    verifier, subjects = TokenVerifier(issuer.url, "navplane"), frozenset({"local|admin"})
    access = Access(verifier, database=reader, admin_subjects=subjects, records_users=False)
    app = create(
        title="analytics",
        routers=(exports.router, export_parts.router),
        plane=replace(plane, database=reader, access=access),
    )
    return TestClient(app, headers={"authorization": f"Bearer {issuer.mint('local|admin')}"})


@pytest.fixture
def used(module_database: TestDatabase, organization: dict[str, str], writer: Database) -> Iterator[str]:
    """The path of an organization with three days of calls."""
    with module_database.superuser() as db:
        [[key_id]] = db.run("SELECT id FROM api_keys WHERE org_id = :id", id=UUID(organization["id"]))
    kinds: list[dict[str, Any]] = [
        {"model": "gpt-5"}, {"provider": "anthropic", "model": "claude-sonnet-4-5"}, {"model": "=HYPERLINK(1)"}, {"demo": True},
        {"outcome": Outcome.FAILED, "status": 500},
    ]  # fmt: skip
    step = timedelta(minutes=91, seconds=7)
    moments = (TODAY - timedelta(days=3) + n * step for n in range(47))
    record_what_can_be(writer, [usage_event(now=now, key_id=key_id, **kinds[n % 5]) for n, now in enumerate(moments)])
    yield f"/admin/orgs/{organization['id']}"
    with module_database.superuser() as db:
        db.run("DELETE FROM export_jobs")


def ask(api: TestClient, base: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"{base}/export-jobs", json={**SPAN, **body})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def state(api: TestClient, base: str, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"{base}/export-jobs/{job['id']}").json()
    return found


def file(reading: TestClient, base: str, job: dict[str, Any]) -> bytes:
    answers = [reading.get(f"{base}/export-jobs/{job['id']}/parts/{n}") for n in range(1, job["parts"] + 1)]
    assert {answer.status_code for answer in answers} == {200}
    return b"".join(answer.content for answer in answers)


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("subject", "body", "query"),
    [
        ("requests", {}, SPAN),
        ("requests", {"only": {"model": "gpt-5", "demo": False}}, {**SPAN, "model": "gpt-5", "demo": "false"}),
        ("usage", {"by": ["key_id", "model"]}, {**SPAN, "by": ["key_id", "model"]}),
        ("usage", {"by": ["provider"], "only": {"demo": True}}, {**SPAN, "by": "provider", "demo": "true"}),
        ("focus", {}, DAYS),
    ],
)
def test_a_jobs_file_is_byte_by_byte_the_one_that_is_answered_at_once(
    api: TestClient, reading: TestClient, used: str, writer: Database, subject: str, body: Any, query: Any, file_format: str
) -> None:
    job = ask(api, used, subject=subject, format=file_format, **body)
    ExportWork(database=writer).run(NOW)
    done = state(api, used, job)
    answered = reading.get(f"{used}/exports/{subject}", params={**query, "format": file_format})
    assert (answered.status_code, done["state"], done["rows"] > 0) == (200, "done", True), done
    made = file(reading, used, done)
    assert made == answered.content
    assert len(made) == done["bytes"]


@pytest.mark.parametrize("file_format", ["csv", "json"])
def test_a_file_of_many_steps_is_the_same_file(
    api: TestClient, reading: TestClient, used: str, writer: Database, file_format: str
) -> None:
    job = ask(api, used, subject="requests", format=file_format)
    assert ExportWork(database=writer, rows_a_step=5).run(NOW) == 10
    whole = reading.get(f"{used}/exports/requests", params={**SPAN, "format": file_format})
    assert file(reading, used, state(api, used, job)) == whole.content


def test_whoever_is_killed_within_a_step_leaves_a_job_that_goes_on_as_if_nothing_had_been(
    api: TestClient, reading: TestClient, used: str, writer: Database, module_database: TestDatabase
) -> None:
    job = ask(api, used, subject="requests", format="parquet")
    work = ExportWork(database=writer, rows_a_step=20)
    assert work.step(NOW)
    before = state(api, used, job)
    with module_database.superuser() as db:
        db.run(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
        )
        db.run("CREATE TRIGGER die AFTER INSERT ON export_parts FOR EACH ROW EXECUTE FUNCTION die()")
        with pytest.raises(DependencyUnavailable):
            work.step(NOW)
        db.run("DROP TRIGGER die ON export_parts")
        db.run("DROP FUNCTION die")
    assert state(api, used, job) == before
    work.run(NOW)
    done = state(api, used, job)
    assert (done["state"], done["rows"]) == ("done", 47)


def test_a_file_can_be_fetched_when_it_is_done_and_not_before(
    api: TestClient, reading: TestClient, used: str, writer: Database
) -> None:
    job = ask(api, used, subject="requests")
    assert ExportWork(database=writer, rows_a_step=20).step(NOW)
    part = f"{used}/export-jobs/{job['id']}/parts"
    assert reading.get(f"{part}/1").status_code == 409
    ExportWork(database=writer).run(NOW)
    parts = state(api, used, job)["parts"]
    assert [reading.get(f"{part}/{number}").status_code for number in (1, parts, parts + 1, 0)] == [200, 200, 404, 404]


def test_what_is_too_large_fails_with_what_to_do(api: TestClient, reading: TestClient, used: str, writer: Database) -> None:
    job = ask(api, used, subject="requests")
    ExportWork(database=writer, rows_a_step=20, most_rows=30).run(NOW)
    failed = state(api, used, job)
    assert failed["state"] == "failed"
    assert "shorter time" in failed["failure"]
    assert reading.get(f"{used}/export-jobs/{job['id']}/parts/1").status_code == 409


def test_a_job_that_can_not_be_done_fails_and_holds_nothing_up(
    api: TestClient, used: str, writer: Database, module_database: TestDatabase
) -> None:
    bad, good = ask(api, used, subject="usage", by=["model"]), ask(api, used, subject="usage", by=["model"])
    with module_database.superuser() as db:
        db.run("UPDATE export_jobs SET by = '{no_such_column}' WHERE id = :id", id=UUID(bad["id"]))
    ExportWork(database=writer).run(NOW)
    assert [state(api, used, job)["state"] for job in (bad, good)] == ["failed", "done"]


def test_a_file_goes_with_its_job_and_after_some_days(
    api: TestClient, used: str, writer: Database, module_database: TestDatabase
) -> None:
    taken_back, expired = ask(api, used, subject="requests"), ask(api, used, subject="requests")
    work = ExportWork(database=writer)
    work.run(NOW)
    assert api.delete(f"{used}/export-jobs/{taken_back['id']}").status_code == 204
    assert api.delete(f"{used}/export-jobs/{taken_back['id']}").status_code == 404
    with module_database.superuser() as db:
        left = "SELECT DISTINCT job_id::text FROM export_parts"
        assert db.run(left) == [[expired["id"]]]
        work.run(NOW + KEPT - timedelta(hours=1))
        assert db.run(left) == [[expired["id"]]]
        work.run(NOW + KEPT + timedelta(hours=1))
        assert db.run(left) == []
    assert api.get(f"{used}/export-jobs").json() == {"items": [], "next_cursor": None}
    actions = [event["action"] for event in api.get(f"{used}/audit").json()["items"]]
    assert actions[:3] == ["export:delete", "export:create", "export:create"]


def test_only_so_many_are_made_at_a_time(api: TestClient, used: str, writer: Database) -> None:
    jobs = [ask(api, used, subject="requests") for _ in range(MOST_OPEN)]
    assert api.post(f"{used}/export-jobs", json={**SPAN, "subject": "requests"}).status_code == 409
    page = api.get(f"{used}/export-jobs", params={"limit": 3}).json()
    following = api.get(f"{used}/export-jobs", params={"limit": 3, "cursor": page["next_cursor"]}).json()
    assert [job["id"] for job in (*page["items"], *following["items"])] == [job["id"] for job in reversed(jobs)]
    # Each has its turn, however many steps the one before it takes.
    work = ExportWork(database=writer, rows_a_step=5)
    for _ in jobs:
        work.step(NOW)
    assert {state(api, used, job)["state"] for job in jobs} == {"running"}


@pytest.mark.parametrize(
    "body",
    [
        {"subject": "secrets"},
        {"subject": "requests", "by": ["model"]},
        {"subject": "usage"},
        {"subject": "usage", "by": ["model", "model"]},
        {"subject": "usage", "by": ["org_id"]},
        {"subject": "usage", "by": ["model"], "only": {"outcome": "ok"}},
        {"subject": "usage", "by": ["model"], "start": "2020-01-01T00:00:00Z"},
        {"subject": "focus", "only": {"model": "gpt-5"}},
        {"subject": "focus", "start": "2026-10-01T10:00:00Z"},
        {"subject": "requests", "only": {"model": "a\u0000b"}},
        {"subject": "requests", "only": {"org_id": "x"}},
        {"subject": "requests", "start": "2126-10-01T10:00:00Z"},
        {"subject": "requests", "start": "2026-10-01"},
        {"subject": "requests", "format": "xlsx"},
    ],
)
def test_a_job_that_makes_no_sense_is_refused(api: TestClient, used: str, body: dict[str, Any]) -> None:
    assert api.post(f"{used}/export-jobs", json={**SPAN, **body}).status_code == 422


def test_nobody_else_makes_sees_or_fetches_a_file(
    api: TestClient, reading: TestClient, issuer: Issuer, used: str, writer: Database
) -> None:
    job = ask(api, used, subject="requests")
    ExportWork(database=writer).run(NOW)
    somebody = {"authorization": f"Bearer {issuer.mint('somebody')}"}
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]

    def at(base: str) -> str:
        return f"{base}/export-jobs/{job['id']}"

    for client, path in ((api, at(used)), (reading, at(used) + "/parts/1")):
        assert client.get(path, headers=somebody).status_code == 404
    for client, path in ((api, at(f"/admin/orgs/{other}")), (reading, at(f"/admin/orgs/{other}") + "/parts/1")):
        assert client.get(path).status_code == 404
    assert api.delete(at(f"/admin/orgs/{other}")).status_code == 404
    assert api.post(f"/admin/orgs/{new_id()}/export-jobs", json={**SPAN, "subject": "requests"}).status_code == 404
    assert state(api, used, job)["state"] == "done"
