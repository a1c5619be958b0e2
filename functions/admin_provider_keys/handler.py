"""Lambda: provider keys and where alerts go (it can wrap and never unwrap), and whether NavPlane is healthy and ready."""

from mangum import Mangum
from navplane import wiring
from navplane.admin import (
    alert_destinations,
    health,
    platform_alerts,
    provider_key_changes,
    provider_key_tests,
    provider_keys,
    reconciliation,
)
from navplane.admin.app import TEXT_TYPES, create
from navplane.config import ProviderKeysSettings

settings = ProviderKeysSettings.from_env()
app = create(
    title="NavPlane: provider keys",
    routers=(
        provider_keys.router,
        provider_key_changes.router,
        provider_key_tests.router,
        alert_destinations.router,
        platform_alerts.router,
        reconciliation.router,
        health.router,
    ),
    plane=wiring.provider_keys_plane(settings),
)
handler = Mangum(app, lifespan="off", text_mime_types=TEXT_TYPES)
