"""The first page: an organization, a workspace, and who is looking."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from navplane.console.admin_api import AdminApi, Listed
from navplane.console.page import rendered
from navplane.console.site import TheVisit
from navplane.errors import NotFound, Unauthenticated

router = APIRouter()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is shown, as the admin API told it. Without an organization there is none that they may see."""

    organizations: Listed
    organization: dict[str, Any] | None = None
    workspaces: Listed | None = None
    workspace: dict[str, Any] | None = None


@router.get("/console")
async def home(request: Request, visit: TheVisit, organization: UUID | None = None, workspace: UUID | None = None) -> Response:
    session = visit.jar.session(now=datetime.now(UTC))
    if session is None:
        return _welcome(request, organization, workspace, notice=None)
    try:
        view = await _view(visit.console.admin, session.access_token, organization, workspace)
    except Unauthenticated:
        response = _welcome(request, organization, workspace, notice="Your session is over.")
        visit.jar.drop_session(response)
        return response
    return rendered(request, "home.html", user=session, view=view)


def _welcome(request: Request, organization: UUID | None, workspace: UUID | None, *, notice: str | None) -> Response:
    chosen = {"organization": organization, "workspace": workspace}
    query = urlencode({name: str(value) for name, value in chosen.items() if value})
    return rendered(request, "welcome.html", query=f"?{query}" if query else "", notice=notice)


async def _view(admin: AdminApi, token: str, org_id: UUID | None, workspace_id: UUID | None) -> View:
    organizations = await admin.organizations(token)
    if org_id is None and not organizations.items:
        return View(organizations=organizations)
    chosen = _named(organizations, org_id) or (organizations.items[0] if org_id is None else None)
    if chosen is None:
        # Not among those that were listed: there are too many, or it is none of theirs. The admin API knows.
        assert org_id is not None
        chosen = await admin.organization(token, org_id)
    workspaces = await admin.workspaces(token, UUID(chosen["id"]))
    workspace = _named(workspaces, workspace_id) if workspace_id else _usual(workspaces)
    if workspace_id and workspace is None:
        raise NotFound("There is no such workspace.")
    return View(organizations=organizations, organization=chosen, workspaces=workspaces, workspace=workspace)


def _named(listed: Listed, wanted: UUID | None) -> dict[str, Any] | None:
    return next((item for item in listed.items if item["id"] == str(wanted)), None)


def _usual(workspaces: Listed) -> dict[str, Any] | None:
    """The default one where they may see it."""
    items = workspaces.items
    return next((item for item in items if item["is_default"]), items[0] if items else None)
