"""Crypto-shredding: what was sealed is gone, nobody else's is, and the certificate says exactly that."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient
from navplane.crypto.kek_local import LocalKek
from navplane.custody.sign_audit import AuditSigner
from navplane.gate.gate import RefusalReason
from navplane.model.ids import new_id
from navplane.model.tenancy import Region
from navplane.store import shredding
from navplane.store.database import Database, sqlstate
from navplane_cli.main import app as cli
from pg8000.exceptions import DatabaseError
from typer.testing import CliRunner

from tests.integration.admin.support import Admission
from tests.support.postgres import TestDatabase


@pytest.fixture
def signer(module_database: TestDatabase, kek: LocalKek) -> AuditSigner:
    return AuditSigner(database=module_database.as_role("navplane_signer", size=1), kek=kek, region=Region.US)


def with_keys(api: TestClient, path: str, count: int) -> list[dict[str, Any]]:
    answers = [
        api.post(f"{path}/provider-keys", json={"provider": "openai", "label": str(n), "api_key": f"sk-live-0123456{n}"})
        for n in range(count)
    ]
    return [answer.json() for answer in answers]


def sealed_of(database: TestDatabase, org_id: str) -> dict[str, str]:
    with database.superuser() as db:
        rows = db.run("SELECT id, sealed FROM provider_keys WHERE org_id = :id", id=UUID(org_id))
    return {str(row[0]): hashlib.sha256(bytes(row[1])).hexdigest() for row in rows}


def test_everything_sealed_is_destroyed_and_certified(
    api: TestClient, organization: dict[str, str], admission: Admission, module_database: TestDatabase, signer: AuditSigner,
    kek: LocalKek, tmp_path: Path,
) -> None:  # fmt: skip
    other = api.post("/admin/orgs", json={"name": "Other"}).json()
    path, others = (f"/admin/orgs/{one['id']}" for one in (organization, other))
    with_keys(api, path, 3)
    with_keys(api, others, 1)
    before = sealed_of(module_database, organization["id"])
    answer = api.post(f"{path}/shred", json={"confirm": organization["id"]})
    assert (answer.status_code, answer.json()["signature"]) == (201, None)
    said = json.loads(answer.json()["statement"])
    assert {value["id"]: value["sha256"] for value in said["values_destroyed"]} == before
    assert {(value["table"], value["kek_id"]) for value in said["values_destroyed"]} == {("provider_keys", kek.kek_id)}
    assert (said["organization"], said["requested_by"], said["rows_deleted"]) == (organization["id"], "local|admin", 3)
    assert sealed_of(module_database, organization["id"]) == {}
    assert len(sealed_of(module_database, other["id"])) == 1
    assert admission.refusal(organization["api_key"]) is RefusalReason.INVALID_KEY
    assert api.get(path).status_code == 404
    assert api.get(f"{path}/audit").json()["items"][0]["action"] == "organization:shred"
    assert api.post(f"{path}/shred", json={"confirm": organization["id"]}).status_code == 409

    assert signer.certify(datetime.now(UTC)) == 1
    assert signer.certify(datetime.now(UTC)) == 0
    keys, certificate = tmp_path / "keys.json", tmp_path / "certificate.json"
    keys.write_text(api.get("/admin/audit/keys").text)
    signed = api.get(f"{path}/shredding-certificate").json()
    certificate.write_text(json.dumps(signed))
    verify = ["audit", "certificate", "--keys", str(keys), str(certificate)]
    told = CliRunner().invoke(cli, verify)
    assert (told.exit_code, "3 sealed values" in told.output) == (0, True)
    forgeries = [
        {**signed, "statement": signed["statement"].replace(organization["id"], other["id"])},
        {**signed, "key_id": str(uuid4())},
        {**signed, "signature": None},
        {**signed, "statement": "{}"},
        {},
    ]
    for forged in forgeries:
        certificate.write_text(json.dumps(forged))
        assert CliRunner().invoke(cli, verify).exit_code == 1


def test_a_deleted_organization_can_be_shredded_too(api: TestClient, organization: dict[str, str]) -> None:
    path = f"/admin/orgs/{organization['id']}"
    with_keys(api, path, 1)
    assert api.delete(path).status_code == 204
    said = json.loads(api.post(f"{path}/shred", json={"confirm": organization["id"]}).json()["statement"])
    # The deletion had overwritten what was sealed: there was a row left, and no value.
    assert (said["rows_deleted"], said["values_destroyed"]) == (1, [])


def test_it_needs_the_id_twice_and_an_organization(
    api: TestClient, organization: dict[str, str], module_database: TestDatabase
) -> None:
    path = f"/admin/orgs/{organization['id']}"
    with_keys(api, path, 1)
    assert api.post(f"{path}/shred", json={"confirm": str(uuid4())}).status_code == 422
    assert api.post(f"{path}/shred", json={}).status_code == 422
    nobody = uuid4()
    assert api.post(f"/admin/orgs/{nobody}/shred", json={"confirm": str(nobody)}).status_code == 404
    assert api.get(f"{path}/shredding-certificate").status_code == 404
    assert len(sealed_of(module_database, organization["id"])) == 1


def test_nobody_has_anothers_secrets_destroyed_or_anything_certified_that_did_not_happen(
    database: Database, organization: dict[str, str], module_database: TestDatabase
) -> None:
    mine = UUID(organization["id"])
    with pytest.raises(DatabaseError) as refused, database.transaction(org_id=uuid4()) as db:
        shredding.shred(db, org_id=mine, certificate_id=new_id(), actor="x", now=datetime.now(UTC))
    assert sqlstate(refused.value) == "42501"
    forged = "INSERT INTO shredding_certificates (org_id, id, statement, created_at) VALUES (:id, :id, '{}', now())"
    for role in ("navplane_admin", "navplane_signer", "navplane_writer", "navplane_rewrap"):
        with pytest.raises(DatabaseError) as refused, module_database.as_role(role, size=1).transaction(org_id=mine) as db:
            db.run(forged, id=mine)
        assert sqlstate(refused.value) == "42501"


def test_what_is_sealed_for_an_organization_can_be_destroyed_in_every_table(module_database: TestDatabase) -> None:
    sealed = """
    SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name IN ('sealed', 'org_id')
     GROUP BY 1 HAVING count(*) = 2
    """
    able = "SELECT tablename FROM pg_policies WHERE cmd = :cmd AND 'navplane_keeper' = ANY (roles)"
    with module_database.superuser() as db:
        tables = {row[0] for row in db.run(sealed)}
        for command in ("SELECT", "DELETE"):
            assert tables <= {row[0] for row in db.run(able, cmd=command)}
    assert "provider_keys" in tables
