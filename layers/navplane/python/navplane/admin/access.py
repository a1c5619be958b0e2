"""Who is calling the admin API, and whether they may. Handlers ask for a permission; admin/roles.py says who has it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from navplane.admin import idempotency
from navplane.admin.pace import Pace, keep_pace
from navplane.admin.principal import Grant, Principal
from navplane.admin.roles import PERMISSIONS, Permission, Role
from navplane.crypto.api_key import ApiKeyShape, digest
from navplane.crypto.token import Claims, TokenVerifier
from navplane.errors import BadRequest, Forbidden, IdempotencyMisuse, NotFound, RegionMismatch, Unauthenticated
from navplane.model.ids import new_id
from navplane.model.tenancy import Region
from navplane.store import members, service_keys, users, workspaces
from navplane.store.admin_calls import Ticket
from navplane.store.database import Connection, Database

__all__ = ["PERMISSIONS", "Access", "Call", "Permission", "Principal", "Require", "Role", "require"]

MAX_USER_AGENT = 300
SERVICE_KEY_PREFIX = "nps_"
SERVICE_KEY_SHAPE = ApiKeyShape((SERVICE_KEY_PREFIX,))
SIGN_IN_AGAIN = "The access token is not valid here, or not any more: sign in again."
NO_SUCH_ORGANIZATION = "There is no such organization."
NO_SUCH_WORKSPACE = "There is no such workspace."


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One permitted call: what an audit event says of it, and what it asked to be held to. `ticket` is there under an
    idempotency key, `if_match` is the header's value. `workspaces` are the only ones it is permitted for; None is all."""

    principal: Principal
    permission: Permission
    now: datetime
    request_id: str
    ip: str | None
    user_agent: str | None
    ticket: Ticket | None = None
    if_match: str | None = None
    workspaces: frozenset[UUID] | None = None

    def covers(self, workspace_id: UUID | None) -> bool:
        """Whether it is permitted there; without a workspace, in the whole organization."""
        return self.workspaces is None or workspace_id in self.workspaces


class Access:
    """`admin_subjects` are platform admins whatever the database says: the way in for the first one. `records_users` is False
    where the database role may only read; there a user is recognised but not written down."""

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        database: Database,
        admin_subjects: frozenset[str],
        records_users: bool,
        pace: Pace | None = None,
    ) -> None:
        self._verifier, self._database, self._pace = verifier, database, pace
        self._admin_subjects, self._records_users = admin_subjects, records_users

    def principal(self, credential: str, *, now: datetime, org_id: UUID | None = None) -> Principal:
        """Raise Unauthenticated, Forbidden for who is deactivated, or DependencyUnavailable when it can't be told just now."""
        if credential.startswith(SERVICE_KEY_PREFIX):
            return self._service_key(credential, now=now, org_id=org_id)
        claims = self._verifier.verify(credential)
        with self._database.transaction(org_id=org_id) as db:
            return self._user(db, claims, now=now, org_id=org_id)

    def _service_key(self, key: str, *, now: datetime, org_id: UUID | None) -> Principal:
        if not SERVICE_KEY_SHAPE.accepts(key):
            raise Unauthenticated("The service key is not one, or not any more.")
        with self._database.transaction() as db:
            found = service_keys.use(db, digest=digest(key), now=now)
        if found is None:
            raise Unauthenticated("The service key is not one, or not any more.")
        grant = Grant(role=Role(found.role), workspace_id=found.workspace_id)
        grants = frozenset({grant}) if found.org_id == org_id else frozenset()
        return Principal(subject=f"service_key/{found.id}", key_org_id=found.org_id, grants=grants)

    def _user(self, db: Connection, claims: Claims, *, now: datetime, org_id: UUID | None) -> Principal:
        user = self._seen(db, claims, now)
        configured = claims.principal in self._admin_subjects
        if user is None:
            return Principal(subject=claims.principal, is_platform_admin=configured)
        if user.tokens_not_before is not None and claims.issued_at < user.tokens_not_before:
            raise Unauthenticated(SIGN_IN_AGAIN)
        if user.deactivated_at is not None:
            raise Forbidden("This user is deactivated.")
        given = members.grants(db, org_id=org_id, user_id=user.id) if org_id else []
        return Principal(
            subject=claims.principal,
            user_id=user.id,
            email=claims.email if claims.email_verified else None,
            is_platform_admin=configured or user.is_platform_admin,
            grants=frozenset(Grant(role=Role(role), workspace_id=workspace_id) for role, workspace_id in given),
        )

    def _seen(self, db: Connection, claims: Claims, now: datetime) -> users.Known | None:
        if self._records_users:
            identity = users.Identity(
                issuer=claims.issuer,
                subject=claims.subject,
                email=claims.email,
                name=claims.name,
                permissions=claims.permissions,
            )
            users.see(db, identity, user_id=new_id(), now=now)
        return users.known(db, issuer=claims.issuer, subject=claims.subject)

    def keep_pace(self, principal: Principal, *, method: str, now: datetime) -> None:
        """Raise RateLimited for who calls too often. Without a pace nobody does."""
        if self._pace is None:
            return
        with self._database.transaction() as db:
            keep_pace(db, self._pace, principal=principal.subject, method=method, now=now)

    def keep_region(self, named: frozenset[UUID], *, region: Region, org_id: UUID | None) -> None:
        """Raise RegionMismatch if one of the workspaces that a call names is pinned to another region."""
        if not named:
            return
        with self._database.transaction(org_id=org_id, platform=org_id is None) as db:
            if workspaces.pinned_elsewhere(db, org_id=org_id, workspace_ids=list(named), region=region):
                raise RegionMismatch("This workspace is pinned to another region: ask the stack of that one.")

    def begin(self, principal: Principal, request: Request, *, now: datetime) -> idempotency.Try | None:
        """None for a call without an idempotency key; else as `idempotency.begin`."""
        keys = request.headers.getlist(idempotency.HEADER)
        if not keys or request.method != "POST":
            return None
        if len(keys) > 1:
            raise IdempotencyMisuse("Send one Idempotency-Key.")
        said = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + request.state.body
        return idempotency.begin(self._database, principal=principal.subject, key=keys[0], request=said, now=now)


BEARER = HTTPBearer(auto_error=False, scheme_name="access_token", bearerFormat="JWT")


class Require:
    """A dependency that lets a call through if whoever makes it has `permission`, and answers 401, 403 or 404 if not."""

    def __init__(self, permission: Permission, *, versioned: bool = False, per_workspace: bool = False) -> None:
        self.permission, self.versioned, self.per_workspace = permission, versioned, per_workspace

    def __call__(
        self,
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
    ) -> Call:
        if credentials is None or len(request.headers.getlist("authorization")) != 1:
            raise Unauthenticated("Send an access token of the configured issuer: Authorization: Bearer <token>.")
        now = datetime.now(UTC)
        access: Access = request.app.state.plane.access
        principal = access.principal(credentials.credentials, now=now, org_id=_id_in_path(request, "org_id"))
        access.keep_pace(principal, method=request.method, now=now)
        workspaces = self.permitted(principal, request)
        access.keep_region(
            frozenset(_workspaces_named(request)),
            region=request.app.state.plane.region,
            org_id=_id_in_path(request, "org_id"),
        )
        if "if-match" in request.headers and not self.versioned:
            raise BadRequest("This operation has no version to hold to: leave If-Match out.")
        request.state.attempt = attempt = access.begin(principal, request, now=now)
        return Call(
            principal=principal,
            permission=self.permission,
            now=now,
            request_id=request.state.request_id,
            ip=request.client.host if request.client else None,
            user_agent=_printable(request.headers.get("user-agent")),
            ticket=attempt.ticket if attempt else None,
            if_match=request.headers.get("if-match"),
            workspaces=workspaces,
        )

    def permitted(self, principal: Principal, request: Request) -> frozenset[UUID] | None:
        """In which workspaces; None is wherever they are. Raise Forbidden, or NotFound for who is a stranger there: an
        organization of somebody else is answered as one that never was."""
        if principal.may(self.permission):
            return None
        if "org_id" in request.path_params and not principal.grants:
            raise NotFound(NO_SUCH_ORGANIZATION)
        workspaces = principal.workspaces(self.permission) if self.per_workspace else frozenset()
        if not workspaces:
            raise Forbidden(f"This needs the permission {self.permission.value}, which you don't have.")
        if "workspace_id" in request.path_params and _id_in_path(request, "workspace_id") not in workspaces:
            raise NotFound(NO_SUCH_WORKSPACE)
        return workspaces


def require(permission: Permission, *, versioned: bool = False, per_workspace: bool = False) -> Any:
    """`versioned` operations hold the caller to `If-Match`, with `change.expected`; the others refuse it. `per_workspace` ones
    keep to `Call.workspaces`; for the others a role in a workspace alone counts for nothing."""
    return Depends(Require(permission, versioned=versioned, per_workspace=per_workspace))


def _id_in_path(request: Request, name: str) -> UUID | None:
    return _id(request.path_params.get(name))


def _workspaces_named(request: Request) -> Iterator[UUID]:
    """In the path, and in whatever the answer is narrowed by."""
    for text in (request.path_params.get("workspace_id"), *request.query_params.getlist("workspace_id")):
        if (found := _id(text)) is not None:
            yield found


def _id(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


def _printable(text: str | None) -> str | None:
    return "".join(c for c in text if c.isprintable())[:MAX_USER_AGENT] if text else None
