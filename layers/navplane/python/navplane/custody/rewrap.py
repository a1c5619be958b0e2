"""Rotates the KEK: what the old one wrapped is wrapped by the new one, row by row, while everything goes on being used.

It may be killed anywhere, run again and run twice at once. A row is exchanged in one statement, and only if it still holds what
was read; its payload is not touched.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from navplane.crypto.audit_chain import canonical
from navplane.crypto.envelope import rewrap
from navplane.crypto.kek import Kek
from navplane.errors import ConfigurationError, Conflict, DecryptionError
from navplane.model.ids import new_id
from navplane.store import audit, kek_rotations, outbox, sealed_values
from navplane.store.database import Connection, Database
from navplane.store.kek_rotations import Rotation
from navplane.store.outbox import Aggregate
from navplane.store.sealed_values import SEALED_TABLES, SealedRow
from navplane.telemetry import logger

BATCH = 100
FIRST = UUID(int=0)
CANARY = {"navplane": "canary"}
# Whoever invoked it is in the cloud's own trail; here nobody signs in.
ACTOR = "rewrap_keys"


def _nowhere(point: str) -> None:
    """Where a run may be watched, and in tests killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`finished`: nothing is sealed under the old KEK, and nothing will be: it may go. `unreadable` values don't open under
    it; they are left as they are, and keep the rotation from finishing."""

    old_kek_id: str
    new_kek_id: str
    rewrapped: int
    unreadable: int
    remaining: int
    finished: bool


@dataclass(slots=True)
class _Tally:
    rewrapped: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrapper:
    database: Database
    old: Kek
    new: Kek
    at: Callable[[str], None] = field(default=_nowhere)

    def run(self, *, now: Callable[[], datetime], goes_on: Callable[[], bool] = lambda: True) -> Progress:
        """Go as far as `goes_on` lets it, which is asked before each row. Raise ConfigurationError, Conflict, DecryptionError
        or DependencyUnavailable before anything is changed, when the new KEK can't be used; DependencyUnavailable later,
        when something is away: whatever was done stays done."""
        self._preflight()
        self._start(now())
        tally = _Tally()
        for table in SEALED_TABLES:
            after = FIRST
            while rows := self._read(table, after):
                for row in rows:
                    if not goes_on():
                        return self._progress(tally, finished=False)
                    self._exchange(row, tally)
                after = rows[-1].id
        return self._finish(tally, now())

    def _preflight(self) -> None:
        """The new KEK is another one, and wraps and unwraps."""
        if self.new.kek_id == self.old.kek_id:
            raise ConfigurationError("The new KEK is the old one: nothing would change. Set another.")
        self.at("canary")
        dek = os.urandom(32)
        wrapped = self.new.wrap(dek, context=CANARY)
        self.at("canary wrapped")
        if self.new.unwrap(wrapped, kek_id=self.new.kek_id, context=CANARY) != dek:
            raise DecryptionError
        self.at("canary unwrapped")

    def _start(self, now: datetime) -> None:
        with self.database.transaction() as db:
            kek_rotations.alone(db)
            self.at("start locked")
            for other in kek_rotations.rotations(db):
                self._refuse_if_crossing(other)
            if kek_rotations.start(db, old_kek_id=self.old.kek_id, new_kek_id=self.new.kek_id, now=now):
                self._audited(db, "kek:rotate", now)
            self.at("start written")
        self.at("started")

    def _refuse_if_crossing(self, other: Rotation) -> None:
        """Another rotation of these KEKs is under way; those of other KEKs (another region's) are none of ours."""
        theirs, ours = (other.old_kek_id, other.new_kek_id), (self.old.kek_id, self.new.kek_id)
        if other.finished_at is None and theirs != ours and {*theirs} & {*ours}:
            raise Conflict(f"A rotation from {theirs[0]} to {theirs[1]} is not finished: finish it first.")

    def _read(self, table: sealed_values.SealedTable, after: UUID) -> list[SealedRow]:
        self.at(f"{table.name} before reading")
        with self.database.transaction() as db:
            rows = sealed_values.page(db, table, kek_id=self.old.kek_id, after=after, limit=BATCH)
        self.at(f"{table.name} read")
        return rows

    def _exchange(self, row: SealedRow, tally: _Tally) -> None:
        name = row.table.name
        self.at(f"{name} row")
        try:
            sealed = rewrap(row.sealed, context=row.context, old=self.old, new=self.new)
        except DecryptionError:
            logger.error("rewrap.unreadable", extra={"table": name, "id": str(row.id)})
            tally.unreadable += 1
            return
        self.at(f"{name} row rewrapped")
        tally.rewrapped += self.write(row, sealed)
        self.at(f"{name} row committed")

    def write(self, row: SealedRow, sealed: bytes) -> bool:
        """False when the row holds something else by now: deleted, or done by somebody else."""
        with self.database.transaction() as db:
            exchanged = sealed_values.exchange(db, row, sealed=sealed, kek_id=self.new.kek_id)
            self.at(f"{row.table.name} row written")
            if exchanged:
                kek_rotations.advance(db, old_kek_id=self.old.kek_id, by=1)
                _tell_gate(db, row)
        return exchanged

    def _finish(self, tally: _Tally, now: datetime) -> Progress:
        self.at("before counting")
        with self.database.transaction() as db:
            remaining = sealed_values.count(db, kek_id=self.old.kek_id)
            self.at("counted")
            if remaining == 0:
                if kek_rotations.finish(db, old_kek_id=self.old.kek_id, now=now):
                    self._audited(db, "kek:retire", now)
                self.at("finish written")
        self.at("finished")
        return self._progress(tally, finished=remaining == 0)

    def _audited(self, db: Connection, action: str, now: datetime) -> None:
        """In the platform's chain: it concerns every organization."""
        event = audit.AuditEvent(
            id=new_id(),
            org_id=None,
            actor=ACTOR,
            action=action,
            resource=f"kek/{self.old.kek_id}",
            before=None,
            after={"successor": self.new.kek_id},
            ip=None,
            user_agent=None,
            request_id=None,
            occurred_at=now,
        )
        audit.append(db, canonical(event.entry()))

    def _progress(self, tally: _Tally, *, finished: bool) -> Progress:
        with self.database.transaction() as db:
            remaining = sealed_values.count(db, kek_id=self.old.kek_id)
        return Progress(
            old_kek_id=self.old.kek_id,
            new_kek_id=self.new.kek_id,
            rewrapped=tally.rewrapped,
            unreadable=tally.unreadable,
            remaining=remaining,
            finished=finished,
        )


def _tell_gate(db: Connection, row: SealedRow) -> None:
    if row.table.in_gate:
        org_id = row.context.org_id
        now = datetime.now(UTC)
        outbox.enqueue(db, org_id=org_id, entry_id=new_id(), aggregate=Aggregate.ORGANIZATION, aggregate_id=org_id, now=now)
