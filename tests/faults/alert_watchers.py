"""The watcher that the harness kills, and the mutant that it must catch. Run as a process of its own: one JSON argument."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from navplane.errors import DependencyUnavailable
from navplane.ingest.alerts import watch
from navplane.model.alert import AlertTerms, Crossing, budget_crossings
from navplane.model.ids import new_id
from navplane.store import budgets
from navplane.store.database import Connection, Database, connector


def look_then_tell(database: Database, *, now: datetime) -> int:
    """A mutant: it asks whether somebody was told, and tells if not."""
    with database.transaction() as db:
        crossings = [found for one in budgets.of_everybody(db, now=now) for found in budget_crossings(one, AlertTerms())]
    for crossing in [found for found in crossings if not _is_told(database, found)]:
        with database.transaction() as db:
            _insert(db, crossing, now)
    return 0


def _is_told(database: Database, crossing: Crossing) -> bool:
    with database.transaction() as db:
        rows: Sequence[object] = db.run(
            "SELECT FROM public.notifications WHERE org_id = :org AND subject = :subject AND threshold = :threshold",
            org=crossing.org_id, subject=crossing.subject, threshold=crossing.threshold,
        )  # fmt: skip
    return bool(rows)


def _insert(db: Connection, crossing: Crossing, now: datetime) -> None:
    db.run(
        "INSERT INTO public.notifications (org_id, id, kind, subject, window_name, threshold, title, facts, created_at)"
        " VALUES (:org, :id, 'budget', :subject, :window, :threshold, 't', '{}', :now)",
        org=crossing.org_id, id=new_id(), subject=crossing.subject, window=crossing.window_name,
        threshold=crossing.threshold, now=now,
    )  # fmt: skip


def main(settings: dict[str, str]) -> None:
    connect = connector(
        host=settings["host"], port=int(settings["port"]), name=settings["name"], user="navplane_writer",
        password=lambda: settings["password"], tls=False, tls_ca_file=None,
    )  # fmt: skip
    database = Database(connect, size=1)
    step = look_then_tell if settings["kind"] == "look_then_tell" else watch
    print("ready", flush=True)
    while True:
        try:
            step(database, now=datetime.now(UTC))
        except DependencyUnavailable:
            continue


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
