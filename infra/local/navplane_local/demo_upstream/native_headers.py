"""The response headers that each provider sends of its own accord, those that must not pass a gateway included."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from navplane_local.demo_upstream.exchange import Dialect, Headers

ORGANIZATION_ID = UUID("00000000-0000-4000-8000-00000000de30")
# Cloudflare stands in front of both; a gateway withholds these.
_EDGE: Headers = (
    ("server", "cloudflare"),
    ("cf-ray", "0123456789abcdef-DMO"),
    ("cf-cache-status", "DYNAMIC"),
    ("alt-svc", 'h3=":443"; ma=86400'),
    ("set-cookie", "__cf_bm=demo; path=/; HttpOnly; Secure"),
)
_OPENAI: Headers = (
    ("openai-processing-ms", "7"),
    ("openai-version", "2020-10-01"),
    ("openai-organization", "demo-organization"),
    ("openai-project", "proj_demo"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-limit-tokens", "2000000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-remaining-tokens", "1999990"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("x-ratelimit-reset-tokens", "0s"),
)


def native_headers(dialect: Dialect) -> Headers:
    if dialect is Dialect.OPENAI:
        return (("x-request-id", f"req_{uuid4().hex}"), *_OPENAI, *_EDGE)
    return (("request-id", f"req_011demo{uuid4().hex[:16]}"), *_anthropic(), *_EDGE)


def _anthropic() -> Headers:
    reset = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    limits = (("requests", 4000), ("tokens", 480000), ("input-tokens", 400000), ("output-tokens", 80000))
    quotas = [
        (f"anthropic-ratelimit-{name}-{part}", str(value))
        for name, limit in limits
        for part, value in (("limit", limit), ("remaining", limit - 1), ("reset", reset))
    ]
    return (("anthropic-organization-id", str(ORGANIZATION_ID)), *quotas)
