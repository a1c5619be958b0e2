"""A change of the control plane: what changes is written together with its audit event and its outbox row, or not at all."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from navplane.admin import idempotency
from navplane.admin.access import NO_SUCH_ORGANIZATION as NO_SUCH_ORGANIZATION
from navplane.admin.access import Call
from navplane.admin.edge import version_of
from navplane.crypto.audit_chain import canonical
from navplane.errors import NotFound, PreconditionFailed
from navplane.model.ids import new_id
from navplane.model.tenancy import Organization
from navplane.store import audit, organizations, outbox
from navplane.store.database import Connection

MASK = "[masked]"
# Names of fields that would hold one; `key_hint`, `kek_id` and ids are none.
SECRET_NAME = re.compile(r"(^|_)(api_?key|secret|password|token|private_key|sealed|digest|credential)$", re.IGNORECASE)


def held(db: Connection, *, org_id: UUID) -> Organization:
    """The organization that is about to change, with other changes held back. Raise NotFound."""
    organization = organizations.hold(db, org_id=org_id)
    if organization is None:
        raise NotFound(NO_SUCH_ORGANIZATION)
    return organization


def found(db: Connection, *, org_id: UUID) -> Organization:
    """Raise NotFound, for an organization of somebody else as for one that never was."""
    organization = organizations.find(db, org_id=org_id)
    if organization is None:
        raise NotFound(NO_SUCH_ORGANIZATION)
    return organization


def expected(call: Call, shown: BaseModel) -> None:
    """`shown` is what a GET would answer now, with its row held. Raise PreconditionFailed when the caller's `If-Match` is of
    another version: somebody changed it meanwhile."""
    if call.if_match is None or call.if_match.strip() == "*":
        return
    current = version_of(shown.model_dump(mode="json"))
    if current not in {one.strip() for one in call.if_match.split(",")}:
        raise PreconditionFailed("It was changed meanwhile. Read it again, and send the change with its new ETag.")


def audited(
    db: Connection,
    call: Call,
    *,
    org_id: UUID | None,
    resource: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write the audit event of what `call` does to `resource`, last in its transaction. `before` and `after` never hold a
    secret; what is named like one is masked all the same. Raise Conflict when the call carries an idempotency key that a
    later try has taken over. `org_id` is None for what is the platform's."""
    idempotency.mark(db, call.ticket, resource=resource)
    event = audit.AuditEvent(
        id=new_id(),
        org_id=org_id,
        actor=call.principal.subject,
        action=call.permission.value,
        resource=resource,
        before=masked(before),
        after=masked(after),
        ip=call.ip,
        user_agent=call.user_agent,
        request_id=call.request_id,
        occurred_at=call.now,
    )
    audit.append(db, canonical(event.entry()))


def masked(value: Any) -> Any:
    """`value` without what a field's name says is a secret, at any depth."""
    if isinstance(value, Mapping):
        return {name: MASK if SECRET_NAME.search(str(name)) and inner else masked(inner) for name, inner in value.items()}
    return [masked(inner) for inner in value] if isinstance(value, list | tuple) else value


def told(db: Connection, call: Call, *, org_id: UUID, aggregate: outbox.Aggregate, aggregate_id: UUID) -> None:
    """Leave word for a gate that is not this database: `aggregate` is to be read again."""
    outbox.enqueue(db, org_id=org_id, entry_id=new_id(), aggregate=aggregate, aggregate_id=aggregate_id, now=call.now)
