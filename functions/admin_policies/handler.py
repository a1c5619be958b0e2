"""Lambda: the providers, which of them and of their models an organization may use, by which names, and how much."""

from mangum import Mangum
from navplane import wiring
from navplane.admin import (
    alerts,
    export_jobs,
    ledger_jobs,
    limits,
    model_prices,
    notifications,
    platform_limits,
    policies,
    price_overrides,
    provider_settings,
    providers,
    routes,
    workflow_history,
    workflow_review,
    workflow_simulation,
    workflows,
)
from navplane.admin.app import TEXT_TYPES, create
from navplane.config import AdminSettings

settings = AdminSettings.from_env()
app = create(
    title="NavPlane: policies",
    routers=(
        provider_settings.router,
        policies.router,
        routes.router,
        workflows.router,
        workflow_review.router,
        workflow_history.router,
        workflow_simulation.router,
        limits.router,
        alerts.router,
        notifications.router,
        platform_limits.router,
        price_overrides.router,
        ledger_jobs.router,
        export_jobs.router,
        model_prices.router,
        providers.router,
    ),
    plane=wiring.admin_plane(settings, records_users=True),
)
handler = Mangum(app, lifespan="off", text_mime_types=TEXT_TYPES)
