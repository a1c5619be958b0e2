"""What ids are called: for people who read a list of them."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from navplane.store.database import Connection
from navplane.store.usage_source import Dimension

# A user belongs to no organization; only ids that an organization's own rows gave are ever asked for.
_OF_ONE = {
    Dimension.WORKSPACE: "SELECT id, name FROM public.workspaces WHERE org_id = :org_id AND id = ANY(:ids::uuid[])",
    Dimension.KEY: "SELECT id, name FROM public.api_keys WHERE org_id = :org_id AND id = ANY(:ids::uuid[])",
    Dimension.USER: "SELECT id, coalesce(email, name, subject) FROM public.user_identities"
    " WHERE id = ANY(:ids::uuid[]) AND :org_id::uuid IS NOT NULL",
}
_OF_ALL = {
    Dimension.ORGANIZATION: "SELECT id, name FROM public.organizations WHERE id = ANY(:ids::uuid[])",
    Dimension.WORKSPACE: "SELECT id, name FROM public.workspaces WHERE id = ANY(:ids::uuid[])",
}


def of(db: Connection, *, dimension: Dimension, ids: Sequence[Any], org_id: UUID | None) -> Mapping[Any, str]:
    """By id, those that are known; the platform's reader knows organizations and workspaces. A provider's, a model's and an
    endpoint's name is what it is called by, and not looked up."""
    known = [found for found in ids if found is not None]
    if org_id is not None and dimension in _OF_ONE:
        return dict(db.run(_OF_ONE[dimension], org_id=org_id, ids=known))
    if org_id is None and dimension in _OF_ALL:
        return dict(db.run(_OF_ALL[dimension], ids=known))
    return {}


def in_files(db: Connection, *, dimension: Dimension, ids: Sequence[Any], org_id: UUID | None) -> Mapping[Any, str]:
    """As `of`; of one organization also for who makes files and may read no table of names. A user who has left, and owns no
    key, has no name here."""
    if org_id is None:
        return of(db, dimension=dimension, ids=ids, org_id=None)
    known = [found for found in ids if found is not None] if dimension in (*_OF_ONE, Dimension.ORGANIZATION) else []
    return dict(db.run("SELECT id, name FROM public.export_names(:ids::uuid[])", ids=known)) if known else {}
