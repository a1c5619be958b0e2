"""Organizations and their workspaces."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Region(StrEnum):
    US = "us"
    EU = "eu"


class DataMode(StrEnum):
    METADATA_ONLY = "metadata_only"
    FULL = "full"


class StreamUsage(StrEnum):
    """How an OpenAI chat stream is metered. `INJECT` asks the provider for usage and withholds the extra event from a client
    that did not ask; `OBSERVE` leaves the request untouched, and the row is estimated when the provider sent no usage."""

    INJECT = "inject"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    id: UUID
    name: str
    enabled: bool
    home_region: Region
    stream_usage: StreamUsage
    cached_admission: bool
    created_at: datetime
    updated_at: datetime
