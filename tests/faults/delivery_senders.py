"""The sender that the harness kills, and the mutant that it must catch. Run as a process of its own: one JSON argument."""

import asyncio
import base64
import json
import sys
import time
from datetime import timedelta

from navplane.crypto.kek_local import LocalKek
from navplane.custody.notify import Notifier
from navplane.errors import DependencyUnavailable
from navplane.model.alert_delivery import Parcel
from navplane.store import alert_deliveries
from navplane.store.database import Database, connector

# What a lease is here, so that what the dead held is sent again while the harness looks.
LEASE = timedelta(seconds=0.5)


class WritesDownFirst(Notifier):
    """A mutant: a delivery counts as delivered before it was sent."""

    def _claim(self) -> Parcel | None:
        parcel = super()._claim()
        if parcel:
            with self.database.transaction() as db:
                alert_deliveries.delivered(db, delivery_id=parcel.id, now=self.clock())
        return parcel


def main(settings: dict[str, str]) -> None:
    connect = connector(
        host=settings["host"], port=int(settings["port"]), name=settings["name"], user="navplane_notifier",
        password=lambda: settings["password"], tls=False, tls_ca_file=None,
    )  # fmt: skip
    kind = WritesDownFirst if settings["kind"] == "writes_down_first" else Notifier
    kek = LocalKek(base64.b64decode(settings["kek"]))
    notifier = kind(database=Database(connect, size=4), keys=kek, loopback=True, lease=LEASE)
    print("ready", flush=True)
    while True:
        try:
            asyncio.run(notifier._all(time.monotonic() + 5))
        except DependencyUnavailable:
            continue
        time.sleep(0.02)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
