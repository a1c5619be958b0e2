"""Who may do what: every principal at every operation, in its own organization and in another one, against the reviewed table
of docs/reference/permissions.md. What is permitted is not done: each call carries an `If-Match` that is refused afterwards."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI
from navplane.admin.access import Access
from navplane.admin.app import create
from navplane.admin.openapi import ROUTERS, document, guarded
from navplane.admin.plane import Plane
from navplane.admin.roles import PERMISSIONS, Permission, Role
from navplane.crypto.token import TokenVerifier
from navplane.errors import BadRequest
from navplane.model.tenancy import Region

from tests.contract.rbac.principals import ROLES, STRANGERS, World, seed
from tests.support.oidc import issuing
from tests.support.postgres import TestDatabase

ROOT = Path(__file__).parents[3]
TABLE_FILE = ROOT / "docs/reference/permissions.md"
LET_IN, REFUSED, HIDDEN, UNKNOWN = "let in", "refused", "hidden", "unknown"
PUBLIC = {"GET /health", "GET /ready", "GET /providers", "GET /admin/openapi.json"}
WITH_AN_API_KEY = {"GET /v1/receipts/{request_id}"}
PER_WORKSPACE = sorted(
    f"{method} {route.path}" for route, gate in guarded() if gate.per_workspace for method in route.methods or ()
)


def reviewed() -> dict[str, tuple[str, frozenset[str]]]:
    """The table: operation → (permission, roles that have it)."""
    found = {}
    for line in TABLE_FILE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 2 + len(ROLES):
            marked = frozenset(role for role, cell in zip(ROLES, cells[2:], strict=True) if cell == "yes")
            found[cells[0].strip("`")] = (cells[1].strip("`"), marked)
    return found


TABLE = reviewed()
OPERATIONS = sorted(TABLE)


def test_the_table_the_description_and_the_routers_name_the_same_operations_and_permissions() -> None:
    described = {
        f"{method.upper()} {path}": operation.get("x-navplane-permission")
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }
    asked = {f"{method} {route.path}": gate.permission.value for route, gate in guarded() for method in route.methods or ()}
    assert {name for name, permission in described.items() if permission is None} == PUBLIC | WITH_AN_API_KEY
    assert {name: permission for name, permission in described.items() if permission} == asked
    missing = {name: row_of(permission) for name, permission in asked.items() if name not in TABLE}
    assert missing == {}, "review these, and add them to docs/reference/permissions.md"
    assert {name: permission for name, (permission, _) in TABLE.items()} == asked


def row_of(permission: str) -> str:
    cells = ("yes" if Permission(permission) in PERMISSIONS[Role(role)] else "-" for role in ROLES)
    return f"`{permission}` | {' | '.join(cells)} |"


def test_every_role_and_every_permission_is_somewhere() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert {Role(role) for role in ROLES} == set(Role)
    assert {permission for permission, _ in TABLE.values()} == {permission.value for permission in Permission}


# -- on real HTTP shapes -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stage(module_database: TestDatabase) -> Iterator[tuple[FastAPI, World]]:
    with issuing() as (issuer, _):
        with module_database.superuser() as superuser:
            world = seed(superuser, issuer)
        database = module_database.as_role("navplane_admin")
        access = Access(
            TokenVerifier(issuer.url, "navplane"),
            database=database,
            admin_subjects=frozenset({"local|admin"}),
            records_users=True,
        )
        plane = Plane(database=database, access=access, region=Region.US, key_prefixes=("np_",))
        yield create(title="test", routers=ROUTERS, plane=plane), world


def knock(app: FastAPI, calls: list[tuple[str, str | None, UUID]], workspace: UUID | None = None) -> list[str]:
    """What each (operation, credential, organization) is answered."""

    async def all_of_them() -> list[str]:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            return [await _knock(client, *call, workspace or uuid4()) for call in calls]

    return asyncio.run(all_of_them())


async def _knock(client: httpx2.AsyncClient, operation: str, credential: str | None, org_id: UUID, workspace: UUID) -> str:
    method, path = operation.split(" ")
    ids = {"org_id": org_id, "workspace_id": workspace}
    url = re.sub(r"{(\w+)}", lambda name: str(ids.get(name[1]) or uuid4()), path)
    headers = {"if-match": '"nothing"'} | ({"authorization": f"Bearer {credential}"} if credential else {})
    body = {"there is no such field": 1} if method in ("POST", "PUT", "PATCH") else None
    answer = await client.request(method, url, headers=headers, json=body)
    return verdict(answer.status_code, answer.json())


def verdict(status: int, problem: Mapping[str, Any]) -> str:
    if status == 401:
        return UNKNOWN
    if (status, problem["code"]) == (403, "forbidden"):
        return REFUSED
    if status == 404 and problem["detail"] == "There is no such organization.":
        return HIDDEN
    # Refused for its If-Match, for its body, or because it is about nothing: all of it after it was let in.
    assert status in (400, 404, 412, 422), (status, problem)
    return LET_IN


def expected(operation: str, principal: str, *, own: bool) -> str:
    if principal in ("anonymous", "expired", "void_token", "np_key", "revoked_service_key", "expired_service_key"):
        return UNKNOWN
    if principal == "deactivated":
        return REFUSED
    roles = TABLE[operation][1]
    everybody = roles == frozenset(ROLES) and "{org_id}" not in operation
    if principal == "platform_admin" or everybody:
        return LET_IN
    if "{org_id}" not in operation:
        return REFUSED
    here = principal not in ("nobody", "other_owner") if own else principal == "other_owner"
    if not here:
        return HIDDEN
    if principal == "workspace_only" and operation in PER_WORKSPACE and "workspace_admin" in roles:
        return LET_IN
    role = {"other_owner": "owner", "workspace_only": "member"}.get(principal, principal.removesuffix("_key"))
    return LET_IN if role in roles else REFUSED


def cells(world: World, operations: list[str]) -> list[tuple[str, str, bool]]:
    return [
        (operation, principal, own)
        for operation in operations
        for principal in world.credentials
        for own in ((True, False) if "{org_id}" in operation else (True,))
    ]


def wrong(app: FastAPI, world: World, wanted: list[tuple[str, str, bool]]) -> list[tuple[str, str, bool, str]]:
    calls = [(operation, world.credentials[who], world.own if own else world.other) for operation, who, own in wanted]
    found = knock(app, calls)
    return [
        (*cell, answer) for cell, answer in zip(wanted, found, strict=True) if answer != expected(cell[0], cell[1], own=cell[2])
    ]


def test_the_matrix(stage: tuple[FastAPI, World]) -> None:
    app, world = stage
    wanted = cells(world, OPERATIONS)
    assert set(STRANGERS) | set(ROLES) <= set(world.credentials)
    assert len(wanted) > 2000
    assert wrong(app, world, wanted) == []


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_matrix_notices_a_check_that_is_gone(stage: tuple[FastAPI, World], operation: str) -> None:
    """For everybody at once: whoever was refused or hidden from is let in now."""
    app, world = stage
    method, path = operation.split(" ")
    gate = next(gate for route, gate in guarded() if route.path == path and method in (route.methods or ()))
    app.dependency_overrides[gate] = let_in
    try:
        assert wrong(app, world, [(operation, "anonymous", True)]) != []
    finally:
        del app.dependency_overrides[gate]


def let_in() -> None:
    """In place of the check; what comes after it refuses the `If-Match` still."""
    raise BadRequest("Anybody may come in here.")


def test_a_role_in_a_workspace_counts_there_and_nowhere_else(stage: tuple[FastAPI, World]) -> None:
    app, world = stage
    token = world.credentials["workspace_only"]
    in_path = [name for name in PER_WORKSPACE if "{workspace_id}" in name and "workspace_admin" in TABLE[name][1]]
    there = knock(app, [(name, token, world.own) for name in in_path], workspace=world.workspace)
    elsewhere = knock(app, [(name, token, world.own) for name in in_path])
    assert there == [LET_IN] * len(in_path)
    assert elsewhere == [LET_IN] * len(in_path), "404, as for a workspace that never was"
