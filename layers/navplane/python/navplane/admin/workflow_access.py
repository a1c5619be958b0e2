"""Which workflow a call is about, and whether whoever makes it may see it and have a hand in it."""

from uuid import UUID

from navplane.admin import change
from navplane.admin.access import Call
from navplane.admin.workspaces import here
from navplane.errors import NotFound
from navplane.model.tenancy import Region
from navplane.model.workflow import Workflow, WorkflowVersion
from navplane.store import service_keys, workflows
from navplane.store.database import Connection

NO_SUCH_WORKFLOW = "There is no such workflow."
NO_SUCH_VERSION = "There is no such version of this workflow."
SERVICE_KEY = "service_key/"
# A key made by a key made by a key: nobody needs more.
MAX_KEYS = 10


def place(db: Connection, call: Call, region: Region, *, org_id: UUID, workspace_id: UUID | None) -> None:
    """Raise NotFound for who may do nothing there, and RegionMismatch for a workspace of another region."""
    if not call.covers(workspace_id):
        raise NotFound("There is no such workspace." if workspace_id else NO_SUCH_WORKFLOW)
    if workspace_id is not None:
        here(db, region, org_id=org_id, workspace_id=workspace_id)


def the_workflow(db: Connection, call: Call, region: Region, *, org_id: UUID, workflow_id: UUID) -> Workflow:
    """Raise NotFound, for one of a workspace of others as for one that never was."""
    found = workflows.find(db, org_id=org_id, workflow_id=workflow_id)
    if found is None or not call.covers(found.workspace_id):
        raise NotFound(NO_SUCH_WORKFLOW)
    place(db, call, region, org_id=org_id, workspace_id=found.workspace_id)
    return found


def the_version(db: Connection, workflow: Workflow, number: int) -> WorkflowVersion:
    found = workflows.version(db, org_id=workflow.org_id, workflow_id=workflow.id, number=number)
    if found is None:
        raise NotFound(NO_SUCH_VERSION)
    return found


def held(
    db: Connection, call: Call, region: Region, *, org_id: UUID, workflow_id: UUID, number: int
) -> tuple[Workflow, WorkflowVersion]:
    """What is about to change, with every other change of the organization held back."""
    change.held(db, org_id=org_id)
    workflow = the_workflow(db, call, region, org_id=org_id, workflow_id=workflow_id)
    return workflow, the_version(db, workflow, number)


def people(db: Connection, call: Call, *, org_id: UUID) -> frozenset[str]:
    """Who makes the call, and who stands behind it: a service key does what its maker might."""
    found, subject = {call.principal.subject}, call.principal.subject
    while subject.startswith(SERVICE_KEY) and len(found) <= MAX_KEYS:
        key = service_keys.find(db, org_id=org_id, key_id=UUID(subject.removeprefix(SERVICE_KEY)))
        if key is None or key.created_by in found:
            break
        subject = key.created_by
        found.add(subject)
    return frozenset(found)
