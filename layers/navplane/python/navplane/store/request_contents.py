"""request_contents: what was asked and answered, of workspaces whose data mode is `full`."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from navplane.model.ids import RequestId
from navplane.model.kept_content import KeptContent
from navplane.store.database import Connection
from navplane.store.request_logs import data_errors_told

FORGOTTEN_AT_ONCE = 1000

_KEEP = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset(:contents::jsonb) AS c (
        request_id uuid, key_id uuid, request text, response text, request_truncated boolean, response_truncated boolean)
)
INSERT INTO public.request_contents (
    request_id, org_id, workspace_id, request, response, request_truncated, response_truncated
)
SELECT request_id, owner.org_id, owner.workspace_id, decode(given.request, 'base64'), decode(given.response, 'base64'),
       given.request_truncated, given.response_truncated
  FROM given JOIN (
       SELECT o.* FROM (SELECT array_agg(request_id) AS requests, array_agg(key_id) AS keys FROM given) AS asked,
              public.content_owners(asked.requests, asked.keys) AS o
  ) AS owner USING (request_id)
 ORDER BY request_id
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredContent:
    request: bytes
    response: bytes
    request_truncated: bool
    response_truncated: bool
    created_at: datetime
    region: str


def keep(db: Connection, contents: Sequence[KeptContent]) -> int:
    """Store those whose workspace is `full` at this moment; how many. Repeating it changes nothing. Raise Unrecordable."""
    unique = {content.request_id: content for content in contents}
    if not unique:
        return 0
    with data_errors_told():
        db.run(_KEEP, contents=json.dumps([_document(content) for content in unique.values()]))
    return int(db.row_count)


def forget(db: Connection, *, now: datetime) -> int:
    """Delete what is over its workspace's days, FORGOTTEN_AT_ONCE at most; how many went."""
    return int(db.run("SELECT public.forget_contents(:now, :limit)", now=now, limit=FORGOTTEN_AT_ONCE)[0][0])


def find(db: Connection, *, org_id: UUID, request_id: RequestId) -> StoredContent | None:
    rows = db.run(
        """
        SELECT c.request, c.response, c.request_truncated, c.response_truncated, c.created_at, w.region
          FROM public.request_contents AS c
          JOIN public.workspaces AS w ON w.org_id = c.org_id AND w.id = c.workspace_id
         WHERE c.org_id = :org_id AND c.request_id = :request_id
        """,
        org_id=org_id,
        request_id=request_id,
    )
    return StoredContent(**dict(zip(StoredContent.__dataclass_fields__, rows[0], strict=True))) if rows else None


def _document(content: KeptContent) -> dict[str, object]:
    return {
        "request_id": str(content.request_id),
        "key_id": str(content.key_id),
        "request": base64.b64encode(content.request).decode(),
        "response": base64.b64encode(content.response).decode(),
        "request_truncated": content.request_truncated,
        "response_truncated": content.response_truncated,
    }
