"""Somebody whose credential is good, and what they may do in the organization that their call is about."""

from dataclasses import dataclass
from uuid import UUID

from navplane.admin.roles import PERMISSIONS, SIGNED_IN, Permission, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role in one workspace; without one in the whole organization."""

    role: Role
    workspace_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """`subject` is what the audit calls them, `email` an address that their issuer vouches for. `user_id` is None for a service
    key, and for a user who was never written down; `key_org_id` is a service key's organization. `grants` are those in the
    organization that the call's path names."""

    subject: str
    user_id: UUID | None = None
    key_org_id: UUID | None = None
    email: str | None = None
    is_platform_admin: bool = False
    grants: frozenset[Grant] = frozenset()

    @property
    def roles(self) -> frozenset[Role]:
        platform = {Role.PLATFORM_ADMIN} if self.is_platform_admin else set()
        return frozenset({grant.role for grant in self.grants} | platform)

    def may(self, permission: Permission) -> bool:
        """Everywhere: in the whole organization, or in none in particular."""
        if self.is_platform_admin or permission in SIGNED_IN:
            return True
        return any(grant.workspace_id is None and permission in PERMISSIONS[grant.role] for grant in self.grants)

    def workspaces(self, permission: Permission) -> frozenset[UUID]:
        """Those in which the permission was given for a workspace alone."""
        given = (grant for grant in self.grants if permission in PERMISSIONS[grant.role])
        return frozenset(grant.workspace_id for grant in given if grant.workspace_id is not None)

    def holds(self, permissions: frozenset[Permission], *, workspace_id: UUID | None) -> bool:
        """Whether all of `permissions` are theirs there: nobody gives away what they don't have."""
        return all(self.may(one) or workspace_id in self.workspaces(one) for one in permissions)
