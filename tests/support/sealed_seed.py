"""Sealed values of every kind, written straight into their tables, and what they must open to."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from navplane.crypto.envelope import kek_id_of, open_sealed, seal
from navplane.crypto.kek import Kek, KekUnwrapper
from navplane.model.ids import new_id
from navplane.model.provider_key import SealedFor, SealingContext, Secret
from navplane.store.database import Connection

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CONTEXTS = {
    "provider_keys": "SELECT org_id, id, provider, region, sealed FROM provider_keys WHERE length(sealed) > 0",
    "reconciliation_keys": "SELECT org_id, id, provider, region, sealed FROM reconciliation_keys",
    "alert_destinations": "SELECT org_id, id, 'none', region, sealed FROM alert_destinations WHERE length(sealed) > 0",
    "audit_keys": "SELECT '00000000-0000-0000-0000-000000000000'::uuid, id, 'none', region, sealed FROM audit_keys",
}
KINDS = {
    "provider_keys": SealedFor.PROVIDER_KEY,
    "reconciliation_keys": SealedFor.RECONCILIATION_KEY,
    "alert_destinations": SealedFor.WEBHOOK_SECRET,
    "audit_keys": SealedFor.AUDIT_KEY,
}


@dataclass(slots=True)
class Vault:
    """`payloads` by row id: what was sealed there at first and must be found there for ever."""

    payloads: dict[UUID, bytes] = field(default_factory=dict)

    def fill(self, db: Connection, kek: Kek, *, provider_keys: int, audit_keys: int = 1) -> None:
        for _ in range(provider_keys):
            self.provider_key(db, kek)
        for _ in range(audit_keys):
            self.audit_key(db, kek)

    def provider_key(self, db: Connection, kek: Kek) -> UUID:
        org_id, key_id = new_id(), new_id()
        sealed = self._sealed(SealingContext(org_id=org_id, provider_key_id=key_id, provider="openai", region="us"), kek)
        db.run("INSERT INTO organizations (id, name) VALUES (:id, 'Sealed')", id=org_id)
        db.run(
            "INSERT INTO provider_keys (org_id, id, provider, label, key_hint, region, sealed, kek_id)"
            " VALUES (:org, :id, 'openai', 'x', 'abcd', 'us', :sealed, :kek)",
            org=org_id, id=key_id, sealed=sealed, kek=kek_id_of(sealed),
        )  # fmt: skip
        return key_id

    def audit_key(self, db: Connection, kek: Kek) -> None:
        key_id = new_id()
        place = SealingContext(
            org_id=UUID(int=0), provider_key_id=key_id, provider="none", region="us", kind=SealedFor.AUDIT_KEY
        )
        sealed = self._sealed(place, kek)
        db.run(
            "INSERT INTO audit_keys (id, public_key, region, sealed, kek_id, created_at)"
            " VALUES (:id, :public, 'us', :sealed, :kek, :now)",
            id=key_id, public=bytes(32), sealed=sealed, kek=kek_id_of(sealed), now=NOW,
        )  # fmt: skip

    def opened(self, db: Connection, kek: KekUnwrapper) -> dict[UUID, bytes]:
        """What every stored value opens to in its place. Raise DecryptionError."""
        return {place.provider_key_id: open_sealed(sealed, context=place, kek=kek).reveal() for place, sealed in stored(db)}

    def _sealed(self, place: SealingContext, kek: Kek) -> bytes:
        self.payloads[place.provider_key_id] = payload = os.urandom(40)
        return seal(Secret(payload), context=place, kek=kek)


def stored(db: Connection) -> list[tuple[SealingContext, bytes]]:
    """Every sealed value with the place that its row says it is in."""
    found = []
    for table, sql in CONTEXTS.items():
        for org_id, row_id, provider, region, sealed in db.run(sql):
            place = SealingContext(org_id=org_id, provider_key_id=row_id, provider=provider, region=region, kind=KINDS[table])
            found.append((place, bytes(sealed)))
    return found


def kek_ids_agree(db: Connection) -> bool:
    """Whether each row's column names the KEK that its value is really under."""
    rows = db.run(
        "SELECT sealed, kek_id FROM provider_keys WHERE length(sealed) > 0 UNION ALL SELECT sealed, kek_id FROM audit_keys"
    )
    return all(kek_id_of(bytes(sealed)) == kek_id for sealed, kek_id in rows)
