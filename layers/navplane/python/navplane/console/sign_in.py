"""Signing in and out. No address that a browser sends is ever followed: what comes back with it is two ids."""

import secrets
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from navplane.console.cookies import Attempt
from navplane.console.page import rendered
from navplane.console.site import PATH, Site, TheVisit
from navplane.errors import Forbidden

router = APIRouter()


@router.get("/console/sign-in")
def sign_in(visit: TheVisit, organization: UUID | None = None, workspace: UUID | None = None) -> Response:
    attempt = Attempt(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        organization=str(organization) if organization else None,
        workspace=str(workspace) if workspace else None,
    )
    url = visit.console.provider.sign_in_url(attempt, redirect_uri=visit.site.redirect_uri)
    response = RedirectResponse(url, status_code=303)
    visit.jar.keep_attempt(response, attempt, now=datetime.now(UTC))
    return response


@router.get("/console/callback")
def callback(request: Request, visit: TheVisit) -> Response:
    """What the identity provider sent the browser back with. The attempt is over once it has succeeded."""
    now, provider = datetime.now(UTC), visit.console.provider
    attempt = visit.jar.attempt(now=now)
    code = provider.code(request.query_params, attempt)
    assert attempt is not None
    session = provider.session(code, attempt, redirect_uri=visit.site.redirect_uri)
    chosen = {"organization": attempt.organization, "workspace": attempt.workspace}
    query = urlencode({name: value for name, value in chosen.items() if value})
    response = RedirectResponse(f"{PATH}?{query}" if query else PATH, status_code=303)
    visit.jar.drop_attempt(response)
    visit.jar.keep_session(response, session, now=now)
    return response


@router.post("/console/sign-out")
def sign_out(request: Request, visit: TheVisit) -> Response:
    """Forgets the session here. The identity provider's own is left alone."""
    _require_own_page(request, visit.site)
    response = rendered(request, "welcome.html", query="", notice="You are signed out.")
    visit.jar.drop_session(response)
    return response


def _require_own_page(request: Request, site: Site) -> None:
    """Raise Forbidden for a form that another site's page sent. Browsers say which it was; what says nothing is refused."""
    origin = request.headers.get("origin", "null")
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    if origin != site.origin or fetched != "same-origin":
        raise Forbidden("This was not sent from a page of this console.")
