"""Every notification is delivered at least once, and never under two ids, by two senders at a time that are killed with SIGKILL
anywhere: while they hold a delivery, while the receiver is being told, and before they wrote down what came of it.

Each run prints one JSON line. DELIVERY_KILLS makes it longer.
"""

import base64
import json
import os
import random
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

from navplane.crypto.envelope import kek_id_of, seal
from navplane.crypto.kek_local import LocalKek
from navplane.crypto.webhook_signature import new_secret
from navplane.model.alert import AlertKind, Crossing
from navplane.model.alert_delivery import secret_place
from navplane.model.ids import new_id
from navplane.store import alerts
from navplane.store.database import Connection

from tests.faults.test_alerts_once import Watchers
from tests.support.http_script import Answer, Request, serving
from tests.support.postgres import TestDatabase

KILLS = int(os.environ.get("DELIVERY_KILLS", "5"))
DESTINATIONS = 6
CROSSINGS_A_KILL = 4
# A delivery that failed once comes back after half a minute, on a machine that is busy.
PATIENCE_SECONDS = 300.0


def seed(superuser: Connection, kek: LocalKek, url: str) -> list[UUID]:
    """An organization with a destination, some times."""
    found: list[UUID] = []
    for _ in range(DESTINATIONS):
        org_id, destination_id = new_id(), new_id()
        place = secret_place(org_id=org_id, destination_id=destination_id, region="us")
        sealed = seal(new_secret(), context=place, kek=kek)
        superuser.run("INSERT INTO organizations (id, name) VALUES (:id, 'Tests')", id=org_id)
        superuser.run(
            "INSERT INTO alert_destinations"
            " (id, org_id, name, kind, address, alerts, enabled, region, sealed, kek_id, created_at)"
            " VALUES (:id, :org, 'hook', 'webhook', :url, '{budget}', true, 'us', :sealed, :kek, now())",
            id=destination_id, org=org_id, url=url, sealed=sealed, kek=kek_id_of(sealed),
        )  # fmt: skip
        found.append(org_id)
    return found


def tell(databases: TestDatabase, org_ids: list[UUID], number: int) -> None:
    crossings = [
        Crossing(
            org_id=org_id, kind=AlertKind.BUDGET, subject=f"limit/{number}-{n}", window_name="d", threshold=50, title="t",
            facts={},
        )
        for org_id in org_ids
        for n in range(CROSSINGS_A_KILL)
    ]  # fmt: skip
    with databases.as_role("navplane_writer", size=1).transaction() as db:
        assert alerts.tell(db, crossings, now=datetime.now(UTC)) == len(crossings)


def play(databases: TestDatabase, kind: str) -> dict[str, object]:
    """Alerts are told while the senders send, are killed and are replaced; the receiver is slow enough to be caught at it."""
    kek_bytes, dice, began = os.urandom(32), random.Random(7), time.monotonic()
    where = databases.settings("navplane_notifier")
    said = {
        "kind": kind, "host": where["DATABASE_HOST"], "port": where["DATABASE_PORT"], "name": where["DATABASE_NAME"],
        "password": where["DATABASE_PASSWORD"], "kek": base64.b64encode(kek_bytes).decode(),
    }  # fmt: skip

    def receive(_: Request) -> Answer:
        time.sleep(0.01)
        return Answer()

    senders = Watchers([sys.executable, "-m", "tests.faults.delivery_senders", json.dumps(said)])
    with databases.superuser() as superuser, serving(receive) as receiver:
        org_ids = seed(superuser, LocalKek(kek_bytes), receiver.url)
        senders.start()
        try:
            for number in range(KILLS):
                tell(databases, org_ids, number)
                time.sleep(dice.random() * 0.15)
                senders.kill(dice)
            _wait_until_finished(superuser)
        finally:
            senders.end()
        told = superuser.run(
            "SELECT d.id, n.id FROM notifications AS n LEFT JOIN alert_deliveries AS d ON d.notification_id = n.id"
        )
        arrived = Counter(request.headers["webhook-id"] for request in receiver.requests)
        about = {json.loads(r.body)["data"]["notification_id"]: r.headers["webhook-id"] for r in receiver.requests}
        bodies = {(request.headers["webhook-id"], request.body) for request in receiver.requests}
    result: dict[str, object] = {
        "harness": "deliveries at least once", "kind": kind, "notifications": len(told), "kills": KILLS,
        "lost": sum(str(delivery) not in arrived for delivery, _ in told), "posts": sum(arrived.values()),
        "sent_again": sum(count > 1 for count in arrived.values()),
        "under_another_id": sum(about.get(str(n), str(d)) != str(d) for d, n in told) + len(bodies) - len(arrived),
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    print(json.dumps(result))
    return result


def _wait_until_finished(superuser: Connection) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while superuser.run("SELECT count(*) FROM alert_deliveries WHERE state = 'pending'") != [[0]]:
        assert time.monotonic() < give_up_at, "something waits still"
        time.sleep(0.05)


def test_every_notification_is_delivered_and_keeps_its_id(databases: TestDatabase) -> None:
    result = play(databases, "notifier")
    assert result["notifications"] == KILLS * DESTINATIONS * CROSSINGS_A_KILL
    assert (result["lost"], result["under_another_id"]) == (0, 0)


def test_a_sender_that_writes_down_first_loses_some_and_is_caught(databases: TestDatabase) -> None:
    assert play(databases, "writes_down_first")["lost"] != 0
