"""policies: which providers and models an organization, its workspaces and its keys may use. No row says nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from navplane.model.policy import Policy, PolicyScope
from navplane.store.database import Connection
from navplane.store.organizations import Position

COLUMNS = (
    "id, scope, scope_id, enabled_providers, disabled_providers, allow_models, block_models, allow_files, created_at,"
    " workflow_version_id"
)
# Whose id a policy of a scope may name.
OWNERS = {
    PolicyScope.ORGANIZATION: "SELECT FROM public.organizations WHERE id = :org_id AND id = :id",
    PolicyScope.WORKSPACE: "SELECT FROM public.workspaces WHERE org_id = :org_id AND id = :id",
    PolicyScope.KEY: "SELECT FROM public.api_keys WHERE org_id = :org_id AND id = :id AND revoked_at IS NULL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPolicy:
    id: UUID
    scope: PolicyScope
    scope_id: UUID
    policy: Policy
    created_at: datetime
    # None for one that was made by hand.
    workflow_version: UUID | None = None


def names_somebody(db: Connection, *, org_id: UUID, scope: PolicyScope, scope_id: UUID) -> bool:
    return bool(db.run(OWNERS[scope], org_id=org_id, id=scope_id))


def save(
    db: Connection,
    policy: Policy,
    *,
    org_id: UUID,
    scope: PolicyScope,
    scope_id: UUID,
    policy_id: UUID,
    workflow_version: UUID | None = None,
) -> tuple[UUID, bool]:
    """In place of the one that is there for `scope_id`, if there is one. Its id, and whether it is new."""
    # As JSON, because pg8000 writes the text 'null' into an array as NULL.
    rows = db.run(
        """
        INSERT INTO public.policies
            (org_id, id, scope, scope_id, enabled_providers, disabled_providers, allow_models, block_models, allow_files,
             workflow_version_id)
        VALUES (
            :org_id, :id, :scope, :scope_id,
            ARRAY(SELECT jsonb_array_elements_text(:enabled::jsonb)),
            ARRAY(SELECT jsonb_array_elements_text(:disabled::jsonb)),
            ARRAY(SELECT jsonb_array_elements_text(:allow::jsonb)),
            ARRAY(SELECT jsonb_array_elements_text(:block::jsonb)),
            :allow_files, :workflow_version
        )
        ON CONFLICT (org_id, scope_id) DO UPDATE SET enabled_providers = excluded.enabled_providers,
            disabled_providers = excluded.disabled_providers, allow_models = excluded.allow_models,
            block_models = excluded.block_models, allow_files = excluded.allow_files
        RETURNING id
        """,
        org_id=org_id,
        id=policy_id,
        scope=scope.value,
        scope_id=scope_id,
        enabled=json.dumps(sorted(policy.enabled_providers)),
        disabled=json.dumps(sorted(policy.disabled_providers)),
        allow=json.dumps(policy.allow_models),
        block=json.dumps(policy.block_models),
        allow_files=policy.allow_files,
        workflow_version=workflow_version,
    )
    return rows[0][0], rows[0][0] == policy_id


def delete(db: Connection, *, org_id: UUID, policy_id: UUID) -> None:
    db.run("DELETE FROM public.policies WHERE org_id = :org_id AND id = :id", org_id=org_id, id=policy_id)


def hand_over(db: Connection, *, org_id: UUID, old_key_id: UUID, new_key_id: UUID) -> None:
    """The policy of a key that is rotated is that of its successor."""
    db.run(
        "UPDATE public.policies SET scope_id = :new WHERE org_id = :org_id AND scope_id = :old",
        org_id=org_id,
        old=old_key_id,
        new=new_key_id,
    )


def copy(db: Connection, *, org_id: UUID, old_key_id: UUID, new_key_id: UUID, policy_id: UUID) -> None:
    """A key whose successor works beside it for a while has the policy that it leaves."""
    kept = of_scope(db, org_id=org_id, scope_id=old_key_id)
    if kept is not None:
        save(db, kept.policy, org_id=org_id, scope=PolicyScope.KEY, scope_id=new_key_id, policy_id=policy_id)


def of_scope(db: Connection, *, org_id: UUID, scope_id: UUID) -> KeptPolicy | None:
    rows = db.run(
        f"SELECT {COLUMNS} FROM public.policies WHERE org_id = :org_id AND scope_id = :scope_id",  # noqa: S608 - our columns
        org_id=org_id,
        scope_id=scope_id,
    )
    return _kept(rows[0]) if rows else None


def find(db: Connection, *, org_id: UUID, policy_id: UUID) -> KeptPolicy | None:
    rows = db.run(
        f"SELECT {COLUMNS} FROM public.policies WHERE org_id = :org_id AND id = :id",  # noqa: S608 - our columns
        org_id=org_id,
        id=policy_id,
    )
    return _kept(rows[0]) if rows else None


def page(db: Connection, *, org_id: UUID, limit: int, after: Position | None) -> list[KeptPolicy]:
    """Up to `limit`, newest first."""
    rows = db.run(
        f"""
        SELECT {COLUMNS} FROM public.policies
         WHERE org_id = :org_id
           AND (:after_id::uuid IS NULL OR (created_at, id) < (:after_time::timestamptz, :after_id::uuid))
         ORDER BY created_at DESC, id DESC LIMIT :limit
        """,  # noqa: S608 - what is filled in are names of our own columns
        org_id=org_id,
        after_id=after.id if after else None,
        after_time=after.created_at if after else None,
        limit=limit,
    )
    return [_kept(row) for row in rows]


def _kept(row: Sequence[Any]) -> KeptPolicy:
    policy = Policy(
        enabled_providers=frozenset(row[3]),
        disabled_providers=frozenset(row[4]),
        allow_models=tuple(row[5]),
        block_models=tuple(row[6]),
        allow_files=row[7],
    )
    return KeptPolicy(
        id=row[0], scope=PolicyScope(row[1]), scope_id=row[2], policy=policy, created_at=row[8], workflow_version=row[9]
    )


def every(db: Connection, *, org_id: UUID) -> list[KeptPolicy]:
    rows = db.run(f"SELECT {COLUMNS} FROM public.policies WHERE org_id = :org_id", org_id=org_id)  # noqa: S608 - our columns
    return [_kept(row) for row in rows]
