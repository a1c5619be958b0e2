"""Usage events for tests: a sound one by default, and whatever a test wants different."""

from datetime import UTC, datetime
from typing import Any

from navplane.model.ids import new_request_id
from navplane.model.usage import Endpoint, Outcome, Usage, UsageQuality
from navplane.model.usage_event import UsageEvent


def usage_event(**differing: Any) -> UsageEvent:
    """An exact event of a chat call that went well; `now` is the moment of admission."""
    now = differing.pop("now", None) or datetime.now(UTC)
    fields: dict[str, Any] = {
        "request_id": new_request_id(now),
        "org_id": None,
        "workspace_id": None,
        "key_id": None,
        "endpoint": Endpoint.CHAT_COMPLETIONS,
        "region": "us",
        "started_at": now,
        "status": 200,
        "outcome": Outcome.OK,
        "usage_quality": UsageQuality.EXACT,
        "provider": "openai",
        "model": "gpt-5",
        "usage": Usage(input_tokens=11, output_tokens=7, cached_input_tokens=3),
        "raw_usage": {"prompt_tokens": 11, "completion_tokens": 7},
        "attempts": 1,
        "duration_ms": 420,
    }
    return UsageEvent(**{**fields, **differing})
