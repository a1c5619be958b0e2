"""api_key_uses: when each API key was last used. Kept by the log plane, from the rows of a batch."""

from collections.abc import Sequence

from navplane.model.ids import RequestId
from navplane.store.database import Connection

# A key that is used all the time is written once a minute; and in order, so that no two writers wait for each other.
_NOTE = """
INSERT INTO public.api_key_uses AS known (org_id, key_id, last_used_at)
SELECT used.org_id, used.key_id, used.at
  FROM (SELECT org_id, key_id, max(created_at) AS at FROM public.request_logs
         WHERE request_id = ANY(:ids::uuid[]) GROUP BY 1, 2) AS used
  LEFT JOIN public.api_key_uses AS before ON before.org_id = used.org_id AND before.key_id = used.key_id
 WHERE before.last_used_at IS NULL OR before.last_used_at < used.at - interval '1 minute'
 ORDER BY 1, 2
    ON CONFLICT (org_id, key_id) DO UPDATE SET last_used_at = greatest(known.last_used_at, excluded.last_used_at)
"""


def note(db: Connection, request_ids: Sequence[RequestId]) -> None:
    """The rows of these requests have been recorded: their keys were used then."""
    if request_ids:
        db.run(_NOTE, ids=list(request_ids))
