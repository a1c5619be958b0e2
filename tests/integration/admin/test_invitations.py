"""Invitations, from the mail to the member: who may accept one, when, and how often."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from navplane_local.issuer import Issuer
from pg8000.native import Connection

from tests.integration.admin.support import Mailbox, joined
from tests.support.postgres import TestDatabase

VERIFIED: dict[str, object] = {"email": "ada@example.com", "email_verified": True}


@pytest.fixture
def superuser(module_database: TestDatabase) -> Iterator[Connection]:
    with module_database.superuser() as connection:
        yield connection


@pytest.fixture
def base(organization: dict[str, str]) -> str:
    return f"/admin/orgs/{organization['id']}/invitations"


def invited(api: TestClient, base: str, **changes: Any) -> dict[str, Any]:
    answer = api.post(base, json={"email": "ada@example.com", **changes})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def accepting(anonymous: TestClient, issuer: Issuer, token: str, *, subject: object = "", **claims: object) -> Response:
    bearer = issuer.mint(str(subject or f"user|{uuid4()}"), claims=claims or VERIFIED)
    return anonymous.post("/admin/invitations/accept", json={"token": token}, headers={"authorization": f"Bearer {bearer}"})


def test_who_is_invited_joins_with_the_roles_that_were_promised(
    api: TestClient, anonymous: TestClient, issuer: Issuer, base: str, organization: dict[str, str], mailbox: Mailbox
) -> None:
    invited(api, base, roles=[{"role": "auditor", "workspace_id": None}])
    assert mailbox.mails[-1].to == "ada@example.com"
    answer = accepting(anonymous, issuer, mailbox.token(), subject="user|ada", email="ADA@example.com", email_verified=True)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "org_id": organization["id"],
            "membership": "member",
            "roles": [{"role": "auditor", "workspace_id": None}],
        },
    )
    ada = {"authorization": f"Bearer {issuer.mint('user|ada')}"}
    assert anonymous.get(f"/admin/orgs/{organization['id']}/audit", headers=ada).status_code == 200
    (shown,) = api.get(base).json()["items"]
    assert shown["status"] == "accepted"


def test_an_invitation_is_good_once(
    api: TestClient, anonymous: TestClient, issuer: Issuer, base: str, mailbox: Mailbox
) -> None:
    invited(api, base)
    assert accepting(anonymous, issuer, mailbox.token()).status_code == 200
    again = accepting(anonymous, issuer, mailbox.token())
    assert (again.status_code, again.json()["code"]) == (410, "gone")


def test_a_revoked_or_expired_invitation_is_gone(
    api: TestClient, anonymous: TestClient, issuer: Issuer, base: str, mailbox: Mailbox, superuser: Connection
) -> None:
    revoked = invited(api, base)
    assert [api.delete(f"{base}/{revoked['id']}").status_code for _ in range(2)] == [204, 204]
    assert accepting(anonymous, issuer, mailbox.token()).status_code == 410
    expired = invited(api, base)
    superuser.run("UPDATE invitations SET expires_at = now() - interval '1 second' WHERE id = :id", id=expired["id"])
    assert accepting(anonymous, issuer, mailbox.token()).status_code == 410
    assert [one["status"] for one in api.get(base).json()["items"]] == ["expired", "revoked"]


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "eve@example.com", "email_verified": True},
        {"email": "ada@example.com", "email_verified": False},
        {"email": "ada@example.com", "email_verified": "yes"},
        {"email": "ada@example.com"},
        {"email_verified": True},
    ],
)
def test_only_who_has_the_address_verified_may_accept(
    api: TestClient, anonymous: TestClient, issuer: Issuer, base: str, mailbox: Mailbox, claims: dict[str, object]
) -> None:
    invited(api, base)
    assert accepting(anonymous, issuer, mailbox.token(), **claims).status_code == 403
    assert accepting(anonymous, issuer, mailbox.token()).status_code == 200, "the refusal has not used it up"


def test_a_token_that_never_was_and_one_that_was_replaced_name_nothing(
    api: TestClient, anonymous: TestClient, issuer: Issuer, base: str, mailbox: Mailbox
) -> None:
    first = invited(api, base)
    replaced = mailbox.token()
    answer = api.post(f"{base}/{first['id']}/resend", json={"days": 3})
    assert (answer.status_code, len(mailbox.mails)) == (200, 2)
    assert mailbox.token() != replaced
    for token in (replaced, "npi_" + "A" * 43):
        assert accepting(anonymous, issuer, token).status_code == 404
    assert accepting(anonymous, issuer, mailbox.token()).status_code == 200
    assert api.post(f"{base}/{first['id']}/resend", json={}).status_code == 409


def test_an_expired_invitation_can_be_sent_again(
    api: TestClient, anonymous: TestClient, issuer: Issuer, base: str, mailbox: Mailbox, superuser: Connection
) -> None:
    first = invited(api, base)
    superuser.run("UPDATE invitations SET expires_at = now() - interval '1 day' WHERE id = :id", id=first["id"])
    assert api.post(f"{base}/{first['id']}/resend", json={}).json()["status"] == "open"
    assert accepting(anonymous, issuer, mailbox.token()).status_code == 200


def test_an_address_has_one_open_invitation(api: TestClient, base: str) -> None:
    invited(api, base)
    assert api.post(base, json={"email": "Ada@Example.com"}).status_code == 409


def test_if_the_mail_is_not_taken_nobody_is_invited_and_the_same_call_can_be_made_again(
    api: TestClient, base: str, mailbox: Mailbox
) -> None:
    mailbox.broken, once = True, {"idempotency-key": str(uuid4())}
    answer = api.post(base, json={"email": "ada@example.com"}, headers=once)
    assert (answer.status_code, api.get(base).json()["items"]) == (503, [])
    mailbox.broken = False
    assert api.post(base, json={"email": "ada@example.com"}, headers=once).status_code == 201
    first = api.get(base).json()["items"][0]
    token, mailbox.broken = mailbox.token(), True
    assert api.post(f"{base}/{first['id']}/resend", json={}).status_code == 503
    assert mailbox.token() == token, "what was mailed before is still good"


def test_a_member_is_not_raised_by_an_invitation_and_nobody_accepts_their_own(
    api: TestClient,
    app: FastAPI,
    anonymous: TestClient,
    issuer: Issuer,
    base: str,
    organization: dict[str, str],
    mailbox: Mailbox,
    superuser: Connection,
) -> None:
    owner = joined(app, superuser, issuer, organization["id"])
    invited(owner.api, base)
    inviter: dict[str, object] = {"subject": f"owner|{owner.id}", **VERIFIED}
    assert accepting(anonymous, issuer, mailbox.token(), **inviter).status_code == 403
    member = joined(app, superuser, issuer, organization["id"], "member")
    assert accepting(anonymous, issuer, mailbox.token(), subject=f"member|{member.id}", **VERIFIED).status_code == 409


@pytest.mark.parametrize("role", [None, "workspace_admin", "auditor", "integration_admin"])
def test_who_is_no_owner_invites_nobody(
    app: FastAPI, issuer: Issuer, base: str, organization: dict[str, str], superuser: Connection, role: str | None
) -> None:
    person = joined(app, superuser, issuer, organization["id"], "member", role)
    assert person.api.post(base, json={"email": "ada@example.com", "membership": "owner"}).status_code == 403


def test_a_service_key_accepts_nothing(api: TestClient, app: FastAPI, base: str, mailbox: Mailbox) -> None:
    invited(api, base)
    expires_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    key = {"name": "k", "role": "auditor", "expires_at": expires_at}
    issued = api.post(base.replace("invitations", "service-keys"), json=key).json()["api_key"]
    client = TestClient(app, headers={"authorization": f"Bearer {issued}"})
    assert client.post("/admin/invitations/accept", json={"token": mailbox.token()}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"email": "nobody"},
        {"email": "a@b\r\nBcc: c@example.com"},
        {"email": "Ada <ada@example.com>"},
        {"email": "a@example.com,b@example.com"},
        {"email": "ada@example.com", "membership": "platform_admin"},
        {"email": "ada@example.com", "roles": [{"role": "owner"}]},
        {"email": "ada@example.com", "roles": [{"role": "auditor", "workspace_id": str(uuid4())}]},
        {"email": "ada@example.com", "days": 31},
        {"email": "ada@example.com", "token": "npi_x"},
    ],
)
def test_an_invitation_that_cannot_be_is_refused(api: TestClient, base: str, mailbox: Mailbox, body: dict[str, Any]) -> None:
    assert api.post(base, json=body).status_code == 422
    assert mailbox.mails == []


def test_another_organizations_invitation_is_not_there(api: TestClient, base: str) -> None:
    other = api.post("/admin/orgs", json={"name": "Other"}).json()["id"]
    mine = invited(api, base)["id"]
    elsewhere = f"/admin/orgs/{other}/invitations/{mine}"
    assert api.delete(elsewhere).status_code == 404
    assert api.post(f"{elsewhere}/resend", json={}).status_code == 404
    assert api.get(f"/admin/orgs/{other}/invitations").json()["items"] == []


def test_the_token_is_in_the_mail_and_nowhere_else(
    api: TestClient,
    anonymous: TestClient,
    issuer: Issuer,
    base: str,
    organization: dict[str, str],
    mailbox: Mailbox,
    superuser: Connection,
    capfd: pytest.CaptureFixture[str],
) -> None:
    answers = [invited(api, base), api.get(base).json()]
    token = mailbox.token()
    assert accepting(anonymous, issuer, token).status_code == 200
    answers.append(api.get(f"/admin/orgs/{organization['id']}/audit").json())
    stored = superuser.run("SELECT invitations::text FROM invitations") + superuser.run(
        "SELECT audit_events::text FROM audit_events"
    )
    seen = json.dumps(answers) + str(stored) + "".join(capfd.readouterr()) + repr(mailbox.mails[-1])
    assert token not in seen
    assert mailbox.mails[-1].to in seen, "they were looked at"


def test_each_step_is_an_audit_event(
    api: TestClient, anonymous: TestClient, issuer: Issuer, base: str, organization: dict[str, str], mailbox: Mailbox
) -> None:
    first = invited(api, base)
    api.post(f"{base}/{first['id']}/resend", json={})
    accepting(anonymous, issuer, mailbox.token(), subject="user|audited", **VERIFIED)
    events = api.get(f"/admin/orgs/{organization['id']}/audit").json()["items"]
    mine = [(one["action"], one["actor"]) for one in events if one["resource"] == f"invitation/{first['id']}"]
    assert sorted(mine) == [
        ("invitation:accept", "user|audited"),
        ("invitation:create", "local|admin"),
        ("invitation:create", "local|admin"),
    ]


def test_without_a_sender_nobody_can_be_invited_and_it_says_what_to_do(app: FastAPI, api: TestClient, base: str) -> None:
    app.state.plane = replace(app.state.plane, mailer=None)
    answer = api.post(base, json={"email": "ada@example.com"})
    assert (answer.status_code, "MAIL_SENDER" in answer.json()["detail"]) == (409, True)


def test_a_role_in_a_workspace_that_is_gone_is_left_out(
    api: TestClient, anonymous: TestClient, issuer: Issuer, base: str, organization: dict[str, str], mailbox: Mailbox
) -> None:
    workspaces = f"/admin/orgs/{organization['id']}/workspaces"
    workspace = api.post(workspaces, json={"name": "Short-lived"}).json()["id"]
    roles = [{"role": "operator", "workspace_id": workspace}, {"role": "approver", "workspace_id": None}]
    invited(api, base, roles=roles)
    assert api.delete(f"{workspaces}/{workspace}").status_code == 204
    answer = accepting(anonymous, issuer, mailbox.token())
    assert answer.json()["roles"] == [{"role": "approver", "workspace_id": None}]


def test_a_stale_token_of_the_issuer_is_401_before_the_invitation_is_looked_at(anonymous: TestClient, issuer: Issuer) -> None:
    bearer = issuer.mint("user|late", lifetime=timedelta(minutes=-5), claims=VERIFIED)
    headers = {"authorization": f"Bearer {bearer}"}
    assert anonymous.post("/admin/invitations/accept", json={"token": "npi_x"}, headers=headers).status_code == 401
