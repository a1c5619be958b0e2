"""An API key as the rest of the code sees it: by its id and its hint, never whole."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class ApiKeyStatus(StrEnum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What may be shown of an API key. `owner_user_id` is whose it is, if it is a person's; `replaces` is the key whose
    rotation made this one; `last_used_at` is right to the minute, and behind by as long as usage events wait."""

    id: UUID
    org_id: UUID
    workspace_id: UUID
    owner_user_id: UUID | None
    name: str
    is_default: bool
    key_prefix: str
    key_hint: str
    expires_at: datetime | None
    revoked_at: datetime | None
    replaces: UUID | None
    last_used_at: datetime | None
    created_at: datetime
    allowed_models: tuple[str, ...] = ()

    def status(self, now: datetime) -> ApiKeyStatus:
        if self.revoked_at is not None:
            return ApiKeyStatus.REVOKED
        return ApiKeyStatus.EXPIRED if self.expires_at is not None and self.expires_at <= now else ApiKeyStatus.ACTIVE
