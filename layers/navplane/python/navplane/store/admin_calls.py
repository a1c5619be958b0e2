"""What the admin API remembers of its callers: their pace, and what became of calls with an idempotency key."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from navplane.store.database import Connection

# As long as an answer is kept for those who ask again.
KEPT = timedelta(hours=24)
# Longer than any admin function may run: whoever began before this is not running any more.
ABANDONED_AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One try of a call that carries an idempotency key: whose, the key's digest, and the try's own id."""

    principal: str
    key_digest: bytes
    id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an earlier call left under the key. `resource` is what it changed, `answer` its sealed answer; both None while it
    runs, and `abandoned` when it can't be running any more."""

    same_request: bool
    abandoned: bool
    resource: str | None
    status: int | None
    answer: bytes | None


def count(db: Connection, *, principal: str, kind: Literal["read", "write"], at_most: int, now: datetime) -> int:
    """One more call of the principal: how many of its kind there were in this minute, up to one more than `at_most`."""
    sql = "SELECT public.admin_pace(:principal, :kind, :at_most, :now)"
    counted: int = db.run(sql, principal=principal, kind=kind, at_most=at_most, now=now)[0][0]
    return counted


def begin(db: Connection, ticket: Ticket, *, request_digest: bytes, now: datetime) -> Earlier | None:
    """None where the key is now this ticket's. To be committed before anything is changed."""
    rows = db.run(
        """
        SELECT claimed, same_request, abandoned, changed, answered, sealed
          FROM public.admin_idempotency_begin(:principal, :key, :request, :ticket, :now, :abandoned_before, :kept_since)
        """,
        **_named(ticket),
        request=request_digest,
        now=now,
        abandoned_before=now - ABANDONED_AFTER,
        kept_since=now - KEPT,
    )
    claimed, same_request, abandoned, resource, status, answer = rows[0]
    if claimed:
        return None
    sealed = bytes(answer) if answer is not None else None
    return Earlier(same_request=same_request, abandoned=abandoned, resource=resource, status=status, answer=sealed)


def mark(db: Connection, ticket: Ticket, *, resource: str) -> bool:
    """In the transaction that changes `resource`. False when the key has gone to a later try: nothing may change then."""
    sql = "SELECT public.admin_idempotency_mark(:principal, :key, :ticket, :resource)"
    return bool(db.run(sql, **_named(ticket), resource=resource)[0][0])


def keep_answer(db: Connection, ticket: Ticket, *, status: int, answer: bytes) -> None:
    sql = "SELECT public.admin_idempotency_answer(:principal, :key, :ticket, :status, :answer)"
    db.run(sql, **_named(ticket), status=status, answer=answer)


def release(db: Connection, ticket: Ticket) -> None:
    """The call was refused and changed nothing: the key may be used again, with another request too."""
    db.run("SELECT public.admin_idempotency_release(:principal, :key, :ticket)", **_named(ticket))


def forget(db: Connection, *, before: datetime, at_most: int = 1000) -> int:
    """How many keys were forgotten."""
    forgotten: int = db.run("SELECT public.admin_idempotency_forget(:before, :at_most)", before=before, at_most=at_most)[0][0]
    return forgotten


def _named(ticket: Ticket) -> dict[str, object]:
    return {"principal": ticket.principal, "key": ticket.key_digest, "ticket": ticket.id}
