"""Everybody who might knock at the admin API, in two organizations of one real database."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from navplane.admin.roles import ASSIGNABLE
from navplane.crypto.api_key import digest, new_api_key
from navplane.model.ids import new_id
from navplane_local.issuer import Issuer
from pg8000.native import Connection

from tests.support.tenants import seed_caller

# The columns of the reviewed table, beside those that are never let in.
ROLES = ("platform_admin", "owner", "member", *(role.value for role in ASSIGNABLE))
STRANGERS = (
    "anonymous",
    "expired",
    "deactivated",
    "void_token",
    "nobody",
    "np_key",
    "revoked_service_key",
    "expired_service_key",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """`credentials`: by the name of the principal; None for who sends nothing."""

    own: UUID
    other: UUID
    workspace: UUID
    credentials: dict[str, str | None]


def seed(superuser: Connection, issuer: Issuer) -> World:
    own, other = seed_caller(superuser), seed_caller(superuser)
    credentials: dict[str, str | None] = {
        "anonymous": None,
        "expired": issuer.mint("local|admin", lifetime=timedelta(minutes=-5)),
        "nobody": issuer.mint("nobody", claims={"permissions": ["*"], "roles": ["platform_admin"], "is_platform_admin": True}),
        "np_key": new_api_key("np_"),
        "platform_admin": issuer.mint("local|admin"),
    }
    for membership in ("owner", "member"):
        credentials[membership] = _user(superuser, issuer, membership, own.org_id, membership)
    credentials["other_owner"] = _user(superuser, issuer, "other_owner", other.org_id, "owner")
    for role in ASSIGNABLE:
        credentials[role.value] = _user(superuser, issuer, role.value, own.org_id, "member", role.value)
        credentials[f"{role.value}_key"] = _service_key(superuser, own.org_id, role.value)
    credentials["deactivated"] = _user(superuser, issuer, "deactivated", own.org_id, "owner")
    credentials["void_token"] = _user(superuser, issuer, "void_token", own.org_id, "owner")
    superuser.run("UPDATE user_identities SET deactivated_at = now() WHERE subject = 'deactivated'")
    superuser.run("UPDATE user_identities SET tokens_not_before = now() + interval '1 hour' WHERE subject = 'void_token'")
    credentials["revoked_service_key"] = _service_key(superuser, own.org_id, "auditor", revoked=True)
    credentials["expired_service_key"] = _service_key(superuser, own.org_id, "auditor", lifetime="-1 minute")
    credentials["workspace_only"] = _user(
        superuser, issuer, "workspace_only", own.org_id, "member", "workspace_admin", own.workspace_id
    )
    return World(own=own.org_id, other=other.org_id, workspace=own.workspace_id, credentials=credentials)


def _user(
    superuser: Connection,
    issuer: Issuer,
    subject: str,
    org_id: UUID,
    membership: str,
    role: str | None = None,
    workspace_id: UUID | None = None,
) -> str:
    user_id = new_id()
    superuser.run(
        "INSERT INTO user_identities (id, issuer, subject) VALUES (:id, :issuer, :subject)",
        id=user_id, issuer=issuer.url, subject=subject,
    )  # fmt: skip
    superuser.run(
        "INSERT INTO org_members (org_id, user_id, role) VALUES (:org, :id, :role)", org=org_id, id=user_id, role=membership
    )
    if role:
        superuser.run(
            "INSERT INTO role_assignments (org_id, id, user_id, workspace_id, role)"
            " VALUES (:org, :id, :user, :workspace, :role)",
            org=org_id, id=new_id(), user=user_id, workspace=workspace_id, role=role,
        )  # fmt: skip
    return issuer.mint(subject)


def _service_key(superuser: Connection, org_id: UUID, role: str, *, revoked: bool = False, lifetime: str = "1 hour") -> str:
    key = new_api_key("nps_")
    superuser.run(
        "INSERT INTO service_keys (org_id, id, name, role, digest, key_hint, created_by, expires_at, revoked_at)"
        " VALUES (:org, :id, 'k', :role, :digest, 'abcd', 't', now() + CAST(:lifetime AS interval),"
        " CASE WHEN :revoked THEN now() END)",
        org=org_id, id=new_id(), role=role, digest=digest(key), lifetime=lifetime, revoked=revoked,
    )  # fmt: skip
    return key
