"""Asks a provider about a key that is stored, or with it about an object: the one place besides the proxy where a provider key
is opened."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from navplane.crypto.envelope import open_sealed
from navplane.crypto.kek import KekUnwrapper
from navplane.custody.collect import MAX_LINES_BYTES, Collector
from navplane.errors import DecryptionError, DependencyUnavailable, Invalid, ProviderKeyInvalid, RegionMismatch, UpstreamError
from navplane.model.probe import Awaited, Collected, CollectState, Probed, ProbeResult
from navplane.model.provider_key import SealedProviderKey, Secret
from navplane.store import provider_keys
from navplane.store.database import Database
from navplane.telemetry import logger
from navplane.upstream.origin import Origins
from navplane.upstream.providers import PROVIDERS
from navplane.upstream.validate import validate_key

UNTOLD = Collected(state=CollectState.UNTOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderProbe:
    """A Probe. `max_lines_bytes`: how much is read of a batch's output."""

    database: Database
    keys: KekUnwrapper
    origins: Origins
    max_lines_bytes: int = MAX_LINES_BYTES

    def test(self, *, org_id: UUID, provider_key_id: UUID) -> Probed | None:
        """Raise DependencyUnavailable when the database or the KEK is away, DecryptionError when the key doesn't open."""
        key = self._sealed(org_id=org_id, provider_key_id=provider_key_id)
        if key is None:
            return None
        secret = open_sealed(key.sealed, context=key.context, kek=self.keys)
        began = time.monotonic()
        result = self._ask(key, secret)
        return Probed(result=result, tested_at=datetime.now(UTC), duration_ms=round((time.monotonic() - began) * 1000))

    def collect(self, awaited: Awaited) -> Collected:
        """Raise DependencyUnavailable when the database or the KEK is away. A key that is gone, broken or of another region
        tells nothing."""
        key = self._sealed(org_id=awaited.org_id, provider_key_id=awaited.provider_key_id)
        if key is None or (key.context.provider, key.context.region) != (awaited.provider, self.origins.region.value):
            return UNTOLD
        provider = PROVIDERS[awaited.provider]
        try:
            secret = open_sealed(key.sealed, context=key.context, kek=self.keys)
            origin = self.origins.of(provider, demo=key.demo, base_url=key.base_url)
            bound = self.max_lines_bytes
            return Collector(provider=provider, secret=secret, origin=origin, max_lines_bytes=bound).collect(awaited)
        except (DecryptionError, Invalid, RegionMismatch, UpstreamError, ValueError) as exc:
            facts = {"provider_key_id": str(awaited.provider_key_id), "error": type(exc).__name__}
            logger.warning("collect.failed", extra=facts)
            return UNTOLD

    def _sealed(self, *, org_id: UUID, provider_key_id: UUID) -> SealedProviderKey | None:
        with self.database.transaction(org_id=org_id) as db:
            return provider_keys.sealed(db, org_id=org_id, provider_key_id=provider_key_id)

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
