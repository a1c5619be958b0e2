"""A workspace's data mode, and reading what it keeps: each look at it is written down."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.model.ids import RequestId, new_request_id
from navplane.model.kept_content import KeptContent
from navplane.store import request_contents

from tests.support.postgres import TestDatabase


@pytest.fixture
def workspace(api: TestClient, organization: dict[str, str], module_database: TestDatabase) -> str:
    """The path of the default workspace's data mode."""
    with module_database.superuser() as superuser:
        ((workspace_id,),) = superuser.run("SELECT id FROM workspaces WHERE org_id = :id", id=UUID(organization["id"]))
    return f"/admin/orgs/{organization['id']}/workspaces/{workspace_id}/data-mode"


def keep(database: TestDatabase, org_id: str) -> RequestId:
    with database.superuser() as superuser:
        ((key_id,),) = superuser.run("SELECT id FROM api_keys WHERE org_id = :id", id=UUID(org_id))
    kept = KeptContent(
        request_id=new_request_id(datetime.now(UTC)), key_id=key_id, request=b'{"input":"Hi"}', response=b"ok \xff",
        request_truncated=False, response_truncated=True,
    )  # fmt: skip
    with database.as_role("navplane_writer").transaction() as db:
        assert request_contents.keep(db, [kept]) == 1
    return kept.request_id


def events(database: TestDatabase, org_id: str, action: str) -> list[list[object]]:
    with database.superuser() as superuser:
        return list(
            superuser.run(
                "SELECT resource, before, after FROM audit_events WHERE org_id = :id AND action = :action ORDER BY occurred_at",
                id=UUID(org_id),
                action=action,
            )
        )


def test_the_mode_is_metadata_only_until_somebody_decides_otherwise_and_that_is_written_down(
    api: TestClient, organization: dict[str, str], workspace: str, module_database: TestDatabase
) -> None:
    assert api.get(workspace).json()["data_mode"] == "metadata_only"
    answer = api.put(workspace, json={"data_mode": "full", "retention_days": 7})
    assert (answer.status_code, answer.json()["data_mode"], answer.json()["retention_days"]) == (200, "full", 7)
    assert api.get(workspace).json() == answer.json()
    ((_, before, after),) = events(module_database, organization["id"], "data_mode:update")
    assert (before, after) == (
        {"data_mode": "metadata_only", "retention_days": 30}, {"data_mode": "full", "retention_days": 7},
    )  # fmt: skip


@pytest.mark.parametrize("body", [{}, {"data_mode": "all"}, {"data_mode": "full", "retention_days": 0}, {"data_mode": 1}])
def test_a_mode_that_is_none_is_refused(api: TestClient, workspace: str, body: dict[str, object]) -> None:
    assert api.put(workspace, json=body).status_code == 422
    assert api.get(workspace).json()["data_mode"] == "metadata_only"


def test_another_organizations_workspace_does_not_exist(api: TestClient, workspace: str) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    path = workspace.replace(workspace.split("/")[3], other["id"])
    assert api.get(path).status_code == 404
    assert api.put(path, json={"data_mode": "full"}).status_code == 404


def test_content_is_read_by_its_organization_and_each_look_is_written_down(
    api: TestClient, organization: dict[str, str], workspace: str, module_database: TestDatabase
) -> None:
    api.put(workspace, json={"data_mode": "full"})
    request_id = keep(module_database, organization["id"])
    path = f"/admin/orgs/{organization['id']}/requests/{request_id}/content"
    for looks in (1, 2):
        answer = api.get(path)
        assert answer.status_code == 200
        assert (answer.json()["request"], answer.json()["response"]) == ('{"input":"Hi"}', "ok \N{REPLACEMENT CHARACTER}")
        assert (answer.json()["request_truncated"], answer.json()["response_truncated"]) == (False, True)
        seen = events(module_database, organization["id"], "request_content:read")
        assert [event[0] for event in seen] == [f"request/{request_id}"] * looks


def test_what_is_not_there_or_somebody_elses_is_404_and_no_look(
    api: TestClient, organization: dict[str, str], workspace: str, module_database: TestDatabase
) -> None:
    api.put(workspace, json={"data_mode": "full"})
    request_id = keep(module_database, organization["id"])
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    assert api.get(f"/admin/orgs/{other}/requests/{request_id}/content").status_code == 404
    assert api.get(f"/admin/orgs/{organization['id']}/requests/{uuid4()}/content").status_code == 404
    assert events(module_database, other, "request_content:read") == []
