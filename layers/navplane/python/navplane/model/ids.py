"""Identifiers. All are UUIDs made by the server; a request id is a UUIDv7, so it carries its own time."""

import os
import re
from datetime import UTC, datetime
from uuid import UUID, uuid4

RequestId = UUID
# Of what a provider keeps; nothing in it means anything to a URL.
OBJECT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,199}")


def new_id() -> UUID:
    return uuid4()


def new_request_id(now: datetime) -> RequestId:
    """A UUIDv7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then randomness.

    request_logs is partitioned by this value, so its time must be the time of admission.
    """
    milliseconds = int(now.timestamp() * 1000)
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def time_of(request_id: RequestId) -> datetime:
    """The moment inside a UUIDv7, to the millisecond, in UTC."""
    return datetime.fromtimestamp((request_id.int >> 80) / 1000, UTC)


def smallest_id_of(moment: datetime) -> RequestId:
    """Whatever was admitted before `moment` has a smaller id: a UUIDv7 begins with its time, and the key's index with it."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
