"""The audit as it is listed, exported and verified; and that no change goes by without its event."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from navplane.admin.change import masked
from navplane.crypto.kek_local import LocalKek
from navplane.custody.sign_audit import AuditSigner
from navplane.model.tenancy import Region
from navplane_cli.main import app as cli
from typer.testing import CliRunner

from tests.support.audit_seed import write
from tests.support.postgres import TestDatabase


@pytest.fixture
def path(api: TestClient, organization: dict[str, str]) -> str:
    """With four events."""
    path = f"/admin/orgs/{organization['id']}"
    assert api.put(path, json={"name": "Renamed"}).status_code == 200
    assert api.post(f"{path}/rotate-key").status_code == 200
    assert api.put(f"{path}/enabled", json={"enabled": False}).status_code == 200
    return f"{path}/audit"


@pytest.fixture(scope="module")
def signer(module_database: TestDatabase, kek: LocalKek) -> AuditSigner:
    return AuditSigner(database=module_database.as_role("navplane_signer", size=1), kek=kek, region=Region.US)


def actions(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["action"] for item in answer.json()["items"]]


ALL = ["organization:enable", "api_key:rotate", "organization:update", "organization:create"]


def test_an_event_says_who_did_what_to_what_from_where(api: TestClient, path: str, organization: dict[str, str]) -> None:
    answer = api.get(path, params={"action": "organization:update"}, headers={"user-agent": "me"})
    (event,) = answer.json()["items"]
    assert (event["actor"], event["resource"]) == ("local|admin", f"organization/{organization['id']}")
    assert (event["before"]["name"], event["after"]["name"], event["ip"]) == ("Acme", "Renamed", "testclient")
    assert event["user_agent"] == "testclient"
    assert len(event["request_id"]) == 36
    assert event["sequence"] == 2
    assert organization["api_key"] not in api.get(path).text


def test_it_is_listed_newest_first_in_pages_and_by_filter(api: TestClient, path: str, organization: dict[str, str]) -> None:
    assert actions(api.get(path)) == ALL
    seen, cursor = [], None
    while True:
        page = api.get(path, params={"limit": 3, **({"cursor": cursor} if cursor else {})})
        seen += actions(page)
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert seen == ALL
    assert actions(api.get(path, params={"resource": "api_key/"})) == ["api_key:rotate"]
    assert actions(api.get(path, params={"resource": f"organization/{organization['id']}"})) == [ALL[0], *ALL[2:]]
    assert actions(api.get(path, params={"actor": "somebody"})) == []
    oldest = api.get(path).json()["items"][-1]["occurred_at"]
    assert actions(api.get(path, params={"until": oldest})) == []
    assert actions(api.get(path, params={"since": oldest})) == ALL
    assert api.get(path, params={"since": "yesterday"}).status_code == 422


def test_a_deleted_organizations_audit_is_kept_and_anothers_is_not_shown(
    api: TestClient, path: str, organization: dict[str, str]
) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    assert actions(api.get(f"/admin/orgs/{other['id']}/audit")) == ["organization:create"]
    assert api.delete(path.removesuffix("/audit")).status_code == 204
    assert actions(api.get(path)) == ["organization:delete", *ALL]


def test_recent_events_are_those_of_everybody(api: TestClient, path: str, organization: dict[str, str]) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    items = api.get("/admin/audit/recent", params={"limit": 2}).json()["items"]
    assert [item["organization"] for item in items] == [other["id"], organization["id"]]


def test_an_export_is_verified_by_the_command_and_a_forged_one_is_named(
    api: TestClient, path: str, signer: AuditSigner, tmp_path: Path
) -> None:
    signer.sign(datetime.now(UTC))
    keys, first, rest = (tmp_path / name for name in ("keys.json", "first.json", "rest.json"))
    keys.write_text(api.get("/admin/audit/keys").text)
    first.write_text(api.get(f"{path}/export", params={"limit": 3}).text)
    follows = json.loads(first.read_text())["next_sequence"]
    rest.write_text(api.get(f"{path}/export", params={"first": follows}).text)
    told = CliRunner().invoke(cli, ["audit", "verify", "--keys", str(keys), "--json", str(first), str(rest)])
    assert (told.exit_code, json.loads(told.output)["signed"]) == (0, 4)
    short = CliRunner().invoke(cli, ["audit", "verify", "--keys", str(keys), "--at-least", "5", str(first), str(rest)])
    assert (short.exit_code, "entry 5: missing" in short.output) == (1, True)
    first.write_text(first.read_text().replace("Renamed", "Forged"))
    told = CliRunner().invoke(cli, ["audit", "verify", "--keys", str(keys), str(first), str(rest)])
    assert (told.exit_code, "entry 2: altered" in told.output) == (1, True)
    keys.write_text("[]")
    assert CliRunner().invoke(cli, ["audit", "verify", "--keys", str(keys), str(first)]).exit_code == 1


def test_a_spreadsheet_gets_no_formula(api: TestClient, path: str, organization: dict[str, str]) -> None:
    api.get(path, headers={"user-agent": "x"})
    base = path.removesuffix("/audit")
    api.put(base, json={"name": "=1+1"}, headers={"user-agent": "=cmd|' /C calc'!A0"})
    answer = api.get(f"{path}/export", params={"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["sequence"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[-1]["user_agent"] == "'=cmd|' /C calc'!A0"
    assert json.loads(rows[-1]["after"])["name"] == "=1+1"


def test_the_platforms_own_chain_is_exported_by_itself(
    api: TestClient, module_database: TestDatabase, database: Any, signer: AuditSigner
) -> None:
    write(database, None, 3, now=datetime.now(UTC) - timedelta(days=1))
    document = api.get("/admin/audit/export").json()
    assert (document["organization"], [entry["sequence"] for entry in document["entries"]]) == (None, [1, 2, 3])


@pytest.mark.parametrize("name", ["api_key", "secret", "client_secret", "PASSWORD", "refresh_token", "sealed", "key_digest"])
def test_what_is_named_like_a_secret_is_masked_at_any_depth(name: str) -> None:
    assert masked({"a": [{name: "s3cret", "key_hint": "cret"}], name: None}) == {
        "a": [{name: "[masked]", "key_hint": "cret"}],
        name: None,
    }
