"""The console as a browser shows it: signed in through the issuer's page, switched with and without scripts, in the dark."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.support.chromium import Chromium

UP = "\ue013"


@pytest.fixture
def running(request: pytest.FixtureRequest, browser: Chromium) -> Any:
    """The cloud, which starts only where there is a browser."""
    return request.getfixturevalue("cloud")


@pytest.fixture
def acme(running: Any) -> dict[str, str]:
    """The newest organization, with a second workspace."""
    headers = {"authorization": f"Bearer {running.admin_token}"}
    with httpx2.Client(base_url=running.base_url, headers=headers, trust_env=False, timeout=60) as admin:
        made = (
            admin.post("/admin/orgs", json={"name": f"Acme {uuid4().hex[:6]}", "home_region": "us"}).raise_for_status().json()
        )
        body = {"name": "Europe", "region": "eu"}
        workspace = admin.post(f"/admin/orgs/{made['id']}/workspaces", json=body).raise_for_status().json()
    return {"id": made["id"], "name": made["name"], "workspace": workspace["id"]}


def sign_in(browser: Chromium, console_url: str) -> None:
    browser.open(console_url)
    browser.click("a.button")
    browser.await_text("Who are you today?")
    browser.click('button[value="local|admin"]')
    browser.await_text("Ada Admin")


def test_a_person_signs_in_switches_and_signs_out(browser: Chromium, running: Any, acme: dict[str, str]) -> None:
    sign_in(browser, running.console_url)
    browser.await_text(acme["name"], "h1")
    assert [(one["name"], one["httpOnly"], one["sameSite"]) for one in browser.cookies()] == [("navplane-session", True, "Lax")]
    assert browser.run("return document.cookie") == ""
    assert "default" in browser.text("section:nth-of-type(2)")
    # By keyboard: the workspace above the default one, which htmx follows at once.
    browser.run("document.getElementById('workspace').focus()")
    browser.press(UP)
    browser.await_text("Europe", "section:nth-of-type(2)")
    assert browser.url.endswith(f"&workspace={acme['workspace']}")
    assert browser.run("return document.activeElement.id") == "workspace"
    browser.click("header button")
    browser.await_text("You are signed out.")
    assert browser.cookies() == []
    assert browser.complaints() == []


def test_the_page_works_without_scripts_and_in_the_dark(browser: Chromium, running: Any, acme: dict[str, str]) -> None:
    sign_in(browser, running.console_url)
    light = browser.run("return getComputedStyle(document.body).backgroundColor")
    browser.emulate(prefers_color_scheme="dark")
    assert browser.run("return getComputedStyle(document.body).backgroundColor") != light
    browser.without_scripts()
    browser.open(f"{running.console_url}?organization={acme['id']}&workspace={acme['workspace']}")
    assert "eu" in browser.text("section:nth-of-type(2)")
    browser.click("#organization + button")
    browser.await_text(acme["name"], "h1")
    assert browser.url == f"{running.console_url}?organization={acme['id']}"
