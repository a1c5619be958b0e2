"""What became of a workflow's versions: differences, the way back, the calls under one, and what another would have done."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from navplane.model.ids import new_id

from tests.integration.admin.support import Admission
from tests.integration.admin.workflow_support import ALIAS, Team
from tests.support.postgres import TestDatabase

NOW = datetime.now(UTC)
# All of it is in one minute, well within the last week.
YESTERDAY = (NOW - timedelta(days=1)).replace(second=0, microsecond=0)
TRIED = """\
format: navplane-workflow/1
routes:
  - {name: cheap, match: gpt-5, targets: [{provider: openai, model: gpt-5-mini}]}
  - {name: odd, match: odd, when: [{attribute: tag.env, any_of: [prod]}], targets: [{provider: openai, model: gpt-5}]}
limits:
  - {kind: requests_per_minute, amount: 4}
policy:
  block_models: [gpt-4*]
"""


@pytest.fixture
def prices(module_database: TestDatabase) -> None:
    with module_database.superuser() as db:
        db.run("DELETE FROM model_prices")
        db.run(
            "INSERT INTO model_prices (provider, position, pattern, model, input_nano_usd, output_nano_usd, request_nano_usd,"
            " source_version, loaded_at) VALUES ('openai', 0, '^gpt-5$', 'gpt-5', 1000, 10000, 0, 't', now()),"
            " ('openai', 1, '^gpt-5-mini$', 'gpt-5-mini', 100, 1000, 0, 't', now())"
        )


def test_two_versions_are_compared_by_line(team: Team) -> None:
    author = team.owner()
    first = team.published(author, ALIAS % "gpt-5")
    team.next_version(author, first, ALIAS % "gpt-5-mini")
    path = f"{team.path}/{first['workflow_id']}/diff"
    shown = author.get(path, params={"before": 1, "after": 2}).json()
    assert shown["diff"].splitlines() == [
        "--- version 1",
        "+++ version 2",
        "@@ -1,3 +1,3 @@",
        " format: navplane-workflow/1",
        " aliases:",
        "-  fast: {provider: openai, model: gpt-5}",
        "+  fast: {provider: openai, model: gpt-5-mini}",
    ]
    assert author.get(path, params={"before": 2, "after": 2}).json()["diff"] == ""
    assert author.get(path, params={"before": 1, "after": 3}).status_code == 404


def test_going_back_publishes_a_new_version_that_is_equal_to_the_old_one(
    api: TestClient, team: Team, admission: Admission
) -> None:
    author, key = team.owner(), team.organization["api_key"]
    first = team.published(author, ALIAS % "gpt-5")
    second = team.next_version(author, first, ALIAS % "gpt-5-mini")
    back = author.post(f"{team.one(first)}/rollback")
    assert back.status_code == 201, back.text
    third = back.json()
    assert (third["number"], third["state"], third["equal_to"]) == (3, "published", 1)
    assert (third["document"], third["sha256"], third["approved_by"]) == (
        first["document"], first["sha256"], first["approved_by"],
    )  # fmt: skip
    assert admission.ways(key, "fast") == ("fast", [("openai", "gpt-5", 0)])
    assert {route["workflow_version"] for route in api.get(f"/admin/orgs/{team.org_id}/routes").json()["items"]} == {
        third["id"]
    }
    assert author.get(team.one(second)).json()["state"] == "superseded"
    assert author.post(f"{team.one(third)}/rollback").status_code == 409, "it is in force"
    with team.database.superuser() as db:
        told = db.run("SELECT action, after->>'equal_to' FROM audit_events WHERE org_id = :org"
                      " AND action = 'workflow:rollback'", org=team.org_id)  # fmt: skip
    assert told == [["workflow:rollback", "1"]]


def test_nothing_that_was_never_in_force_is_gone_back_to_and_not_by_everybody(team: Team) -> None:
    author = team.owner()
    draft = team.written(author)
    assert author.post(f"{team.one(draft)}/rollback").status_code == 409
    first = team.published(author, ALIAS % "a", name="other")
    author.post(f"{team.path}/{first['workflow_id']}/withdraw")
    assert team.somebody("approver").post(f"{team.one(first)}/rollback").status_code == 403
    assert author.post(f"{team.one(first)}/rollback").json()["number"] == 2


def test_a_version_lists_its_runs_page_by_page(team: Team) -> None:
    author = team.owner()
    version = team.published(author)
    for second in range(3):
        team.seed_call(YESTERDAY + timedelta(seconds=second), workflow_version_id=UUID(version["id"]))
    team.seed_call(YESTERDAY, workflow_version_id=new_id())
    team.seed_call(YESTERDAY)
    path = f"{team.one(version)}/runs"
    first = author.get(path, params={"limit": 2}).json()
    rest = author.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    runs = [*first["items"], *rest["items"]]
    assert (len(runs), rest["next_cursor"]) == (3, None)
    assert {run["workflow_version_id"] for run in runs} == {version["id"]}
    assert [run["created_at"] for run in runs] == sorted((run["created_at"] for run in runs), reverse=True)
    requests = f"/admin/orgs/{team.org_id}/requests"
    assert author.get(requests, params={"workflow_version_id": version["id"]}).json()["items"] == runs
    assert team.somebody("integration_admin").get(path).status_code == 403


@pytest.mark.usefixtures("prices")
def test_a_version_is_tried_on_what_was_called_and_the_sums_are_right(team: Team) -> None:
    author = team.owner()
    calls: list[dict[str, object]] = [
        {}, {}, {},
        {"model": "odd", "upstream_model": "gpt-5"},
        {"model": "gpt-4o", "cost_usd": "0.5"},
        {"model": "gpt-4o", "cost_usd": None, "price_quality": "unpriced"},
        {},
        {"outcome": "refused", "status": 403, "cost_usd": "0"},
    ]  # fmt: skip
    for second, fields in enumerate(calls):
        team.seed_call(YESTERDAY + timedelta(seconds=second), **fields)
    team.seed_call(YESTERDAY - timedelta(hours=1), model="gpt-5-mini", cost_usd="0.0002")
    team.seed_call(YESTERDAY - timedelta(days=10))
    version = team.written(author, TRIED, workspace_id=team.workspace_id)
    answer = author.post(f"{team.one(version)}/simulate", json={"days": 7})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["calls"], found["refused_before"], found["complete"]) == (8, 1, True)
    # Of four calls for gpt-5 the last is the fifth of its minute: those for gpt-4o are blocked and don't count.
    assert found["refused_by"] == {"model_not_allowed": 2, "rate_limited": 1}
    assert found["rerouted_by"] == {"openai/gpt-5 -> openai/gpt-5-mini": 3}
    assert (found["refused"], found["rerouted"], found["unchanged"], found["undecided"]) == (3, 3, 1, 1)
    # 0.5 and 0.002; three times 1000 x (1000 - 100) + 100 x (10000 - 1000) nano-USD; nobody knows what the other gpt-4o cost.
    assert found["saved_by_refusing_usd"] == "0.502000000"
    assert float(found["saved_by_rerouting_usd"]) == 0.0054
    assert float(found["saved_usd"]) == 0.5074
    assert found["unpriced"] == 1
    assert len(found["unseen"]) > 3


@pytest.mark.usefixtures("prices")
def test_only_what_the_version_changes_is_counted(team: Team) -> None:
    author = team.owner()
    team.published(author, TRIED)
    for second in range(2):
        team.seed_call(YESTERDAY + timedelta(seconds=second), upstream_model="gpt-5-mini", route="cheap", cost_usd="0.0002")
    version = author.get(team.path).json()["items"][0]
    same = author.post(f"{team.path}/{version['id']}/versions/1/simulate", json={}).json()
    assert (same["unchanged"], same["refused"], same["rerouted"], float(same["saved_usd"])) == (2, 0, 0, 0)
    body = {"document": "format: navplane-workflow/1\nlimits: [{kind: usd_per_day, amount_usd: 0}]\n"}
    other = author.post(f"{team.path}/{version['id']}/versions", json=body).json()
    found = author.post(f"{team.one(other)}/simulate", json={}).json()
    assert found["refused_by"] == {"budget_exceeded": 2}
    assert float(found["saved_usd"]) == 0.0004
    assert author.post(f"{team.one(other)}/simulate", json={"days": 32}).status_code == 422
