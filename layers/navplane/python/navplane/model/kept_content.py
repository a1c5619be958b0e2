"""What was asked and answered, where the workspace wants it kept: a message of its own, for a usage event can't carry any."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from navplane.model.ids import RequestId
from navplane.model.usage_event import MalformedEvent

# Of each direction, in bytes: both together, in base64, fit into the smallest message that a queue takes (256 KiB).
MAX_BYTES = 88 * 1024
# How every such message begins: the one thing that is read of it before it is known to be one.
MARK = '{"kept_content":1,'


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptContent:
    """Bytes as they were sent and as the client had them, up to MAX_BYTES each. `key_id` is a hint: whose it is, and whether it
    may be kept, is for the writer to find out.

    Wire form v1 is this object as JSON, behind MARK; bytes are base64. Fields are never renamed or reused.
    """

    request_id: RequestId
    key_id: UUID
    request: bytes
    response: bytes
    request_truncated: bool
    response_truncated: bool

    def to_json(self) -> str:
        wire = {
            "request_id": str(self.request_id),
            "key_id": str(self.key_id),
            "request": base64.b64encode(self.request).decode(),
            "response": base64.b64encode(self.response).decode(),
            "request_truncated": self.request_truncated,
            "response_truncated": self.response_truncated,
        }
        return MARK + json.dumps(wire)[1:]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raise MalformedEvent, without a word of the content."""
        try:
            wire = json.loads(text)
            return cls(
                request_id=UUID(wire["request_id"]),
                key_id=UUID(wire["key_id"]),
                request=base64.b64decode(wire["request"], validate=True),
                response=base64.b64decode(wire["response"], validate=True),
                request_truncated=wire["request_truncated"] is True,
                response_truncated=wire["response_truncated"] is True,
            )
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, RecursionError):
            raise MalformedEvent("not a kept content") from None
