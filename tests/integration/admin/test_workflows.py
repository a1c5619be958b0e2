"""Workflows: from a draft to what is in force, by whom, and whose the rows are."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from navplane.crypto.kek_local import LocalKek
from navplane.gate.gate import RefusalReason
from navplane.gate.gate_postgres import PostgresGate
from navplane.store.database import sqlstate
from pg8000.exceptions import DatabaseError

from tests.integration.admin.support import Admission
from tests.integration.admin.workflow_support import ALIAS, DOCUMENT, Team
from tests.support.gateway import GatewayServer
from tests.support.http_script import ScriptedServer
from tests.support.postgres import TestDatabase


def lists(api: TestClient, org_id: UUID | str) -> dict[str, list[dict[str, Any]]]:
    """What is in force, without what tells one row from its equal."""
    varying = ("id", "created_at", "workflow_version", "scope_id")
    found = {}
    for name in ("routes", "limits", "policies"):
        items = api.get(f"/admin/orgs/{org_id}/{name}").json()["items"]
        shown = [{field: value for field, value in item.items() if field not in varying} for item in items]
        found[name] = sorted(shown, key=lambda item: str(item.get("name") or item.get("kind")))
    return found


def owners(api: TestClient, team: Team) -> set[str | None]:
    paths = [f"/admin/orgs/{team.org_id}/{name}" for name in ("routes", "limits", "policies")]
    return {item["workflow_version"] for path in paths for item in api.get(path).json()["items"]}


# -- in force ------------------------------------------------------------------------------------------------------------


def test_what_is_published_is_what_the_same_rows_made_by_hand_are(api: TestClient, team: Team, admission: Admission) -> None:
    other = api.post("/admin/orgs", json={"name": "By hand"}).json()
    base = f"/admin/orgs/{other['id']}"
    condition = {"attribute": "tag.env", "any_of": ["prod"]}
    targets = [
        {"provider": "openai", "model": "gpt-5", "step": 0, "weight": 3},
        {"provider": "openrouter", "model": "openai/gpt-5", "step": 0, "weight": 1},
        {"provider": "azure", "model": "prod-gpt", "step": 1, "weight": 1},
    ]
    by_hand: list[tuple[str, dict[str, Any]]] = [
        ("provider-keys", {"provider": "openai", "label": "x", "api_key": "sk-live-12345678"}),
        ("routes", {"name": "prod", "match": "gpt-5", "conditions": [condition], "targets": targets, "position": 100}),
        (
            "routes",
            {"name": "fast", "match": "fast", "position": 101, "targets": [{"provider": "openai", "model": "gpt-5-mini"}]},
        ),
        ("limits", {"scope": "organization", "kind": "requests_per_minute", "amount": 2}),
        ("limits", {"scope": "organization", "kind": "usd_per_month", "amount_usd": "100.50", "allow_unpriced": True}),
        ("policies", {"scope": "organization", "block_models": ["gpt-4*"]}),
    ]
    for name, body in by_hand:
        assert api.post(f"{base}/{name}", json=body).status_code == 201
    version = team.published(team.owner())
    assert lists(api, team.org_id) == lists(api, other["id"])
    assert owners(api, team) == {version["id"]}
    for key in (team.organization["api_key"], other["api_key"]):
        assert admission.ways(key, "fast") == ("fast", [("openai", "gpt-5-mini", 0)])
        assert admission.refusal(key, model="gpt-4o") is RefusalReason.MODEL_NOT_ALLOWED
        assert [admission.refusal(key) for _ in range(2)] == [None, RefusalReason.RATE_LIMITED]


def test_next_version_takes_the_place_of_the_one_before_and_what_was_published_never_changes(
    api: TestClient, team: Team, admission: Admission
) -> None:
    author, key = team.owner(), team.organization["api_key"]
    first = team.published(author)
    second = team.next_version(author, first, ALIAS % "gpt-5")
    assert admission.ways(key, "fast") == ("fast", [("openai", "gpt-5", 0)])
    assert owners(api, team) == {second["id"]}
    shown = author.get(f"{team.path}/{first['workflow_id']}/versions").json()["items"]
    assert [(one["number"], one["state"]) for one in shown] == [(2, "published"), (1, "superseded")]
    assert author.put(team.one(first), json={"document": DOCUMENT}).status_code == 409
    assert author.put(team.one(second), json={"document": DOCUMENT}).status_code == 409
    with team.database.superuser() as db, pytest.raises(DatabaseError) as refused:
        db.run("UPDATE workflow_versions SET document = 'x' WHERE id = :id", id=UUID(first["id"]))
    assert sqlstate(refused.value) == "P0001"


def test_withdrawn_workflow_leaves_nothing_in_force(api: TestClient, team: Team, admission: Admission) -> None:
    author = team.owner()
    version = team.published(author)
    withdrawn = author.post(f"{team.path}/{version['workflow_id']}/withdraw")
    assert (withdrawn.status_code, withdrawn.json()["state"]) == (200, "withdrawn")
    assert owners(api, team) == set()
    assert admission.refusal(team.organization["api_key"], model="fast", provider=None) is RefusalReason.MODEL_NOT_FOUND
    assert author.post(f"{team.path}/{version['workflow_id']}/withdraw").status_code == 409


def test_publishing_that_fails_changes_nothing_and_leaves_no_word(api: TestClient, team: Team) -> None:
    author = team.owner()
    api.post(f"/admin/orgs/{team.org_id}/limits", json={"scope": "organization", "kind": "usd_per_month", "amount_usd": "1"})
    version = team.approved(author, team.written(author))
    before = lists(api, team.org_id)
    refused = author.post(f"{team.one(version)}/publish")
    assert (refused.status_code, "limit of usd_per_month" in refused.json()["detail"]) == (409, True)
    assert lists(api, team.org_id) == before
    assert author.get(team.one(version)).json()["state"] == "approved"
    with team.database.superuser() as db:
        told = db.run("SELECT count(*) FROM audit_events WHERE org_id = :org AND action = 'workflow:publish'", org=team.org_id)
    assert told == [[0]]


@pytest.mark.parametrize(
    ("made", "document"),
    [
        (("routes", {"name": "fast", "match": "other", "targets": [{"provider": "openai"}]}), ALIAS % "m"),
        (("policies", {"scope": "organization"}), "format: navplane-workflow/1\npolicy: {block_models: [x]}\n"),
    ],
)
def test_what_was_made_by_hand_is_not_taken_over(
    api: TestClient, team: Team, made: tuple[str, dict[str, Any]], document: str
) -> None:
    assert api.post(f"/admin/orgs/{team.org_id}/{made[0]}", json=made[1]).status_code == 201
    author = team.owner()
    version = team.approved(author, team.written(author, document))
    refused = author.post(f"{team.one(version)}/publish")
    assert (refused.status_code, "not made by this workflow" in refused.json()["detail"]) == (409, True)


def test_two_publishers_at_once_publish_once(team: Team) -> None:
    author = team.owner()
    version = team.approved(author, team.written(author))
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: author.post(f"{team.one(version)}/publish").status_code, range(2)))
    assert sorted(answers) == [200, 409]


def test_one_workflow_is_in_force_at_a_place(team: Team) -> None:
    author = team.owner()
    first = team.published(author, ALIAS % "a", name="first")
    second = team.approved(author, team.written(author, "format: navplane-workflow/1\n", name="second"))
    refused = author.post(f"{team.one(second)}/publish")
    assert (refused.status_code, "'first'" in refused.json()["detail"]) == (409, True)
    assert team.published(author, ALIAS % "b", workspace_id=team.workspace_id)["state"] == "published"
    assert author.post(f"{team.path}/{first['workflow_id']}/withdraw").status_code == 200
    assert author.post(f"{team.one(second)}/publish").status_code == 200


# -- whose the rows are --------------------------------------------------------------------------------------------------


def test_rows_of_a_workflow_are_not_changed_by_hand_and_it_is_said_whose_they_are(api: TestClient, team: Team) -> None:
    version = team.published(team.owner(), name="support")
    base = f"/admin/orgs/{team.org_id}"
    changes = {
        "routes": {"name": "x", "match": "x", "targets": [{"provider": "openai"}]},
        "limits": {"amount": 5},
        "policies": {},
    }
    before = lists(api, team.org_id)
    for name, body in changes.items():
        one = f"{base}/{name}/{api.get(f'{base}/{name}').json()['items'][-1]['id']}"
        for answer in (api.put(one, json=body), api.delete(one)):
            assert (answer.status_code, answer.json()["code"]) == (409, "conflict"), answer.text
            assert f"Version 1 of the workflow 'support' ({version['workflow_id']})" in answer.json()["detail"]
    settings = api.put(f"{base}/provider-settings", json={"block_models": []})
    assert (settings.status_code, "'support'" in settings.json()["detail"]) == (409, True)
    assert lists(api, team.org_id) == before


# -- who may -------------------------------------------------------------------------------------------------------------


def approve(client: TestClient, team: Team, version: Any) -> int:
    return client.post(f"{team.one(version)}/approve", json={"sha256": version["sha256"]}).status_code


def test_nobody_who_had_a_hand_in_it_approves_it(api: TestClient, team: Team) -> None:
    author, editor, submitter, other = (team.owner() for _ in range(4))
    version = team.written(author)
    edited = editor.put(team.one(version), json={"document": ALIAS % "x"}).json()
    assert submitter.post(f"{team.one(version)}/submit").status_code == 200
    assert [approve(one, team, edited) for one in (author, editor, submitter)] == [403] * 3
    assert author.get(team.one(version)).json()["state"] == "in_review"
    assert approve(other, team, edited) == 200
    platform = team.written(api, name="platform's")
    assert api.post(f"{team.one(platform)}/submit").status_code == 200
    assert approve(api, team, platform) == 403, "not even a platform admin approves their own"


def test_a_service_key_is_no_way_around_that(team: Team) -> None:
    author = team.owner()
    body = {"name": "k", "role": "workspace_admin", "expires_at": "2027-01-01T00:00:00Z"}
    keys = f"/admin/orgs/{team.org_id}/service-keys"
    machine = team.bearing(author.post(keys, json=body).json()["api_key"])
    version = team.written(machine)
    assert machine.post(f"{team.one(version)}/submit").status_code == 200
    assert approve(author, team, version) == 403, "who made the key made the version"
    approver = team.bearing(author.post(keys, json={**body, "role": "approver"}).json()["api_key"])
    assert approve(approver, team, version) == 403, "a key is nobody"
    assert approve(team.somebody("approver"), team, version) == 200


def test_an_edit_needs_a_review_and_an_approval_of_its_own(team: Team) -> None:
    author, approver = team.owner(), team.somebody("approver")
    version = team.written(author)
    approved = team.approved(author, version)
    assert (approved["state"], approved["approved_by"] is not None) == ("approved", True)
    edited = author.put(team.one(version), json={"document": ALIAS % "x"}).json()
    assert (edited["state"], edited["approved_by"], edited["submitted_by"]) == ("draft", None, None)
    assert author.post(f"{team.one(version)}/publish").status_code == 409
    assert author.post(f"{team.one(version)}/submit").status_code == 200
    assert approve(approver, team, version) == 409, "what was read is not what it is now"
    assert approve(approver, team, edited) == 200
    assert approver.post(f"{team.one(version)}/reject").json()["state"] == "draft"
    assert author.post(f"{team.one(version)}/publish").status_code == 409


@pytest.mark.parametrize("move", ["approve", "reject", "publish"])
def test_a_draft_takes_no_step_but_the_next(team: Team, move: str) -> None:
    version = team.written(team.owner())
    body = {"sha256": version["sha256"]} if move == "approve" else None
    assert team.owner().post(f"{team.one(version)}/{move}", json=body).status_code == 409


def test_each_role_does_its_own_part(team: Team) -> None:
    admin, approver, auditor = (team.somebody(role) for role in ("workspace_admin", "approver", "auditor"))
    version = team.written(admin)
    assert admin.post(f"{team.one(version)}/submit").status_code == 200
    assert (approve(admin, team, version), approve(auditor, team, version)) == (403, 403)
    assert approve(approver, team, version) == 200
    for other in (approver, auditor):
        assert other.get(team.one(version)).status_code == 200
        assert other.post(f"{team.one(version)}/publish").status_code == 403
        assert other.put(team.one(version), json={"document": DOCUMENT}).status_code == 403
    assert admin.post(f"{team.one(version)}/publish").status_code == 200


def test_a_role_in_a_workspace_reaches_its_workflows_and_no_others(team: Team) -> None:
    here, owner = team.workspace_id, team.owner()
    made = owner.post(f"/admin/orgs/{team.org_id}/workspaces", json={"name": "Elsewhere"})
    elsewhere = UUID(made.json()["id"])
    insider = team.somebody("workspace_admin", workspace_id=here)
    outsider = team.somebody("workspace_admin", workspace_id=elsewhere)
    version = team.written(insider, workspace_id=here)
    everybodys = team.written(owner, name="everybody's")
    assert insider.post(team.path, json={"name": "x", "document": DOCUMENT}).status_code == 404
    assert [item["id"] for item in insider.get(team.path).json()["items"]] == [version["workflow_id"]]
    assert insider.get(team.path, params={"workspace_id": str(here)}).json() == insider.get(team.path).json()
    assert owner.get(team.path, params={"workspace_id": str(elsewhere)}).json()["items"] == []
    assert outsider.get(team.path).json()["items"] == []
    assert outsider.get(team.path, params={"workspace_id": str(here)}).status_code == 404
    for client, one in ((outsider, version), (insider, everybodys)):
        assert client.get(team.one(one)).status_code == 404
        assert client.post(f"{team.one(one)}/submit").status_code == 404
        assert client.get(f"{team.path}/{one['workflow_id']}").status_code == 404
    approver = team.somebody("approver", workspace_id=here)
    assert insider.post(f"{team.one(version)}/submit").status_code == 200
    assert approve(approver, team, version) == 200
    assert insider.post(f"{team.one(version)}/publish").json()["workspace_id"] == str(here)


def test_a_workspace_lifts_what_its_organization_forbids_only_with_that_ones_leave(team: Team) -> None:
    admin = team.somebody("workspace_admin", workspace_id=team.workspace_id)
    document = "format: navplane-workflow/1\npolicy: {allow_models: [gpt-4*]}\n"
    version = team.approved(admin, team.written(admin, document, workspace_id=team.workspace_id))
    refused = admin.post(f"{team.one(version)}/publish")
    assert (refused.status_code, "policy:create" in refused.json()["detail"]) == (403, True)
    assert team.owner().post(f"{team.one(version)}/publish").status_code == 200
    narrow = admin.post(
        f"{team.path}/{version['workflow_id']}/versions", json={"document": document.replace("allow", "block")}
    ).json()
    assert admin.post(f"{team.one(team.approved(admin, narrow))}/publish").status_code == 200


def test_a_change_holds_to_what_was_read(team: Team) -> None:
    author = team.owner()
    version = team.written(author)
    read = author.get(team.one(version))
    changed = author.put(team.one(version), json={"document": ALIAS % "x"}, headers={"if-match": read.headers["etag"]})
    assert changed.status_code == 200
    again = author.put(team.one(version), json={"document": DOCUMENT}, headers={"if-match": read.headers["etag"]})
    assert again.status_code == 412


def test_one_version_is_open_at_a_time_and_a_name_is_one_workflow(team: Team) -> None:
    author = team.owner()
    version = team.written(author)
    versions = f"{team.path}/{version['workflow_id']}/versions"
    assert author.post(versions, json={"document": DOCUMENT}).status_code == 409
    assert author.post(team.path, json={"name": "w", "document": DOCUMENT}).status_code == 409
    assert author.get(f"{versions}/2").status_code == 404
    assert author.get(f"{team.path}/{version['workflow_id']}").json()["opened"] == 1


# -- what is written down ------------------------------------------------------------------------------------------------


def test_every_step_is_audited(team: Team) -> None:
    author = team.owner()
    version = team.published(author)
    author.post(f"{team.path}/{version['workflow_id']}/withdraw")
    with team.database.superuser() as db:
        rows = db.run(
            "SELECT action, before->>'state', after->>'state', after->>'sha256' FROM audit_events"
            " WHERE org_id = :org AND resource LIKE 'workflow/%' ORDER BY occurred_at, id",
            org=team.org_id,
        )
    assert [row[:3] for row in rows] == [
        ["workflow:create", None, "draft"],
        ["workflow:submit", "draft", "in_review"],
        ["workflow:approve", "in_review", "approved"],
        ["workflow:publish", "approved", "published"],
        ["workflow:publish", "published", "withdrawn"],
    ]
    assert {row[3] for row in rows} == {version["sha256"]}


def test_the_row_of_a_call_names_the_version_it_ran_under(
    team: Team, kek: LocalKek, provider: ScriptedServer, module_database: TestDatabase
) -> None:
    version = team.published(team.owner(), workspace_id=team.workspace_id)
    gate = PostgresGate(module_database.as_role("navplane_gate"))
    with GatewayServer({"openai": provider.url}, gate=gate, kek=kek) as server, server.client() as http:
        for model in ("fast", "gpt-5", "gpt-4"):
            http.post(
                "/v1/chat/completions",
                json={"model": model, "messages": [], "max_completion_tokens": 9},
                headers={"authorization": f"Bearer {team.organization['api_key']}"},
            )
        # In the order of the calls: what is told of a call comes after its answer, and may come after the next one's.
        rows = sorted(server.log.wait_for(3), key=lambda row: row.request_id)
    assert [(row.status, row.route, str(row.workflow_version_id)) for row in rows] == [
        (200, "fast", version["id"]),
        (200, None, version["id"]),
        (403, None, version["id"]),
    ]


# -- what is refused -----------------------------------------------------------------------------------------------------


def test_document_that_can_not_work_is_refused_by_its_line_and_nothing_is_kept(team: Team) -> None:
    author = team.owner()
    document = ALIAS % "m" + "  slow: {provider: nobody, model: m}\nlimts: []\n"
    answer = author.post(team.path, json={"name": "w", "document": document})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert "Line 5, limts: there is no such field here" in answer.json()["detail"]
    answer = author.post(team.path, json={"name": "w", "document": document.replace("limts", "limits")})
    assert "Line 4, aliases.slow: There is no provider nobody" in answer.json()["detail"]
    assert author.get(team.path).json()["items"] == []
    version = team.written(author)
    assert author.put(team.one(version), json={"document": document}).status_code == 422
    assert author.get(team.one(version)).json() == version
