"""A version in force: its document compiled into the rows of routes, limits and policies, which are its own from then on."""

from uuid import UUID

from navplane.admin.access import Call, Permission
from navplane.admin.workflow_document import compiled
from navplane.errors import Conflict, Forbidden
from navplane.model.ids import new_id
from navplane.model.policy import Policy, PolicyScope
from navplane.model.workflow import Compiled, VersionState, Workflow, WorkflowVersion
from navplane.store import limits, policies, routes, workflows
from navplane.store.database import Connection


def put_in_force(db: Connection, call: Call, workflow: Workflow, version: WorkflowVersion) -> None:
    """In place of what the workflow had in force. Raise Conflict where the place is taken by something else, Forbidden for a
    policy that the caller may not make, and Invalid for what can't be beside the routes that there are."""
    _alone(db, workflow)
    workflows.disown(db, org_id=workflow.org_id, workflow_id=workflow.id)
    workflows.end(db, org_id=workflow.org_id, workflow_id=workflow.id, state=VersionState.SUPERSEDED, now=call.now)
    rows = compiled(
        version.document,
        org_id=workflow.org_id,
        workspace_id=workflow.workspace_id,
        version_id=version.id,
        among=routes.every(db, org_id=workflow.org_id),
    )
    _permitted(call, workflow, rows)
    _write(db, call, workflow, version, rows)


def withdraw(db: Connection, call: Call, workflow: Workflow) -> None:
    """Nothing of the workflow is in force any more."""
    workflows.disown(db, org_id=workflow.org_id, workflow_id=workflow.id)
    workflows.end(db, org_id=workflow.org_id, workflow_id=workflow.id, state=VersionState.WITHDRAWN, now=call.now)


def _alone(db: Connection, workflow: Workflow) -> None:
    other = workflows.published(db, org_id=workflow.org_id, workspace_id=workflow.workspace_id)
    if other is not None and other.workflow_id != workflow.id:
        where = "this workspace" if workflow.workspace_id else "this organization"
        raise Conflict(f"The workflow {other.name!r} is published for {where}: withdraw it first, or add to it.")


def _permitted(call: Call, workflow: Workflow, rows: Compiled) -> None:
    """A workspace's word beats its organization's. Who may not set policies there must not allow what that forbids."""
    if workflow.workspace_id is not None and rows.widens and not call.principal.may(Permission.POLICY_CREATE):
        raise Forbidden(
            "In a workspace, allow_models, enabled_providers and allow_files may lift what the organization forbids: somebody"
            " with the permission policy:create must publish this. What only blocks needs no more than workflow:publish."
        )


def _write(db: Connection, call: Call, workflow: Workflow, version: WorkflowVersion, rows: Compiled) -> None:
    org_id = workflow.org_id
    for route in rows.routes:
        if not routes.insert(db, route, org_id=org_id, now=call.now):
            raise _taken(f"a route {route.name!r}")
    for limit in rows.limits:
        if not limits.insert(db, limit, org_id=org_id, now=call.now, workflow_version=version.id):
            raise _taken(f"a limit of {limit.kind.value}")
    if rows.policy is not None:
        _write_policy(db, rows.policy, org_id=org_id, workspace_id=workflow.workspace_id, version_id=version.id)


def _write_policy(db: Connection, policy: Policy, *, org_id: UUID, workspace_id: UUID | None, version_id: UUID) -> None:
    scope_id = workspace_id or org_id
    if policies.of_scope(db, org_id=org_id, scope_id=scope_id) is not None:
        raise _taken("a policy")
    policies.save(
        db,
        policy,
        org_id=org_id,
        scope=PolicyScope.WORKSPACE if workspace_id else PolicyScope.ORGANIZATION,
        scope_id=scope_id,
        policy_id=new_id(),
        workflow_version=version_id,
    )


def _taken(what: str) -> Conflict:
    return Conflict(f"There is {what} here already that was not made by this workflow: remove it first, or leave it out.")
