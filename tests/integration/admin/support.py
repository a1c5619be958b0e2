"""What the admin API's tests share."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from fastapi import FastAPI
from fastapi.testclient import TestClient
from navplane.crypto.api_key import digest
from navplane.errors import DependencyUnavailable
from navplane.gate.gate import Admission as Admitted
from navplane.gate.gate import Ask, Charge, Refusal, RefusalReason
from navplane.gate.gate_postgres import PostgresGate
from navplane.model.ids import new_id, new_request_id
from navplane.model.mail import Mail
from navplane.model.provider_key import SealedProviderKey
from navplane.model.tenancy import Region
from navplane.model.usage import Endpoint
from navplane_local.issuer import Issuer
from pg8000.native import Connection

from tests.support.http_script import Answer, Request


def provider_script(request: Request) -> Answer:
    """A provider that knows every key but the bad ones, and that is broken for the broken ones."""
    credential = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
    if credential.startswith("sk-bad-"):
        return Answer(status=401, body=f"I don't know {credential}".encode())
    if credential.startswith("sk-broken-"):
        return Answer(status=500, body=f"I fell over {credential}".encode())
    return Answer(body=b'{"data": []}')


class Mailbox:
    """A Mailer that keeps what it was given, unless it is `broken`."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.broken = False

    def send(self, mail: Mail) -> None:
        if self.broken:
            raise DependencyUnavailable("The mail could not be sent.")
        self.mails.append(mail)

    def token(self) -> str:
        """The one in the newest mail."""
        (found,) = re.findall(r"npi_[A-Za-z0-9_-]{43}", self.mails[-1].text)
        return str(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody of an organization, signed in."""

    id: UUID
    api: TestClient


def joined(
    app: FastAPI,
    superuser: Connection,
    issuer: Issuer,
    org_id: str,
    membership: str = "owner",
    role: str | None = None,
    workspace_id: str | None = None,
) -> Person:
    """A new member, written straight into the tables."""
    user_id = new_id()
    subject = f"{membership}|{user_id}"
    superuser.run(
        "INSERT INTO user_identities (id, issuer, subject) VALUES (:id, :issuer, :subject)",
        id=user_id, issuer=issuer.url, subject=subject,
    )  # fmt: skip
    superuser.run(
        "INSERT INTO org_members (org_id, user_id, role) VALUES (:org, :id, :role)", org=org_id, id=user_id, role=membership
    )
    if role:
        superuser.run(
            "INSERT INTO role_assignments (org_id, id, user_id, workspace_id, role)"
            " VALUES (:org, :id, :user, :workspace, :role)",
            org=org_id, id=new_id(), user=user_id, workspace=workspace_id, role=role,
        )  # fmt: skip
    return Person(id=user_id, api=TestClient(app, headers={"authorization": f"Bearer {issuer.mint(subject)}"}))


class Admission:
    """Asks the gate as the proxy does."""

    def __init__(self, gate: PostgresGate, *, now: datetime) -> None:
        self._gate, self._now = gate, now

    def refusal(self, api_key: str, *, model: str = "gpt-5", provider: str | None = "openai") -> RefusalReason | None:
        answer = self._gate.admit(ask(api_key, self._now, model=model, provider=provider), self._now)
        return answer.reason if isinstance(answer, Refusal) else None

    def ways(self, api_key: str, model: str) -> tuple[str | None, list[tuple[str, str | None, int]]]:
        """The route's name, and each candidate's provider, model and step, for a name that the registry doesn't know."""
        answer = self._gate.admit(ask(api_key, self._now, model=model, provider=None), self._now)
        assert isinstance(answer, Admitted), answer
        return answer.route, [(each.provider, each.model, each.step) for each in answer.candidates]

    def candidates(self, api_key: str, *, provider: str = "openai") -> tuple[SealedProviderKey, ...]:
        answer = self._gate.admit(ask(api_key, self._now, provider=provider), self._now)
        assert isinstance(answer, Admitted), answer
        return tuple(candidate.key for candidate in answer.candidates)

    def shares(self, api_key: str) -> dict[str, int]:
        """The weight of each provider key, by its id."""
        answer = self._gate.admit(ask(api_key, self._now), self._now)
        assert isinstance(answer, Admitted), answer
        return {str(candidate.key.context.provider_key_id): candidate.weight for candidate in answer.candidates}


def ask(api_key: str, now: datetime, *, model: str = "gpt-5", provider: str | None = "openai") -> Ask:
    return Ask(
        request_id=new_request_id(now),
        key_digest=digest(api_key),
        endpoint=Endpoint.CHAT_COMPLETIONS,
        provider=provider,
        model=model,
        region=Region.US,
        stream=False,
        lease=timedelta(minutes=15),
        reserve=Charge(),
        offering=("openai", "azure", "openrouter"),
    )
