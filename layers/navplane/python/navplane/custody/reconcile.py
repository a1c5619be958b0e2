"""Holds the ledger against providers' own reports. The one place where an admin key of a provider is opened."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from navplane.crypto.envelope import open_sealed
from navplane.crypto.kek import KekUnwrapper
from navplane.errors import DecryptionError, DependencyUnavailable, ProviderKeyInvalid
from navplane.model.reconciliation import DAYS, SealedReconciliationKey, compared
from navplane.model.tenancy import Region
from navplane.store import reconciliations
from navplane.store.database import Database
from navplane.telemetry import logger
from navplane.upstream.usage_reports import UsageReports

# Longer than a function may run.
LEASE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """`region`: the stack's; it opens the keys of its own region only. `days`: how many UTC days that are over
    are looked at, again each time, because a provider's figures come late."""

    database: Database
    keys: KekUnwrapper
    reports: UsageReports
    region: Region = Region.US
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    days: int = DAYS

    def run(self) -> dict[str, int]:
        """One key whose run is due, if any. A provider that can't be asked leaves what was known, and says so."""
        began = self.clock()
        with self.database.transaction() as db:
            key = reconciliations.claim(db, region=self.region, now=began, lease=LEASE)
        if key is None:
            return {"reconciled": 0}
        error = self._tried(key, began)
        with self.database.transaction() as db:
            reconciliations.finish(db, key_id=key.context.provider_key_id, began=began, error=error)
        return {"reconciled": 1}

    def _tried(self, key: SealedReconciliationKey, began: datetime) -> str | None:
        try:
            self._reconcile(key, began)
        except (DependencyUnavailable, DecryptionError, ProviderKeyInvalid) as exc:
            logger.warning("reconciliation.failed", extra={"provider": key.context.provider, "reason": exc.message})
            return exc.message
        return None

    def _reconcile(self, key: SealedReconciliationKey, began: datetime) -> None:
        place, first = key.context, began.astimezone(UTC).date() - timedelta(days=self.days)
        secret = open_sealed(key.sealed, context=place, kek=self.keys)
        # Outside of a transaction: a provider may take its time.
        report = self.reports.read(place.provider, secret, first=first, days=self.days)
        span = {"org_id": place.org_id, "provider": place.provider, "first": first, "days": self.days}
        with self.database.transaction(org_id=place.org_id) as db:
            found = compared(reconciliations.ledger(db, **span), report)  # type: ignore[arg-type]
            reconciliations.replace(db, found, **span, now=began)  # type: ignore[arg-type]
