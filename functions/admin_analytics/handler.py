"""Lambda: request logs and usage, under a database role that only reads."""

from mangum import Mangum
from navplane import wiring
from navplane.admin import (
    audit,
    budgets,
    export_parts,
    exports,
    platform_requests,
    platform_usage,
    receipts,
    request_detail,
    requests,
    usage,
)
from navplane.admin.app import TEXT_TYPES, create
from navplane.config import AdminSettings

settings = AdminSettings.from_env()
app = create(
    title="NavPlane: analytics",
    routers=(
        requests.router,
        request_detail.router,
        usage.router,
        exports.router,
        export_parts.router,
        budgets.router,
        platform_usage.router,
        platform_requests.router,
        audit.router,
        receipts.router,
    ),
    plane=wiring.analytics_plane(settings),
)
handler = Mangum(app, lifespan="off", text_mime_types=TEXT_TYPES)
