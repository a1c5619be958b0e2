"""A POST that carries `Idempotency-Key` happens once, however often it is sent: whoever asks again gets the first answer.

    begin ──▶ started ──mark, with the change──▶ changed ──keep──▶ answered, for 24 hours
                 └── refused: release

The rules are Stripe's: the key belongs to the principal; with another request it is refused; while the first try runs the
second is a conflict; what was refused before anything happened leaves the key free. A try that died after its change left no
answer to repeat: whoever asks again is told what was changed, and nothing is changed twice.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from fastapi import Request, Response

from navplane.crypto import held_answer
from navplane.errors import Conflict, DecryptionError, IdempotencyConflict, IdempotencyMisuse
from navplane.model.ids import new_id
from navplane.store import admin_calls
from navplane.store.admin_calls import Earlier, Ticket
from navplane.store.database import Connection, Database

HEADER, REPLAYED = "idempotency-key", "idempotent-replayed"
SHAPE = re.compile(r"[\x21-\x7e]{1,255}")
# Refusals that come before anything is done: the key stays free.
NOTHING_DONE = frozenset({400, 401, 403, 404, 405, 412, 413, 415, 422, 429, 503})
REPEATED_HEADERS = ("content-type", "location", "etag")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def packed(self) -> bytes:
        body = base64.b64encode(self.body).decode()
        return json.dumps({"status": self.status, "headers": dict(self.headers), "body": body}).encode()

    @classmethod
    def unpacked(cls, packed: bytes) -> "Answer":
        fields = json.loads(packed)
        return cls(status=fields["status"], headers=fields["headers"], body=base64.b64decode(fields["body"]))


class Replay(Exception):
    """Not an error: the call was answered before, and this is what it was told."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One try of a call under its key, which only this process knows."""

    database: Database
    ticket: Ticket
    key: str

    def finish(self, answer: Answer) -> None:
        """Keep the answer for who asks again, or free the key if nothing was done."""
        with self.database.transaction() as db:
            if answer.status in NOTHING_DONE:
                admin_calls.release(db, self.ticket)
                return
            sealed = held_answer.seal(answer.packed(), key=self.key, principal=self.ticket.principal)
            admin_calls.keep_answer(db, self.ticket, status=answer.status, answer=sealed)


def begin(database: Database, *, principal: str, key: str, request: bytes, now: datetime) -> Try:
    """Raise Replay with the first answer, IdempotencyMisuse for a bad key or another request under it, IdempotencyConflict
    while the first try runs or when it died after its change. `request` is what must be the same: method, path and body."""
    if not SHAPE.fullmatch(key):
        raise IdempotencyMisuse("Idempotency-Key takes 1 to 255 visible ASCII characters; a UUID is best.")
    ticket = Ticket(principal=principal, key_digest=held_answer.digest(key, principal=principal), id=new_id())
    with database.transaction() as db:
        earlier = admin_calls.begin(db, ticket, request_digest=sha256(request).digest(), now=now)
    if earlier is None:
        return Try(database=database, ticket=ticket, key=key)
    raise _verdict(earlier, key=key, principal=principal)


async def repeated(_: Request, error: Exception) -> Response:
    assert isinstance(error, Replay)
    answer = error.answer
    return Response(answer.body, status_code=answer.status, headers={**answer.headers, REPLAYED: "true"})


def mark(db: Connection, ticket: Ticket | None, *, resource: str) -> None:
    """With the change of `resource`, in its transaction. Raise Conflict when a later try has taken the key over."""
    if ticket is not None and not admin_calls.mark(db, ticket, resource=resource):
        raise Conflict("This call was given up and sent again; the later one counts.")


def _verdict(earlier: Earlier, *, key: str, principal: str) -> Exception:
    if not earlier.same_request:
        return IdempotencyMisuse("This Idempotency-Key was used with another request. A new request needs a new key.")
    if earlier.answer is not None:
        return _replay(earlier.answer, key=key, principal=principal)
    if earlier.abandoned and earlier.resource is not None:
        return IdempotencyConflict(f"The first try changed {earlier.resource} and its answer was lost. It was not done again.")
    return IdempotencyConflict("The first call with this Idempotency-Key is still under way.", retry_after=1)


def _replay(sealed: bytes, *, key: str, principal: str) -> Exception:
    try:
        return Replay(Answer.unpacked(held_answer.open_sealed(sealed, key=key, principal=principal)))
    except DecryptionError as exc:
        return exc
