"""One story, from an empty organization to a call under its own policy: every step as a person or an application takes it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.support.browser_session import Browser, Page, token_of
from tests.support.local_cloud import LocalCloud

DOCUMENT = """\
format: navplane-workflow/1
description: What the support team's applications run under.
aliases:
  fast: {provider: openai, model: demo-chat}
limits:
  - {kind: requests_per_minute, amount: 100}
"""
PROVIDER_KEY = f"sk-demo-{uuid4().hex}"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in at the issuer, with their access token. `identity` is who they are there."""

    api: httpx2.Client
    org_id: str
    identity: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, status: int = 200, **query: str) -> Any:
        return self._answered(self.api.get(self._path(path), params=query), status)

    def post(self, path: str, body: object = None, status: int = 201) -> Any:
        return self._answered(self.api.post(self._path(path), json=body), status)

    def _path(self, path: str) -> str:
        return f"/admin/orgs/{self.org_id}/{path}" if path else f"/admin/orgs/{self.org_id}"

    def _answered(self, response: httpx2.Response, status: int) -> Any:
        assert response.status_code == status, response.text
        return response.json() if response.content else None


class World:
    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self._clients: list[httpx2.Client] = []

    def admin(self) -> httpx2.Client:
        return self._client(self.cloud.admin_token)

    def signed_in(self, subject: str, org_id: str, **known: str) -> Person:
        """By the authorization-code flow, as any client of the issuer."""
        token = token_of(self.cloud.issuer_url, subject=subject, **known)
        return Person(self._client(token), org_id, {"subject": subject, **known})

    def invited(self, host: Person, name: str, **invitation: object) -> Person:
        """Asked by mail, and in."""
        subject, email = f"local|{name}-{uuid4().hex[:6]}", f"{name}-{uuid4().hex[:6]}@navplane.test"
        host.post("invitations", {"email": email, **invitation})
        (mail,) = [text for text in self._mails() if f"To: {email}" in text]
        body = message_from_bytes(mail.encode()).get_payload(decode=True)
        assert isinstance(body, bytes)
        found = re.search(rb"npi_[A-Za-z0-9_-]+", body)
        assert found is not None, mail
        person = self.signed_in(subject, host.org_id, email=email, name=name.title())
        accepted = person.api.post("/admin/invitations/accept", json={"token": found[0].decode()})
        assert accepted.status_code == 200, accepted.text
        return person

    def call(self, api_key: str, model: str) -> httpx2.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"authorization": f"Bearer {api_key}"}
        return httpx2.post(
            f"{self.cloud.base_url}/v1/chat/completions", json=body, headers=headers, timeout=60, trust_env=False
        )

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _mails(self) -> list[str]:
        return [path.read_text() for path in sorted((self.cloud.state_dir / "mail").glob("*.eml"))]

    def _client(self, token: str) -> httpx2.Client:
        headers = {"authorization": f"Bearer {token}"}
        client = httpx2.Client(base_url=self.cloud.base_url, headers=headers, timeout=60, trust_env=False)
        self._clients.append(client)
        return client


@pytest.fixture
def world(cloud: LocalCloud) -> Iterator[World]:
    made = World(cloud)
    yield made
    made.close()


def test_the_whole_story(world: World) -> None:
    # An organization with a region, and its workspaces: made by the platform's admin.
    created = world.admin().post("/admin/orgs", json={"name": f"Acme {uuid4().hex[:6]}", "home_region": "us"})
    assert created.status_code == 201, created.text
    acme = created.json()
    admin = Person(world.admin(), acme["id"])
    support, research, europe = (
        admin.post("workspaces", {"name": name, "region": region})["id"]
        for name, region in (("Support", "us"), ("Research", "us"), ("Europe", "eu"))
    )

    # People come in by mail, and sign in with the identity provider.
    olive = world.invited(admin, "olive", membership="owner")
    otto = world.invited(olive, "otto", roles=[{"role": "approver", "workspace_id": support}])
    mia = world.invited(olive, "mia", roles=[{"role": "workspace_admin", "workspace_id": research}])
    assert olive.get("")["home_region"] == "us"

    # The provider's key is tried before it is stored, and never seen again.
    olive.post("provider-keys", {"provider": "openai", "label": "bad", "api_key": "sk-bad-0123456789"}, status=422)
    stored = olive.post("provider-keys", {"provider": "openai", "label": "main", "api_key": PROVIDER_KEY})
    assert (stored["provider"], stored["key_hint"]) == ("openai", PROVIDER_KEY[-4:])
    assert PROVIDER_KEY not in str(stored)
    assert PROVIDER_KEY not in world.cloud.dump()

    # Policy as code: written by one, approved by another, and then in force.
    draft = olive.post("workflows", {"name": "support", "workspace_id": support, "document": DOCUMENT})
    version = f"workflows/{draft['workflow_id']}/versions/1"
    assert olive.post(f"{version}/submit", status=200)["state"] == "in_review"
    olive.post(f"{version}/approve", {"sha256": draft["sha256"]}, status=403)
    assert otto.post(f"{version}/approve", {"sha256": draft["sha256"]}, status=200)["state"] == "approved"
    assert olive.post(f"{version}/publish", status=200)["state"] == "published"

    # It is listed for its workspace, and for nobody of another one.
    assert [one["name"] for one in olive.get("workflows", workspace_id=support)["items"]] == ["support"]
    assert olive.get("workflows", workspace_id=research)["items"] == []
    assert [one["name"] for one in otto.get("workflows", workspace_id=support)["items"]] == ["support"]
    assert mia.get("workflows")["items"] == []
    mia.get(f"workflows/{draft['workflow_id']}", status=404)
    mia.get("workflows", status=404, workspace_id=support)

    # This stack serves the US: what is pinned to the EU is neither read nor called through it.
    assert olive.get(f"workspaces/{europe}", status=403)["code"] == "region_mismatch"
    eu_key = olive.post("api-keys", {"name": "eu", "workspace_id": europe})["api_key"]
    refused = world.call(eu_key, "demo-chat")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "region_mismatch")

    # A call in the workspace runs under the version, and its row says so.
    key = olive.post("api-keys", {"name": "application", "workspace_id": support})["api_key"]
    answer = world.call(key, "fast")
    assert answer.status_code == 200, answer.text
    world.cloud.wait_until_delivered()
    (row,) = olive.get("requests", workspace_id=support)["items"]
    detail = olive.get(f"requests/{row['request_id']}")
    assert (detail["route"], detail["provider"], detail["response_model"]) == ("fast", "openai", "demo-chat")
    with world.cloud.superuser() as db:
        kept = db.run("SELECT workflow_version_id FROM request_logs WHERE request_id = :id", id=row["request_id"])
    assert str(kept[0][0]) == draft["id"]

    # And the web page shows her where she is, and as whom.
    with httpx2.Client(trust_env=False, timeout=60) as client:
        browser = Browser(client, world.cloud.console_url)
        browser.sign_in(**olive.identity)
        page = Page.of(browser.open("", organization=acme["id"], workspace=support))
    assert ("Support", True) in page.options["workspace"]
    assert (acme["name"], True) in page.options["organization"]
    assert (page.facts["Region"], page.facts["Subject"]) == ("us", olive.identity["subject"])
    assert "Olive" in page.text
    assert page.facts["Data mode"].startswith("metadata_only")
