"""Who may do what: the permissions there are, the roles, and the one table that says which role has which."""

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """`resource:action`. The value is also the action of the audit event: never rename one."""

    ORGANIZATION_LIST = "organization:list"
    ORGANIZATION_CREATE = "organization:create"
    ORGANIZATION_READ = "organization:read"
    ORGANIZATION_UPDATE = "organization:update"
    ORGANIZATION_ENABLE = "organization:enable"
    ORGANIZATION_DELETE = "organization:delete"
    API_KEY_LIST = "api_key:list"
    API_KEY_CREATE = "api_key:create"
    API_KEY_UPDATE = "api_key:update"
    API_KEY_ROTATE = "api_key:rotate"
    API_KEY_REVOKE = "api_key:revoke"
    PROVIDER_KEY_LIST = "provider_key:list"
    PROVIDER_KEY_CREATE = "provider_key:create"
    PROVIDER_KEY_DELETE = "provider_key:delete"
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
    USAGE_READ = "usage:read"
    PLATFORM_USAGE_READ = "platform_usage:read"
    ORGANIZATION_SHRED = "organization:shred"
    PROVIDER_KEY_UPDATE = "provider_key:update"
    PROVIDER_KEY_ROTATE = "provider_key:rotate"
    PROVIDER_KEY_TEST = "provider_key:test"
    REQUEST_READ = "request:read"
    REQUEST_CONTENT_READ = "request_content:read"
    DATA_MODE_READ = "data_mode:read"
    DATA_MODE_UPDATE = "data_mode:update"
    BUDGET_LIST = "budget:list"
    EXPORT_READ = "export:read"
    EXPORT_CREATE = "export:create"
    EXPORT_DELETE = "export:delete"
    ALERT_LIST = "alert:list"
    ALERT_CREATE = "alert:create"
    ALERT_UPDATE = "alert:update"
    ALERT_DELETE = "alert:delete"
    NOTIFICATION_LIST = "notification:list"
    NOTIFICATION_READ = "notification:read"
    ALERT_DESTINATION_LIST = "alert_destination:list"
    ALERT_DESTINATION_CREATE = "alert_destination:create"
    ALERT_DESTINATION_UPDATE = "alert_destination:update"
    ALERT_DESTINATION_DELETE = "alert_destination:delete"
    ALERT_DESTINATION_TEST = "alert_destination:test"
    PLATFORM_ALERT_LIST = "platform_alert:list"
    PLATFORM_ALERT_CREATE = "platform_alert:create"
    PLATFORM_ALERT_UPDATE = "platform_alert:update"
    PLATFORM_ALERT_DELETE = "platform_alert:delete"
    PLATFORM_ALERT_TEST = "platform_alert:test"
    RECONCILIATION_LIST = "reconciliation:list"
    RECONCILIATION_CREATE = "reconciliation:create"
    RECONCILIATION_DELETE = "reconciliation:delete"
    RECONCILIATION_RUN = "reconciliation:run"
    MEMBER_LIST = "member:list"
    MEMBER_UPDATE = "member:update"
    MEMBER_REMOVE = "member:remove"
    ROLE_ASSIGN = "role:assign"
    SERVICE_KEY_LIST = "service_key:list"
    SERVICE_KEY_CREATE = "service_key:create"
    SERVICE_KEY_REVOKE = "service_key:revoke"
    USER_LIST = "user:list"
    USER_UPDATE = "user:update"
    WORKSPACE_LIST = "workspace:list"
    WORKSPACE_CREATE = "workspace:create"
    WORKSPACE_UPDATE = "workspace:update"
    WORKSPACE_DELETE = "workspace:delete"
    INVITATION_LIST = "invitation:list"
    INVITATION_CREATE = "invitation:create"
    INVITATION_REVOKE = "invitation:revoke"
    INVITATION_ACCEPT = "invitation:accept"
    WORKFLOW_LIST = "workflow:list"
    WORKFLOW_READ = "workflow:read"
    WORKFLOW_CREATE = "workflow:create"
    WORKFLOW_UPDATE = "workflow:update"
    WORKFLOW_SUBMIT = "workflow:submit"
    WORKFLOW_APPROVE = "workflow:approve"
    WORKFLOW_PUBLISH = "workflow:publish"
    WORKFLOW_ROLLBACK = "workflow:rollback"
    WORKFLOW_SIMULATE = "workflow:simulate"


class Role(StrEnum):
    """The values are stored: never rename one. `owner` and `member` are memberships, what follows them is assigned on top, in
    one workspace or in all of an organization."""

    PLATFORM_ADMIN = "platform_admin"
    OWNER = "owner"
    MEMBER = "member"
    WORKSPACE_ADMIN = "workspace_admin"
    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"
    INTEGRATION_ADMIN = "integration_admin"


ASSIGNABLE = (Role.WORKSPACE_ADMIN, Role.OPERATOR, Role.APPROVER, Role.AUDITOR, Role.INTEGRATION_ADMIN)

# Of no organization, or nobody's own business: an organization's owner doesn't have them either.
PLATFORM_ONLY = frozenset(
    {
        Permission.ORGANIZATION_CREATE,
        Permission.ORGANIZATION_DELETE,
        Permission.ORGANIZATION_SHRED,
        Permission.PLATFORM_LIMIT_LIST,
        Permission.PLATFORM_LIMIT_CREATE,
        Permission.PLATFORM_LIMIT_UPDATE,
        Permission.PLATFORM_LIMIT_DELETE,
        Permission.PLATFORM_ALERT_LIST,
        Permission.PLATFORM_ALERT_CREATE,
        Permission.PLATFORM_ALERT_UPDATE,
        Permission.PLATFORM_ALERT_DELETE,
        Permission.PLATFORM_ALERT_TEST,
        Permission.AUDIT_RECENT,
        Permission.LEDGER_JOB_CREATE,
        Permission.PLATFORM_USAGE_READ,
        Permission.USER_LIST,
        Permission.USER_UPDATE,
    }
)
# Anybody's whose credential is good. What they see is still their own.
SIGNED_IN = frozenset(
    {Permission.ORGANIZATION_LIST, Permission.AUDIT_KEYS, Permission.MODEL_PRICE_LIST, Permission.INVITATION_ACCEPT}
)

_OF_AN_ORGANIZATION = frozenset(Permission) - PLATFORM_ONLY - SIGNED_IN
_BASICS = frozenset({Permission.ORGANIZATION_READ, Permission.WORKSPACE_LIST})
_USAGE = frozenset(
    {Permission.REQUEST_LIST, Permission.REQUEST_READ, Permission.USAGE_READ, Permission.LIMIT_LIST, Permission.BUDGET_LIST}
)
_API_KEYS = frozenset(
    {
        Permission.API_KEY_LIST,
        Permission.API_KEY_CREATE,
        Permission.API_KEY_UPDATE,
        Permission.API_KEY_ROTATE,
        Permission.API_KEY_REVOKE,
    }
)
_SERVICE_KEYS = frozenset({Permission.SERVICE_KEY_LIST, Permission.SERVICE_KEY_CREATE, Permission.SERVICE_KEY_REVOKE})
_LIMITS = frozenset({Permission.LIMIT_LIST, Permission.LIMIT_CREATE, Permission.LIMIT_UPDATE, Permission.LIMIT_DELETE})
_WORKFLOW_READING = frozenset({Permission.WORKFLOW_LIST, Permission.WORKFLOW_READ})
# Not to approve: that is for somebody else.
_WORKFLOW_WRITING = _WORKFLOW_READING | {
    Permission.WORKFLOW_CREATE,
    Permission.WORKFLOW_UPDATE,
    Permission.WORKFLOW_SUBMIT,
    Permission.WORKFLOW_PUBLISH,
    Permission.WORKFLOW_ROLLBACK,
    Permission.WORKFLOW_SIMULATE,
}
_APPROVING = frozenset({Permission.WORKFLOW_APPROVE, Permission.WORKFLOW_SIMULATE, Permission.AUDIT_LIST})
_PROVIDER_KEYS = frozenset(
    permission for permission in Permission if permission.value.startswith(("provider_key:", "provider_settings:"))
)


def _reads(permission: Permission) -> bool:
    """What people wrote and were answered is no part of an audit; to have read a notification is a change of it."""
    if permission in (Permission.REQUEST_CONTENT_READ, Permission.NOTIFICATION_READ):
        return False
    return permission.value.partition(":")[2] in ("list", "read", "export")


PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.PLATFORM_ADMIN: frozenset(Permission),
    Role.OWNER: _OF_AN_ORGANIZATION | SIGNED_IN,
    Role.MEMBER: _BASICS | SIGNED_IN,
    Role.WORKSPACE_ADMIN: (
        _BASICS | SIGNED_IN | _USAGE | _API_KEYS | _SERVICE_KEYS | _LIMITS | _WORKFLOW_WRITING | {Permission.PROVIDER_KEY_LIST}
    ),
    Role.OPERATOR: _BASICS | SIGNED_IN | _USAGE | _API_KEYS | _WORKFLOW_READING | {Permission.PROVIDER_KEY_LIST},
    Role.APPROVER: _BASICS | SIGNED_IN | _USAGE | _WORKFLOW_READING | _APPROVING,
    Role.AUDITOR: SIGNED_IN | {permission for permission in _OF_AN_ORGANIZATION if _reads(permission)},
    Role.INTEGRATION_ADMIN: _BASICS | SIGNED_IN | _SERVICE_KEYS | _PROVIDER_KEYS,
}
