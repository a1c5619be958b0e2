"""The first page shows what the admin API lets its reader see, and nothing that a browser could be turned with."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import navplane.console
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from navplane.console.edge import POLICY
from navplane.store import members
from navplane.store.database import Database
from navplane_local.issuer import Issuer

from tests.integration.console.conftest import ORIGIN
from tests.support.browser_session import Browser, Page

ROOT = Path(__file__).parents[3]
STATIC = Path(navplane.console.__file__).with_name("static")
HTMX_SHA256 = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
WITHOUT_CONTENT = {"meta", "link", "input"}


@pytest.fixture
def acme(api: TestClient) -> dict[str, Any]:
    """In the EU, with a second workspace in the US that keeps content."""
    made: dict[str, Any] = api.post("/admin/orgs", json={"name": f"Acme {uuid4().hex[:6]}", "home_region": "eu"}).json()
    answer = api.post(f"/admin/orgs/{made['id']}/workspaces", json={"name": "Production", "region": "us"})
    assert answer.status_code == 201, answer.text
    made["workspace"] = answer.json()["id"]
    mode = api.put(
        f"/admin/orgs/{made['id']}/workspaces/{made['workspace']}/data-mode", json={"data_mode": "full", "retention_days": 7}
    )
    assert mode.status_code == 200, mode.text
    return made


def join(database: Database, app: FastAPI, issuer: Issuer, api: TestClient, org_id: str, subject: str) -> None:
    """A member, once the user is known: users are written down when they first call."""
    TestClient(app, headers={"authorization": f"Bearer {issuer.mint(subject)}"}).get("/admin/orgs")
    user = UUID(user_id(api, subject))
    with database.transaction(org_id=UUID(org_id)) as db:
        members.put(db, org_id=UUID(org_id), user_id=user, membership="member", now=datetime.now(UTC))


def user_id(api: TestClient, subject: str) -> str:
    users = api.get("/admin/users", params={"limit": 200}).json()["items"]
    return next(str(user["id"]) for user in users if user["subject"] == subject)


def test_page_shows_organization_workspace_region_data_mode_and_user(browser: Browser, acme: Mapping[str, Any]) -> None:
    browser.sign_in("local|admin")
    usual = Page.of(browser.open("", organization=acme["id"]))
    assert (usual.facts["Home region"], usual.facts["Region"], usual.facts["Subject"]) == ("eu", "eu", "local|admin")
    assert usual.facts["Data mode"].startswith("metadata_only")
    other = Page.of(browser.open("", organization=acme["id"], workspace=acme["workspace"]))
    assert (other.facts["Home region"], other.facts["Region"]) == ("eu", "us")
    assert other.facts["Data mode"] == "full kept for 7 days"
    assert other.options["workspace"] == [("Production", True), ("default", False)]
    assert (acme["name"], True) in other.options["organization"]


def test_member_sees_their_own_organization_and_no_other(
    browser: Browser,
    database: Database,
    app: FastAPI,
    issuer: Issuer,
    api: TestClient,
    acme: Mapping[str, Any],
    organization: Mapping[str, str],
) -> None:
    subject = f"local|{uuid4().hex[:8]}"
    join(database, app, issuer, api, acme["id"], subject)
    page = Page.of(browser.sign_in(subject, name="Mia Member"))
    assert page.options["organization"] == [(acme["name"], True)]
    assert "Mia Member" in page.text
    refused = browser.open("", organization=organization["id"])
    assert refused.status_code == 404
    assert organization["id"] not in refused.text


def test_somebody_without_an_organization_is_told_so(browser: Browser, organization: Mapping[str, str]) -> None:
    page = Page.of(browser.sign_in(f"local|{uuid4().hex[:8]}"))
    assert "belong to no organization" in page.text
    assert page.options == {}


def test_workspace_of_another_organization_is_not_there(
    browser: Browser, acme: Mapping[str, Any], organization: Mapping[str, str]
) -> None:
    browser.sign_in("local|admin")
    assert browser.open("", organization=organization["id"], workspace=acme["workspace"]).status_code == 404
    assert browser.open("", organization=str(uuid4())).status_code == 404
    assert browser.open("", organization="nonsense").status_code == 404


def test_names_are_text_and_never_markup(browser: Browser, api: TestClient) -> None:
    name = "<script>alert(1)</script>\"'><img src=x>"
    made = api.post("/admin/orgs", json={"name": name}).json()
    browser.sign_in("local|admin", name="<b>Ada</b>", email="a@b.test")
    response = browser.open("", organization=made["id"])
    page = Page.of(response)
    assert page.facts["Name"].startswith("<b>Ada") or name in page.text
    assert name in page.text
    assert not [tag for tag, _ in page.elements if tag in ("img", "b")]
    (source,) = [attributes["src"] for tag, attributes in page.elements if tag == "script"]
    assert str(source).startswith("/console/static/")


def test_token_that_the_admin_api_takes_no_more_ends_the_session(
    browser: Browser, database: Database, app: FastAPI, api: TestClient, issuer: Issuer, acme: Mapping[str, Any]
) -> None:
    subject = f"local|{uuid4().hex[:8]}"
    join(database, app, issuer, api, acme["id"], subject)
    browser.sign_in(subject)
    answer = api.post(f"/admin/users/{user_id(api, subject)}/revoke-tokens")
    assert answer.is_success, answer.text
    response = browser.open("", organization=acme["id"])
    assert "Your session is over." in Page.of(response).text
    assert f"/console/sign-in?organization={acme['id']}" in response.text
    assert "navplane-session" not in browser.client.cookies


def test_every_answer_has_the_headers_and_no_inline_code(browser: Browser, organization: Mapping[str, str]) -> None:
    browser.sign_in("local|admin")
    paths = ("", "/sign-in", "/callback", "/nowhere", "/sign-out", "?organization=nonsense", "/static/nothing.js")
    for path in paths:
        response = browser.client.get(browser.url + path)
        assert response.headers["content-security-policy"] == POLICY
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "same-origin"
        assert response.headers["cache-control"] == "no-store"
        assert "max-age" in response.headers["strict-transport-security"]
        for tag, attributes in Page(response.text).elements:
            assert tag != "style"
            assert tag != "script" or attributes.get("src")
            assert not [name for name in attributes if name.startswith(("on", "style", "hx-on"))]
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'; script-src 'self'")


def test_pages_can_be_read_without_seeing_them(browser: Browser, acme: Mapping[str, Any]) -> None:
    browser.sign_in("local|admin")
    for response in (browser.open("", organization=acme["id"]), browser.open("/nowhere"), browser.sign_out(origin=ORIGIN)):
        page = Page.of(response)
        tags = [tag for tag, _ in page.elements]
        assert response.text.startswith('<!doctype html>\n<html lang="en">')
        assert (tags.count("h1"), tags.count("main"), tags.count("title")) == (1, 1, 1)
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        labels = {attributes["for"] for tag, attributes in page.elements if tag == "label"}
        assert len(ids) == len(set(ids))
        assert {attributes["id"] for tag, attributes in page.elements if tag == "select"} == labels
        assert {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes} <= set(ids)
        closed = re.findall(r"</([a-z0-9]+)>", response.text)
        assert sorted(closed) == sorted(tag for tag in tags if tag not in WITHOUT_CONTENT)


def test_switching_needs_no_script(browser: Browser, acme: Mapping[str, Any]) -> None:
    """Each switch is a form with a button, whose address is the page's own."""
    browser.sign_in("local|admin")
    page = Page.of(browser.open("", organization=acme["id"]))
    forms = [attributes for tag, attributes in page.elements if tag == "form" and attributes["method"] == "get"]
    assert [form["action"] for form in forms] == ["/console", "/console"]
    assert [form["hx-get"] for form in forms] == ["/console", "/console"]
    hidden = [attributes for tag, attributes in page.elements if tag == "input"]
    assert [(one["name"], one["value"]) for one in hidden] == [("organization", acme["id"])]


def test_static_files_are_kept_for_good_under_names_of_their_content(browser: Browser) -> None:
    addresses = re.findall(r'(?:src|href)="(/console/static/[^"]+)"', browser.open().text)
    kinds = {address.rpartition(".")[2]: browser.client.get(ORIGIN + address) for address in addresses}
    assert {kind: answer.headers["content-type"] for kind, answer in kinds.items()} == {
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
    }
    assert {answer.headers["cache-control"] for answer in kinds.values()} == {"public, max-age=31536000, immutable"}
    assert hashlib.sha256(kinds["js"].content).hexdigest() == HTMX_SHA256


def test_htmx_is_the_released_file_with_its_licence_named() -> None:
    (file,) = STATIC.glob("htmx-*.js")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == HTMX_SHA256
    notice = (ROOT / "NOTICE").read_text()
    assert "htmx 2.0.11" in notice
    assert "Zero-Clause BSD" in notice
    assert HTMX_SHA256 in notice
