"""What a provider is, and the registry of those NavPlane speaks to. A provider is one row of data."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from navplane.model.policy import matches
from navplane.model.usage import Endpoint


class Dialect(StrEnum):
    """Whose error bodies, events and usage shapes a surface speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is dialled, and nothing else ever is: scheme, host, port, and the path in front of the provider's own."""

    scheme: str
    host: str
    port: int
    base_path: str = ""

    @classmethod
    def parse(cls, url: str) -> "Origin":
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError(f"not an http(s) origin: {url!r}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(scheme=parts.scheme, host=parts.hostname, port=port, base_path=parts.path.rstrip("/"))


class AuthScheme(StrEnum):
    """How a provider wants its key. ANTHROPIC: `Authorization: Bearer` from version 2026-10-21 on, `x-api-key` before."""

    BEARER = "bearer"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """`models` are globs of the names that route here without a prefix, `paths` where each endpoint lives below the origin,
    `headers` what the registry itself adds where the caller sent none."""

    name: str
    title: str
    dialect: Dialect
    origin: Origin
    auth: AuthScheme
    models: tuple[str, ...]
    paths: dict[Endpoint, str]
    accepts_include_usage: bool
    validation_path: str
    headers: tuple[tuple[str, str], ...] = ()


OPENAI = Provider(
    name="openai",
    title="OpenAI",
    dialect=Dialect.OPENAI,
    origin=Origin(scheme="https", host="api.openai.com", port=443),
    auth=AuthScheme.BEARER,
    models=(
        "gpt-*", "chatgpt-*", "o1*", "o3*", "o4*", "o5*", "codex-*", "computer-use-*",
        "text-embedding-*", "ft:*", "demo", "demo-*", "davinci-*", "babbage-*",
    ),
    paths={
        Endpoint.CHAT_COMPLETIONS: "/v1/chat/completions",
        Endpoint.RESPONSES: "/v1/responses",
        Endpoint.EMBEDDINGS: "/v1/embeddings",
        Endpoint.MODELS: "/v1/models",
    },
    accepts_include_usage=True,
    validation_path="/v1/models",
)  # fmt: skip

ANTHROPIC = Provider(
    name="anthropic",
    title="Anthropic",
    dialect=Dialect.ANTHROPIC,
    origin=Origin(scheme="https", host="api.anthropic.com", port=443),
    auth=AuthScheme.ANTHROPIC,
    models=("claude-*", "demo", "demo-*"),
    paths={
        Endpoint.MESSAGES: "/v1/messages",
        Endpoint.COUNT_TOKENS: "/v1/messages/count_tokens",
        Endpoint.MODELS: "/v1/models",
    },
    accepts_include_usage=False,
    validation_path="/v1/models",
    headers=(("anthropic-version", "2023-06-01"),),
)

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in (OPENAI, ANTHROPIC)}


def serving(endpoint: Endpoint, model: str, *, among: Iterable[Provider] = PROVIDERS.values()) -> Provider | None:
    """The first provider of the registry that offers `endpoint` and whose patterns match `model`."""
    for provider in among:
        if endpoint in provider.paths and any(matches(pattern, model) for pattern in provider.models):
            return provider
    return None
