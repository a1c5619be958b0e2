"""Lambda: organizations and their API keys, and the description of the whole admin API."""

from mangum import Mangum
from navplane import wiring
from navplane.admin import (
    acceptance,
    api_keys,
    contents,
    data_mode,
    invitations,
    members,
    openapi,
    organizations,
    service_keys,
    shredding,
    users,
    workspaces,
)
from navplane.admin.app import TEXT_TYPES, create
from navplane.config import TenancySettings

settings = TenancySettings.from_env()
app = create(
    title="NavPlane: tenancy",
    routers=(
        organizations.router,
        shredding.router,
        workspaces.router,
        members.router,
        invitations.router,
        acceptance.router,
        service_keys.router,
        users.router,
        api_keys.router,
        data_mode.router,
        contents.router,
        openapi.router,
    ),
    plane=wiring.tenancy_plane(settings),
)
handler = Mangum(app, lifespan="off", text_mime_types=TEXT_TYPES)
