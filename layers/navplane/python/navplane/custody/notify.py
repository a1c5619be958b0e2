"""Sends what is to be told: claims a delivery, opens its destination's secret, sends, and writes down what came of it.

At least once: killed anywhere, it leaves deliveries whose lease runs out, and the next one sends them again under the same id.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from navplane.crypto.envelope import open_sealed
from navplane.crypto.kek import KekUnwrapper
from navplane.crypto.webhook_signature import signed_headers
from navplane.errors import DecryptionError, DependencyUnavailable
from navplane.model.alert_delivery import TRIES, DestinationKind, Parcel, pause
from navplane.model.provider_key import Secret
from navplane.queue import announcements
from navplane.store import alert_deliveries
from navplane.store.database import Database
from navplane.telemetry import logger
from navplane.upstream.webhook import NotDelivered, post, webhook_url

# At a time, each with a database connection for a moment: what waits is somebody else's server.
SENDERS = 4
RUN_SECONDS = 30.0
# Longer than the slowest delivery takes.
LEASE = timedelta(seconds=60)
KEPT = timedelta(days=35)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """`mail_from` is empty where there is no mail. `loopback`: webhooks may be at a loopback address, as in local mode."""

    database: Database
    keys: KekUnwrapper
    mail_from: str = ""
    loopback: bool = False
    lease: timedelta = LEASE
    tries: int = TRIES
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    dice: random.Random = field(default_factory=random.SystemRandom)

    def run(self, seconds: float = RUN_SECONDS) -> dict[str, int]:
        """Send what is due, for as long as `seconds`. Answers how many were tried and how many forgotten. Raise
        DependencyUnavailable when the database is away."""
        tried = asyncio.run(self._all(time.monotonic() + seconds))
        with self.database.transaction() as db:
            forgotten = alert_deliveries.forget(db, before=self.clock() - KEPT)
        counts = {"deliveries_tried": tried, "deliveries_forgotten": forgotten}
        logger.info("notifier", extra=counts)
        return counts

    async def _all(self, until: float) -> int:
        return sum(await asyncio.gather(*(self._sender(until) for _ in range(SENDERS))))

    async def _sender(self, until: float) -> int:
        tried = 0
        while time.monotonic() < until and (parcel := await asyncio.to_thread(self._claim)):
            await self._deliver(parcel)
            tried += 1
        return tried

    def _claim(self) -> Parcel | None:
        with self.database.transaction() as db:
            return alert_deliveries.claim(db, now=self.clock(), lease=self.lease)

    async def _deliver(self, parcel: Parcel) -> None:
        error, tries = "", self.tries
        try:
            await self._send(parcel)
        except Unwanted as exc:
            error, tries = str(exc), 0
        except NotDelivered as exc:
            error = str(exc)
        except (DependencyUnavailable, DecryptionError) as exc:
            error = exc.message
        except OursIsAway:
            # No fault of the destination, and no try of it: the lease runs out, and it is sent then.
            logger.warning("notifier.waits", extra={"delivery": str(parcel.id)})
            return
        except Exception:
            # What is wrong with one delivery must not keep the others from being sent.
            logger.exception("notifier.failed", extra={"delivery": str(parcel.id)})
            error = "It failed here; the sender's log says why."
        await asyncio.to_thread(self._finish, parcel, error, tries)

    async def _send(self, parcel: Parcel) -> None:
        if not parcel.wanted:
            raise Unwanted("The destination was deleted or switched off.")
        if parcel.kind is DestinationKind.WEBHOOK:
            await self._post(parcel)
        else:
            await asyncio.to_thread(self._announce, parcel)

    async def _post(self, parcel: Parcel) -> None:
        body = parcel.body.encode()
        secret = await asyncio.to_thread(self._opened, parcel)
        headers = signed_headers(secret, delivery_id=str(parcel.id), body=body, now=self.clock())
        try:
            # Judged again by the rules of today, whatever those were by which it was stored.
            url = webhook_url(parcel.address, loopback=self.loopback)
        except ValueError as exc:
            raise NotDelivered(str(exc)) from exc
        await post(url, headers=headers, body=body)

    def _opened(self, parcel: Parcel) -> Secret:
        try:
            return open_sealed(parcel.sealed, context=parcel.context, kek=self.keys)
        except DependencyUnavailable as exc:
            raise OursIsAway from exc

    def _announce(self, parcel: Parcel) -> None:
        said = {"delivery_id": str(parcel.id), "title": parcel.title, "body": parcel.body}
        if parcel.kind is DestinationKind.SNS:
            announcements.publish(topic_arn=parcel.address, **said)
        elif self.mail_from:
            announcements.mail(sender=self.mail_from, to=parcel.address, **said)
        else:
            raise NotDelivered("There is no mail here: MAIL_SENDER is not set.")

    def _finish(self, parcel: Parcel, error: str, tries: int) -> None:
        now = self.clock()
        next_at = now + pause(parcel.attempts + 1, chance=self.dice.random())
        if error:
            logger.warning("notifier.undelivered", extra={"delivery": str(parcel.id), "reason": error})
        with self.database.transaction() as db:
            if error:
                alert_deliveries.failed(db, delivery_id=parcel.id, error=error, now=now, next_at=next_at, tries=tries)
            else:
                alert_deliveries.delivered(db, delivery_id=parcel.id, now=now)


class OursIsAway(Exception):
    """The KEK can't be asked just now."""


class Unwanted(Exception):
    """Nobody wants it any more: it is not tried again."""
