"""Tenants written straight into the tables, as a superuser, for tests of what happens to their requests."""

import os
from collections.abc import Sequence
from datetime import timedelta

from navplane.gate.gate import Caller
from navplane.model.ids import RequestId, new_id, time_of
from pg8000.native import Connection


def seed_caller(superuser: Connection) -> Caller:
    """An organization with its default workspace and one API key."""
    caller = Caller(org_id=new_id(), workspace_id=new_id(), key_id=new_id())
    superuser.run("INSERT INTO organizations (id, name) VALUES (:id, 'Tests')", id=caller.org_id)
    superuser.run(
        "INSERT INTO workspaces (org_id, id, name, is_default, region) VALUES (:org, :id, 'Default', true, 'us')",
        org=caller.org_id,
        id=caller.workspace_id,
    )
    superuser.run(
        "INSERT INTO api_keys (org_id, id, workspace_id, name, digest, key_prefix, key_hint)"
        " VALUES (:org, :id, :workspace, 'A key', :digest, 'np_', 'abcd')",
        org=caller.org_id,
        id=caller.key_id,
        workspace=caller.workspace_id,
        digest=os.urandom(32),
    )
    return caller


def seed_reservations(
    superuser: Connection,
    caller: Caller,
    request_ids: Sequence[RequestId],
    *,
    state: str = "settled",
    tokens: int = 0,
    lease: timedelta = timedelta(minutes=15),
) -> None:
    """Reservations as an admission at each request id's own time would have left them."""
    superuser.run(
        "INSERT INTO reservations (request_id, org_id, workspace_id, key_id, provider, provider_key_id, model, endpoint,"
        " region, stream, demo, state, tokens, lease_until, created_at, updated_at)"
        " SELECT r.id, :org, :workspace, :key, 'openai', :provider_key, 'gpt-5', 'chat.completions', 'us', true, false, :state,"
        " :tokens, r.admitted_at + make_interval(secs => :lease), r.admitted_at, r.admitted_at"
        " FROM unnest(CAST(:ids AS uuid[]), CAST(:times AS timestamptz[])) AS r (id, admitted_at)",
        org=caller.org_id,
        workspace=caller.workspace_id,
        key=caller.key_id,
        provider_key=new_id(),
        state=state,
        tokens=tokens,
        lease=lease.total_seconds(),
        ids=list(request_ids),
        times=[time_of(request_id) for request_id in request_ids],
    )


def reservation_states(superuser: Connection, request_ids: Sequence[RequestId]) -> dict[RequestId, tuple[str, int]]:
    """State and tokens by request id."""
    rows = superuser.run(
        "SELECT request_id, state, tokens FROM reservations WHERE request_id = ANY(CAST(:ids AS uuid[]))", ids=list(request_ids)
    )
    return {row[0]: (row[1], row[2]) for row in rows}
