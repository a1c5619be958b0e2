"""The runner of ledger jobs that the harness kills, and the mutant it must catch: a process that takes one JSON argument."""

import json
import sys
import time
from datetime import UTC, datetime

from navplane.errors import DependencyUnavailable
from navplane.gate.gate_postgres import PostgresGate
from navplane.ingest.ledger_jobs import STEPS, LedgerJobs
from navplane.store import ledger_jobs
from navplane.store.database import Database, connector

ROWS_A_STEP = 5


class AdvanceFirst(LedgerJobs):
    """A mutant: it moves on, and then, in its own time, changes what it has moved past."""

    def step(self, now: datetime) -> bool:
        with self.database.transaction() as db:
            job = ledger_jobs.take(db)
            if job is None:
                return False
            db.run("SAVEPOINT looked")
            step, _ = STEPS[job.kind](db, job, self.rows_a_step)
            db.run("ROLLBACK TO SAVEPOINT looked")
            ledger_jobs.advance(db, job, step, now=now)
        time.sleep(0.03)
        with self.database.transaction() as db:
            step, _ = STEPS[job.kind](db, job, self.rows_a_step)
            ledger_jobs.note(db, job, step)
        return True


def main(settings: dict[str, str]) -> None:
    """Work until there is nothing to do, and then until killed: another one may leave something."""
    connect = connector(
        host=settings["host"],
        port=5432,
        name=settings["name"],
        user="navplane_writer",
        password=lambda: settings["password"],
        tls=False,
        tls_ca_file=None,
    )
    database = Database(connect, size=1)
    kind = AdvanceFirst if settings["kind"] == "advance_first" else LedgerJobs
    runner = kind(database=database, gate=PostgresGate(database), rows_a_step=ROWS_A_STEP)
    while True:
        try:
            runner.run(now=datetime.now(UTC), seconds=60)
        except DependencyUnavailable:
            continue


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
