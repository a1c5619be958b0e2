"""The providers that NavPlane speaks to. Open to everyone: it says what the software can do, and nothing about anyone."""

from fastapi import APIRouter
from pydantic import Field

from navplane.admin.fields import View
from navplane.model.dialect import Dialect
from navplane.model.usage import Endpoint
from navplane.upstream.provider import Provider
from navplane.upstream.providers import PROVIDERS

router = APIRouter(tags=["providers"])


class ProviderView(View):
    name: str
    title: str
    dialect: Dialect
    endpoints: list[Endpoint]
    models: list[str] = Field(description="Names that match one of these go to this provider unless the path names another.")
    base_url_example: str | None = Field(description="What a key's base_url looks like; null where a key has none.")


class ProviderPage(View):
    items: list[ProviderView]
    next_cursor: str | None


@router.get("/providers", summary="List providers")
def list_providers() -> ProviderPage:
    return ProviderPage(items=[_view(provider) for provider in PROVIDERS.values()], next_cursor=None)


def _view(provider: Provider) -> ProviderView:
    return ProviderView(
        name=provider.name,
        title=provider.title,
        dialect=provider.dialect,
        endpoints=list(provider.paths),
        models=list(provider.models),
        base_url_example=provider.address.example if provider.address else None,
    )
