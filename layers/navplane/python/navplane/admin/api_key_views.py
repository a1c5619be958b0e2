"""What is sent and shown of API keys."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import Field

from navplane.admin.fields import Body, Moment, Name, View
from navplane.admin.organizations import IssuedKey
from navplane.admin.provider_settings import ModelPatterns
from navplane.model.api_key import ApiKey, ApiKeyStatus

LONGEST_OVERLAP = timedelta(days=30)
# A UUID and a time come as text, which strict models take from JSON only; what is checked here comes through Python.
Id = Annotated[UUID, Field(strict=False)]
Expiry = Moment


OWNER = "Whose it is: the id of a member of the organization. All keys of one person share that person's limits."


ALLOWED = "The models it may use; `*` is any run of characters. Empty: those that its workspace and organization may."


class ApiKeyChange(Body):
    """What is absent stays as it is."""

    name: Name | None = Field(default=None, examples=["checkout"])
    owner_user_id: Id | None = Field(default=None, description=OWNER + " null: it is nobody's.")
    allowed_models: ModelPatterns | None = Field(default=None, description=ALLOWED)
    expires_at: Expiry | None = Field(default=None, description="From then on it is refused. null: it has no end.")


class NewApiKey(Body):
    name: Name = Field(examples=["checkout"])
    workspace_id: Id | None = Field(default=None, description="The organization's default one unless given.")
    owner_user_id: Id | None = Field(default=None, description=OWNER)
    allowed_models: ModelPatterns = Field(default=[], description=ALLOWED)
    expires_at: Expiry | None = Field(default=None, description="From then on it is refused.")


class Rotation(Body):
    overlap_seconds: int = Field(
        default=0,
        ge=0,
        le=int(LONGEST_OVERLAP.total_seconds()),
        description="For how long the old key is good beside the new one. 0: it is refused once this has answered.",
    )


class ApiKeyView(View):
    id: UUID
    workspace_id: UUID
    owner_user_id: UUID | None
    name: str
    is_default: bool = Field(description="The one that `rotate-key` of the organization replaces.")
    key_prefix: str
    key_hint: str = Field(description="Its last four characters.")
    allowed_models: list[str] = Field(description="As its policy says; empty where that says nothing.")
    status: ApiKeyStatus
    expires_at: datetime | None
    revoked_at: datetime | None
    replaces: UUID | None = Field(description="The key whose rotation made this one.")
    last_used_at: datetime | None = Field(description="To the minute, and known once the call's usage event is recorded.")
    created_at: datetime


class IssuedApiKey(ApiKeyView, IssuedKey):
    pass


class ApiKeyPage(View):
    items: list[ApiKeyView]
    next_cursor: str | None


def view(key: ApiKey, now: datetime) -> ApiKeyView:
    shown = {name: getattr(key, name) for name in ApiKeyView.model_fields if name not in ("status", "allowed_models")}
    return ApiKeyView(**shown, status=key.status(now), allowed_models=list(key.allowed_models))
