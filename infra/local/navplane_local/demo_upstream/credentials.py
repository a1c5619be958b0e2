"""Which keys the demo upstream takes: those that begin with `sk-demo-`."""

from navplane_local.demo_upstream.exchange import Dialect, ProviderError, Request

ACCEPTED_PREFIX = "sk-demo-"
REFUSED_PREFIX = "sk-bad-"


def check(request: Request, *, accept_any_key: bool) -> None:
    """Raise the provider's 401 unless the request carries a key that is taken; Anthropic also wants a version."""
    key = request.key
    if key is None:
        raise ProviderError(401, _MISSING[request.dialect])
    if key.startswith(REFUSED_PREFIX) or not (accept_any_key or key.startswith(ACCEPTED_PREFIX)):
        raise ProviderError(401, _wrong(request.dialect, key), code="invalid_api_key")
    if request.dialect is Dialect.ANTHROPIC and request.header("anthropic-version") is None:
        raise ProviderError(400, "anthropic-version: header is required")


_MISSING = {
    Dialect.OPENAI: "You didn't provide an API key. Provide it in an Authorization header using Bearer auth.",
    Dialect.ANTHROPIC: "x-api-key header is required",
}


def _wrong(dialect: Dialect, key: str) -> str:
    """OpenAI shows both ends of the refused key."""
    if dialect is Dialect.ANTHROPIC:
        return "invalid x-api-key"
    return f"Incorrect API key provided: {key[:7]}{'*' * 8}{key[-4:]}."
