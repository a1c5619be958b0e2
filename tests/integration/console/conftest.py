"""The console before the real admin API, on a real Postgres, with the development issuer on real HTTP."""

from collections.abc import Iterator

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from navplane.console.admin_api import AdminApi
from navplane.console.app import create
from navplane.console.identity_provider import Client, IdentityProvider
from navplane.console.site import Console, Site
from navplane.crypto.cookie import CookieSeal
from navplane.model.provider_key import Secret
from navplane_local.issuer import Issuer

from tests.integration.admin.conftest import (
    access,
    api,
    app,
    database,
    issuer,
    kek,
    mailbox,
    organization,
    plane,
    provider,
    served_issuer,
)
from tests.support.browser_session import Browser

__all__ = ["access", "api", "app", "database", "issuer", "kek", "mailbox", "organization", "plane", "provider", "served_issuer"]

ORIGIN = "http://127.0.0.1:8787"
SITE = Site(origin=ORIGIN)
CLIENT = "navplane-console"
KEY = Secret(b"a key of this test, long enough to seal with")


def console_of(issuer: Issuer, admin: FastAPI, *, site: Site | None = SITE) -> Console:
    return Console(
        provider=IdentityProvider(issuer.url, client=Client(id=CLIENT), audience="navplane"),
        admin=AdminApi("http://admin.test", transport=lambda: httpx2.ASGITransport(admin)),
        seal=CookieSeal(KEY),
        site=site,
    )


@pytest.fixture
def console(issuer: Issuer, app: FastAPI) -> FastAPI:
    return create(console_of(issuer, app))


@pytest.fixture
def browser(console: FastAPI) -> Iterator[Browser]:
    with TestClient(console, base_url=ORIGIN, follow_redirects=False) as client:
        yield Browser(client, ORIGIN + "/console")
