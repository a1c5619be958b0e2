"""Which operation a path names. A closed table: what is not in it is refused before anything else happens."""

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

from navplane.errors import BadPath, BadQuery, MethodNotAllowed, UnknownEndpoint
from navplane.gateway.asgi import RawHeaders, first_of
from navplane.model.dialect import Dialect
from navplane.model.usage import FILES_AND_BATCHES, Endpoint
from navplane.upstream.provider import Provider
from navplane.upstream.providers import ANTHROPIC, OPENAI, PROVIDERS

# Visible ASCII without the characters that mean something to a URL parser, in segments that are not empty.
_PLAIN_PATH = re.compile(rb"/(?:[A-Za-z0-9_.~:-]+/)*[A-Za-z0-9_.~:-]*")
_DOT_SEGMENT = re.compile(rb"/\.{1,2}(?:/|$)")
_PLAIN_QUERY = re.compile(rb"[!$-;=?-~]*")
_CREDENTIAL_PARAMETERS = frozenset({b"key", b"api_key", b"api-key", b"apikey", b"access_token"})

_OPERATIONS: dict[str, tuple[str, Endpoint]] = {
    "chat/completions": ("POST", Endpoint.CHAT_COMPLETIONS),
    "responses": ("POST", Endpoint.RESPONSES),
    "embeddings": ("POST", Endpoint.EMBEDDINGS),
    "models": ("GET", Endpoint.MODELS),
    "moderations": ("POST", Endpoint.MODERATIONS),
    "images/generations": ("POST", Endpoint.IMAGES),
    "images/edits": ("POST", Endpoint.IMAGE_EDITS),
    "audio/speech": ("POST", Endpoint.SPEECH),
    "audio/transcriptions": ("POST", Endpoint.TRANSCRIPTIONS),
    "audio/translations": ("POST", Endpoint.TRANSLATIONS),
    "models/{model}": ("GET", Endpoint.MODEL),
    "messages": ("POST", Endpoint.MESSAGES),
    "messages/count_tokens": ("POST", Endpoint.COUNT_TOKENS),
    "files": ("POST", Endpoint.FILE_UPLOAD),
    "batches": ("POST", Endpoint.BATCHES),
    "messages/batches": ("POST", Endpoint.MESSAGE_BATCHES),
}
FORMS = frozenset({Endpoint.IMAGE_EDITS, Endpoint.TRANSCRIPTIONS, Endpoint.TRANSLATIONS, Endpoint.FILE_UPLOAD})
CANCELS = frozenset({Endpoint.RESPONSE_CANCEL, Endpoint.BATCH_CANCEL, Endpoint.MESSAGE_BATCH_CANCEL})
# SDKs append `/v1/…` or `/…` to a base URL with or without `/v1`: all spellings are one operation.
_SPELLINGS = ("/v1/", "/", "/v1/v1/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`provider` is set where the path pins it, or where no model in the body could tell; None lets the model decide.
    `model` and `object_id` are those that the path names."""

    endpoint: Endpoint
    method: str
    dialect: Dialect
    provider: Provider | None
    model: str | None = None
    object_id: str | None = None

    @property
    def takes_body(self) -> bool:
        return self.method == "POST" and self.endpoint not in CANCELS

    @property
    def takes_form(self) -> bool:
        return self.endpoint in FORMS


def _table() -> dict[bytes, Route]:
    table: dict[bytes, Route] = {}
    for name, (method, endpoint) in _OPERATIONS.items():
        offering = [provider for provider in PROVIDERS.values() if endpoint in provider.paths]
        for spelling in _SPELLINGS:
            path = (spelling + name).encode()
            # No model in the path or the body of these could tell whose they are.
            own = offering[0] if endpoint in FILES_AND_BATCHES else None
            table[path] = Route(endpoint=endpoint, method=method, dialect=offering[0].dialect, provider=own)
        for provider in offering:
            route = Route(endpoint=endpoint, method=method, dialect=provider.dialect, provider=provider)
            table[f"/{provider.name}/v1/{name}".encode()] = route
            if provider.deployment_paths:
                # As its SDKs spell it, below the address of a resource.
                table[f"/{provider.name}/openai/v1/{name}".encode()] = route
    return table


def offering_of(route: Route) -> tuple[str, ...]:
    """The providers that may serve this operation in its dialect: the one that the path names, or all that have it. None where
    the model stands in the path, in a form or in a batch, of which nothing is ever edited."""
    if route.model is not None or route.takes_form or route.endpoint in FILES_AND_BATCHES:
        return ()
    if route.provider is not None:
        return (route.provider.name,)
    return tuple(each.name for each in PROVIDERS.values() if route.endpoint in each.paths and each.dialect is route.dialect)


def path_of(route: Route, provider: Provider) -> str:
    """Where the provider has this operation, below its origin."""
    by_deployment = route.model is not None and route.method == "POST"
    path = (provider.deployment_paths if by_deployment else provider.paths)[route.endpoint]
    return path.replace("{model}", route.model or "").replace("{id}", route.object_id or "")


_TABLE = _table()
_MODEL = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}")
_OBJECT = re.compile(
    rb"(?:/(?:v1/){0,2}|/([a-z]+)/v1/|/(azure)/openai/v1/)(responses|files|batches|messages/batches)"
    rb"/([A-Za-z0-9][A-Za-z0-9_-]{2,199})(/[a-z_]+)?"
)
_ACTIONS: dict[str, dict[str, Endpoint]] = {
    "responses": {"GET": Endpoint.RESPONSE, "DELETE": Endpoint.RESPONSE_DELETE},
    "responses/cancel": {"POST": Endpoint.RESPONSE_CANCEL},
    "responses/input_items": {"GET": Endpoint.RESPONSE_INPUT_ITEMS},
    "files": {"GET": Endpoint.FILE, "DELETE": Endpoint.FILE_DELETE},
    "files/content": {"GET": Endpoint.FILE_CONTENT},
    "batches": {"GET": Endpoint.BATCH},
    "batches/cancel": {"POST": Endpoint.BATCH_CANCEL},
    "messages/batches": {"GET": Endpoint.MESSAGE_BATCH, "DELETE": Endpoint.MESSAGE_BATCH_DELETE},
    "messages/batches/cancel": {"POST": Endpoint.MESSAGE_BATCH_CANCEL},
    "messages/batches/results": {"GET": Endpoint.MESSAGE_BATCH_RESULTS},
}
_DEPLOYMENT = re.compile(rb"/([a-z]+)/openai/deployments/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})(/[a-z/]+)")


def find_route(method: str, raw_path: bytes, headers: RawHeaders) -> Route:
    """Raise BadPath, UnknownEndpoint or MethodNotAllowed. `raw_path` is the path as it came, not decoded, without a query."""
    check_path(raw_path)
    route = _TABLE.get(raw_path) or _model_route(raw_path) or _deployment_route(raw_path) or _object_route(method, raw_path)
    if route is None:
        raise UnknownEndpoint(
            f"NavPlane does not serve {raw_path[:100].decode('ascii')}. Below /v1/ it serves {', '.join(sorted(_OPERATIONS))}."
        )
    if method != route.method:
        raise MethodNotAllowed(f"{raw_path.decode('ascii')} takes {route.method} only.")
    if route.provider is None and route.endpoint in (Endpoint.MODELS, Endpoint.MODEL):
        return _of_models(route, anthropic=first_of(headers, b"anthropic-version") is not None)
    return route


def _of_models(route: Route, *, anthropic: bool) -> Route:
    """Nothing but the version tells which dialect is meant; of one model, its name may tell more. The list of all is no
    provider's."""
    if not anthropic:
        return route
    return replace(route, dialect=Dialect.ANTHROPIC, provider=ANTHROPIC if route.endpoint is Endpoint.MODEL else None)


def _model_route(raw_path: bytes) -> Route | None:
    """Of a path that ends in a model: `/v1/models/{model}`. Without a prefix the name decides, as it does in a body."""
    before, _, model = raw_path.rpartition(b"/")
    route = _TABLE.get(before + b"/{model}")
    return replace(route, model=model.decode("ascii")) if route and _MODEL.fullmatch(model) else None


def _deployment_route(raw_path: bytes) -> Route | None:
    """Of a path that names its model: `/azure/openai/deployments/{deployment}/chat/completions`."""
    found = _DEPLOYMENT.fullmatch(raw_path)
    if found is None:
        return None
    name, deployment, rest = (part.decode("ascii") for part in found.groups())
    route = _TABLE.get(f"/{name}/v1{rest}".encode())
    if route is None or route.provider is None or route.endpoint not in route.provider.deployment_paths:
        return None
    return replace(route, model=deployment)


def _object_route(method: str, raw_path: bytes) -> Route | None:
    """Of a path that names what a provider keeps. Without a prefix only its kind tells whose it is."""
    found = _OBJECT.fullmatch(raw_path)
    if found is None:
        return None
    name, azure, kind, object_id, action = (part.decode("ascii") if part else "" for part in found.groups())
    provider = PROVIDERS.get(name or azure or (ANTHROPIC if kind.startswith("messages") else OPENAI).name)
    actions = _ACTIONS.get(kind + action, {})
    offered = {m: endpoint for m, endpoint in actions.items() if provider and endpoint in provider.paths}
    if provider is None or not offered:
        return None
    method = method if method in offered else next(iter(offered))
    return Route(endpoint=offered[method], method=method, dialect=provider.dialect, provider=provider, object_id=object_id)


def check_path(raw_path: bytes) -> None:
    """No endpoint's path needs a percent sign, a dot segment or anything else that two parsers could read differently."""
    if not _PLAIN_PATH.fullmatch(raw_path) or _DOT_SEGMENT.search(raw_path):
        raise BadPath("The path has a part that NavPlane does not accept. Use the endpoint's path as it is documented.")


def check_query(query: bytes) -> None:
    """Queries are passed on as they are; those that carry a credential never."""
    if not _PLAIN_QUERY.fullmatch(query):
        raise BadQuery("The query string has a character that does not belong there.")
    for parameter in re.split(rb"[&;]", query):
        if unquote_to_bytes(parameter.partition(b"=")[0].replace(b"+", b" ")).strip().lower() in _CREDENTIAL_PARAMETERS:
            raise BadQuery("A key in the query string ends up in logs. Send it as Authorization: Bearer.")


def guess_dialect(raw_path: bytes, headers: RawHeaders) -> Dialect:
    """Whose SDK asked for a path that does not exist."""
    segments = raw_path.split(b"/")
    if OPENAI.name.encode() in segments:
        return Dialect.OPENAI
    named = ANTHROPIC.name.encode() in segments or b"messages" in segments
    return Dialect.ANTHROPIC if named or first_of(headers, b"anthropic-version") is not None else Dialect.OPENAI
