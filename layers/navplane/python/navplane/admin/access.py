"""Who is calling the admin API and what they may do. Handlers ask for a permission; the table below says who has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from navplane.admin import idempotency
from navplane.admin.pace import Pace, keep_pace
from navplane.crypto.token import Claims, TokenVerifier
from navplane.errors import BadRequest, Forbidden, IdempotencyMisuse, Unauthenticated
from navplane.model.ids import new_id
from navplane.store import users
from navplane.store.admin_calls import Ticket
from navplane.store.database import Database

MAX_USER_AGENT = 300


class Permission(StrEnum):
    """`resource:action`. The value is also the action of the audit event: never rename one."""

    ORGANIZATION_LIST = "organization:list"
    ORGANIZATION_CREATE = "organization:create"
    ORGANIZATION_READ = "organization:read"
    ORGANIZATION_UPDATE = "organization:update"
    ORGANIZATION_ENABLE = "organization:enable"
    ORGANIZATION_DELETE = "organization:delete"
    ORGANIZATION_SHRED = "organization:shred"
    API_KEY_LIST = "api_key:list"
    API_KEY_CREATE = "api_key:create"
    API_KEY_UPDATE = "api_key:update"
    API_KEY_ROTATE = "api_key:rotate"
    API_KEY_REVOKE = "api_key:revoke"
    PROVIDER_KEY_LIST = "provider_key:list"
    PROVIDER_KEY_CREATE = "provider_key:create"
    PROVIDER_KEY_UPDATE = "provider_key:update"
    PROVIDER_KEY_ROTATE = "provider_key:rotate"
    PROVIDER_KEY_DELETE = "provider_key:delete"
    PROVIDER_KEY_TEST = "provider_key:test"
    PROVIDER_SETTINGS_READ = "provider_settings:read"
    PROVIDER_SETTINGS_UPDATE = "provider_settings:update"
    POLICY_LIST = "policy:list"
    POLICY_CREATE = "policy:create"
    POLICY_UPDATE = "policy:update"
    POLICY_DELETE = "policy:delete"
    ROUTE_LIST = "route:list"
    ROUTE_CREATE = "route:create"
    ROUTE_UPDATE = "route:update"
    ROUTE_DELETE = "route:delete"
    PLATFORM_LIMIT_LIST = "platform_limit:list"
    PLATFORM_LIMIT_CREATE = "platform_limit:create"
    PLATFORM_LIMIT_UPDATE = "platform_limit:update"
    PLATFORM_LIMIT_DELETE = "platform_limit:delete"
    AUDIT_LIST = "audit:list"
    AUDIT_EXPORT = "audit:export"
    AUDIT_RECENT = "audit:recent"
    AUDIT_KEYS = "audit:keys"
    ALERT_LIST = "alert:list"
    ALERT_CREATE = "alert:create"
    ALERT_UPDATE = "alert:update"
    ALERT_DELETE = "alert:delete"
    NOTIFICATION_LIST = "notification:list"
    NOTIFICATION_READ = "notification:read"
    BUDGET_LIST = "budget:list"
    LIMIT_LIST = "limit:list"
    LIMIT_CREATE = "limit:create"
    LIMIT_UPDATE = "limit:update"
    LIMIT_DELETE = "limit:delete"
    PRICE_OVERRIDE_LIST = "price_override:list"
    PRICE_OVERRIDE_CREATE = "price_override:create"
    PRICE_OVERRIDE_UPDATE = "price_override:update"
    PRICE_OVERRIDE_DELETE = "price_override:delete"
    MODEL_PRICE_LIST = "model_price:list"
    LEDGER_JOB_LIST = "ledger_job:list"
    LEDGER_JOB_CREATE = "ledger_job:create"
    REQUEST_LIST = "request:list"
    REQUEST_READ = "request:read"
    REQUEST_CONTENT_READ = "request_content:read"
    DATA_MODE_READ = "data_mode:read"
    DATA_MODE_UPDATE = "data_mode:update"
    USAGE_READ = "usage:read"
    EXPORT_READ = "export:read"
    EXPORT_CREATE = "export:create"
    EXPORT_DELETE = "export:delete"
    PLATFORM_USAGE_READ = "platform_usage:read"


class Role(StrEnum):
    PLATFORM_ADMIN = "platform_admin"


PERMISSIONS: Mapping[Role, frozenset[Permission]] = {Role.PLATFORM_ADMIN: frozenset(Permission)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Somebody whose token is valid; without a role they may do nothing."""

    subject: str
    roles: frozenset[Role]

    def may(self, permission: Permission) -> bool:
        return any(permission in PERMISSIONS[role] for role in self.roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One permitted call: what an audit event says of it, and what it asked to be held to. `ticket` is there under an
    idempotency key, `if_match` is the header's value."""

    principal: Principal
    permission: Permission
    now: datetime
    request_id: str
    ip: str | None
    user_agent: str | None
    ticket: Ticket | None = None
    if_match: str | None = None


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

    def principal(self, token: str, *, now: datetime) -> Principal:
        """Raise Unauthenticated, or DependencyUnavailable when it can't be told just now."""
        claims = self._verifier.verify(token)
        marked = self._see(claims, now)
        is_admin = marked or claims.subject in self._admin_subjects
        return Principal(subject=claims.subject, roles=frozenset({Role.PLATFORM_ADMIN}) if is_admin else frozenset())

    def _see(self, claims: Claims, now: datetime) -> bool:
        with self._database.transaction() as db:
            if not self._records_users:
                return users.is_platform_admin(db, issuer=claims.issuer, subject=claims.subject)
            identity = users.Identity(issuer=claims.issuer, subject=claims.subject, email=claims.email, name=claims.name)
            return users.see(db, identity, user_id=new_id(), now=now)

    def keep_pace(self, principal: Principal, *, method: str, now: datetime) -> None:
        """Raise RateLimited for who calls too often. Without a pace nobody does."""
        if self._pace is None:
            return
        with self._database.transaction() as db:
            keep_pace(db, self._pace, principal=principal.subject, method=method, now=now)

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
    """A dependency that lets a call through if its token's owner has `permission`, and answers 401 or 403 if not."""

    def __init__(self, permission: Permission, *, versioned: bool = False) -> None:
        self.permission, self.versioned = permission, versioned

    def __call__(
        self,
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
    ) -> Call:
        if credentials is None or len(request.headers.getlist("authorization")) != 1:
            raise Unauthenticated("Send an access token of the configured issuer: Authorization: Bearer <token>.")
        now = datetime.now(UTC)
        access: Access = request.app.state.plane.access
        principal = access.principal(credentials.credentials, now=now)
        access.keep_pace(principal, method=request.method, now=now)
        if not principal.may(self.permission):
            raise Forbidden(f"This needs the permission {self.permission.value}, which you don't have.")
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
        )


def require(permission: Permission, *, versioned: bool = False) -> Any:
    """`versioned` operations hold the caller to `If-Match`, with `change.expected`; the others refuse it."""
    return Depends(Require(permission, versioned=versioned))


def _printable(text: str | None) -> str | None:
    return "".join(c for c in text if c.isprintable())[:MAX_USER_AGENT] if text else None
