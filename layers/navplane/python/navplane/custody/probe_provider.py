"""Asks a provider about a key that is stored: the one place besides the proxy where a provider key is opened."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from navplane.crypto.envelope import open_sealed
from navplane.crypto.kek import KekUnwrapper
from navplane.errors import DependencyUnavailable, Invalid, ProviderKeyInvalid, RegionMismatch
from navplane.model.probe import Probed, ProbeResult
from navplane.model.provider_key import SealedProviderKey, Secret
from navplane.store import provider_keys
from navplane.store.database import Database
from navplane.upstream.origin import Origins
from navplane.upstream.providers import PROVIDERS
from navplane.upstream.validate import validate_key


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderProbe:
    """A Probe."""

    database: Database
    keys: KekUnwrapper
    origins: Origins

    def test(self, *, org_id: UUID, provider_key_id: UUID) -> Probed | None:
        """Raise DependencyUnavailable when the database or the KEK is away, DecryptionError when the key doesn't open."""
        with self.database.transaction(org_id=org_id) as db:
            key = provider_keys.sealed(db, org_id=org_id, provider_key_id=provider_key_id)
        if key is None:
            return None
        secret = open_sealed(key.sealed, context=key.context, kek=self.keys)
        began = time.monotonic()
        result = self._ask(key, secret)
        return Probed(result=result, tested_at=datetime.now(UTC), duration_ms=round((time.monotonic() - began) * 1000))

    def _ask(self, key: SealedProviderKey, secret: Secret) -> ProbeResult:
        provider = PROVIDERS[key.context.provider]
        try:
            validate_key(provider, secret, origin=self.origins.of(provider, demo=key.demo, base_url=key.base_url))
        except ProviderKeyInvalid:
            return ProbeResult.INVALID
        # An address that leads inside, or back here, is not one where the provider can be asked.
        except (DependencyUnavailable, Invalid, RegionMismatch, ValueError):
            return ProbeResult.UNREACHABLE
        return ProbeResult.OK
