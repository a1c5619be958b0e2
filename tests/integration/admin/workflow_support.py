"""What the tests of workflows share: an organization's people, and a workflow on its way."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import FastAPI
from fastapi.testclient import TestClient
from navplane.model.ids import new_id, new_request_id
from navplane_local.issuer import Issuer

from tests.support.postgres import TestDatabase

DOCUMENT = """\
format: navplane-workflow/1
aliases:
  fast: {provider: openai, model: gpt-5-mini}
routes:
  - name: prod
    match: gpt-5
    when:
      - {attribute: tag.env, any_of: [prod]}
    targets:
      - {provider: openai, model: gpt-5, weight: 3}
      - {provider: openrouter, model: openai/gpt-5}
    fallbacks:
      - {provider: azure, model: prod-gpt}
limits:
  - {kind: requests_per_minute, amount: 2}
  - {kind: usd_per_month, amount_usd: 100.50, allow_unpriced: true}
policy:
  block_models: [gpt-4*]
"""
ALIAS = "format: navplane-workflow/1\naliases:\n  fast: {provider: openai, model: %s}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """An organization that holds a key of OpenAI, and whoever is asked for in it."""

    app: FastAPI
    issuer: Issuer
    database: TestDatabase
    organization: dict[str, str]

    @property
    def org_id(self) -> UUID:
        return UUID(self.organization["id"])

    @property
    def path(self) -> str:
        return f"/admin/orgs/{self.org_id}/workflows"

    @property
    def workspace_id(self) -> UUID:
        with self.database.superuser() as db:
            found: UUID = db.run("SELECT id FROM workspaces WHERE org_id = :org AND is_default", org=self.org_id)[0][0]
        return found

    def somebody(self, *roles: str, membership: str = "member", workspace_id: UUID | None = None) -> TestClient:
        user_id = new_id()
        with self.database.superuser() as db:
            db.run(
                "INSERT INTO user_identities (id, issuer, subject) VALUES (:id, :issuer, :subject)",
                id=user_id, issuer=self.issuer.url, subject=str(user_id),
            )  # fmt: skip
            db.run(
                "INSERT INTO org_members (org_id, user_id, role) VALUES (:org, :id, :role)",
                org=self.org_id, id=user_id, role=membership,
            )  # fmt: skip
            for role in roles:
                db.run(
                    "INSERT INTO role_assignments (org_id, id, user_id, workspace_id, role)"
                    " VALUES (:org, :id, :user, :workspace, :role)",
                    org=self.org_id, id=new_id(), user=user_id, workspace=workspace_id, role=role,
                )  # fmt: skip
        return self.bearing(self.issuer.mint(str(user_id)))

    def owner(self) -> TestClient:
        return self.somebody(membership="owner")

    def bearing(self, credential: str) -> TestClient:
        return TestClient(self.app, headers={"authorization": f"Bearer {credential}"})

    def written(
        self, author: TestClient, document: str = DOCUMENT, *, name: str = "w", workspace_id: UUID | None = None
    ) -> Any:
        body = {"name": name, "document": document, "workspace_id": str(workspace_id) if workspace_id else None}
        made = author.post(self.path, json=body)
        assert made.status_code == 201, made.text
        return made.json()

    def one(self, version: Any) -> str:
        return f"{self.path}/{version['workflow_id']}/versions/{version['number']}"

    def approved(self, author: TestClient, version: Any) -> Any:
        assert author.post(f"{self.one(version)}/submit").status_code == 200
        answer = self.somebody("approver").post(f"{self.one(version)}/approve", json={"sha256": version["sha256"]})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def published(self, author: TestClient, document: str = DOCUMENT, **fields: Any) -> Any:
        version = self.approved(author, self.written(author, document, **fields))
        answer = author.post(f"{self.one(version)}/publish")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def next_version(self, author: TestClient, version: Any, document: str) -> Any:
        """Published after it."""
        made = author.post(f"{self.path}/{version['workflow_id']}/versions", json={"document": document})
        assert made.status_code == 201, made.text
        answer = author.post(f"{self.one(self.approved(author, made.json()))}/publish")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def seed_call(self, at: datetime, **fields: Any) -> None:
        """A row of the default workspace: of gpt-5 at OpenAI, 1,000 tokens read and 100 written, for 0.002 USD."""
        row: dict[str, Any] = {
            "request_id": new_request_id(at), "org_id": self.org_id, "workspace_id": self.workspace_id, "key_id": new_id(),
            "endpoint": "chat.completions", "region": "us", "stream": False, "demo": False, "status": 200, "outcome": "ok",
            "usage_quality": "exact", "input_tokens": 1000, "output_tokens": 100, "cached_input_tokens": 0,
            "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 0, "reasoning_tokens": 0, "audio_input_tokens": 0,
            "audio_output_tokens": 0, "web_searches": 0, "attempts": 1, "duration_ms": 1, "request_bytes": 0,
            "response_bytes": 0, "started_at": at, "provider": "openai", "model": "gpt-5", "cost_usd": "0.002",
            "price_quality": "priced", **fields,
        }  # fmt: skip
        with self.database.superuser() as db:
            db.run("SELECT public.ensure_request_log_partitions(:now, 1)", now=at)
            db.run(
                f"INSERT INTO request_logs ({', '.join(row)}) VALUES ({', '.join(f':{name}_' for name in row)})",
                **{f"{name}_": value for name, value in row.items()},
            )
