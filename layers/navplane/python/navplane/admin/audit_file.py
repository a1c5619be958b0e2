"""The audit as a file: for the verifier as JSON, for people as CSV."""

import csv
import io
import json
from datetime import UTC, datetime
from uuid import UUID

from fastapi.responses import Response

from navplane.crypto.audit_chain import PLATFORM, Head, SignedHead
from navplane.crypto.audit_verify import FORMAT
from navplane.store import audit, audit_heads
from navplane.store.audit import Link
from navplane.store.database import Connection

COLUMNS = (
    "sequence",
    "occurred_at",
    "actor",
    "action",
    "resource",
    "before",
    "after",
    "ip",
    "user_agent",
    "request_id",
    "hash",
)
# What a spreadsheet takes for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def proof(db: Connection, *, org_id: UUID | None, first: int, limit: int) -> tuple[list[Link], list[SignedHead]]:
    """The entries, one more than asked for if there are more, and their heads."""
    links = audit.links(db, org_id=org_id, first=first, limit=limit + 1)
    kept = audit_heads.heads(db, org_id=org_id or PLATFORM, first=first, last=first + limit - 1)
    heads = [
        SignedHead(
            head=Head(org_id=k.org_id, sequence=k.sequence, hash=k.hash, signed_at=k.signed_at, key_id=k.key_id),
            signature=k.signature,
        )
        for k in kept
    ]
    return links, heads


def as_json(org_id: UUID | None, links: list[Link], heads: list[SignedHead], *, limit: int) -> Response:
    document = {
        "format": FORMAT,
        "organization": str(org_id) if org_id else None,
        "exported_at": datetime.now(UTC).isoformat(),
        "entries": [_entry(link) for link in links[:limit]],
        "heads": [head.document() for head in heads],
        "next_sequence": links[limit].sequence if len(links) > limit else None,
    }
    return Response(json.dumps(document), media_type="application/json")


def _entry(link: Link) -> dict[str, object]:
    return {
        "sequence": link.sequence,
        "previous_hash": link.previous_hash.hex(),
        "hash": link.hash.hex(),
        "entry": json.loads(link.entry),
    }


def as_csv(links: list[Link]) -> Response:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for link in links:
        said = {**json.loads(link.entry), "sequence": link.sequence, "hash": link.hash.hex()}
        table.writerow([_cell(said[name]) for name in COLUMNS])
    return Response(text.getvalue(), media_type="text/csv")


def _cell(value: object) -> str:
    text = "" if value is None else json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
    return "'" + text if text.startswith(FORMULA) else text
