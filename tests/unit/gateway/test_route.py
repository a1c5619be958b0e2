"""From a path to an operation."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from navplane.errors import BadPath, BadQuery, MethodNotAllowed, UnknownEndpoint
from navplane.gateway.route import check_query, find_route, guess_dialect, offering_of, path_of
from navplane.model.dialect import Dialect
from navplane.model.usage import Endpoint

VERSION = ((b"anthropic-version", b"2023-06-01"),)


@pytest.mark.parametrize("spelling", ["/v1/", "/", "/v1/v1/"])
@pytest.mark.parametrize(
    ("name", "method", "endpoint", "dialect"),
    [
        ("chat/completions", "POST", Endpoint.CHAT_COMPLETIONS, Dialect.OPENAI),
        ("responses", "POST", Endpoint.RESPONSES, Dialect.OPENAI),
        ("embeddings", "POST", Endpoint.EMBEDDINGS, Dialect.OPENAI),
        ("messages", "POST", Endpoint.MESSAGES, Dialect.ANTHROPIC),
        ("messages/count_tokens", "POST", Endpoint.COUNT_TOKENS, Dialect.ANTHROPIC),
        ("moderations", "POST", Endpoint.MODERATIONS, Dialect.OPENAI),
        ("images/generations", "POST", Endpoint.IMAGES, Dialect.OPENAI),
        ("images/edits", "POST", Endpoint.IMAGE_EDITS, Dialect.OPENAI),
        ("audio/speech", "POST", Endpoint.SPEECH, Dialect.OPENAI),
        ("audio/transcriptions", "POST", Endpoint.TRANSCRIPTIONS, Dialect.OPENAI),
        ("audio/translations", "POST", Endpoint.TRANSLATIONS, Dialect.OPENAI),
        ("models/gpt-5", "GET", Endpoint.MODEL, Dialect.OPENAI),
    ],
)
def test_all_spellings_are_one_operation(spelling: str, name: str, method: str, endpoint: Endpoint, dialect: Dialect) -> None:
    route = find_route(method, (spelling + name).encode(), ())
    assert (route.endpoint, route.dialect, route.provider) == (endpoint, dialect, None)


@pytest.mark.parametrize("path", [b"/v1/models", b"/models", b"/v1/v1/models"])
def test_the_list_of_models_is_no_providers_and_the_version_tells_its_dialect(path: bytes) -> None:
    ours, theirs = find_route("GET", path, ()), find_route("GET", path, VERSION)
    assert (ours.provider, theirs.provider) == (None, None)
    assert (ours.dialect, theirs.dialect) == (Dialect.OPENAI, Dialect.ANTHROPIC)


@pytest.mark.parametrize(
    ("path", "provider"),
    [("/openai/v1/chat/completions", "openai"), ("/anthropic/v1/messages", "anthropic"), ("/openai/v1/models", "openai")],
)
def test_prefix_pins_the_provider(path: str, provider: str) -> None:
    route = find_route("GET" if path.endswith("models") else "POST", path.encode(), VERSION)
    assert route.provider is not None
    assert route.provider.name == provider


@pytest.mark.parametrize("path", ["/v1/models/claude-x", "/models/claude-x", "/anthropic/v1/models/claude-x"])
def test_one_model_is_anthropics_where_its_version_is_sent(path: str) -> None:
    route = find_route("GET", path.encode(), VERSION)
    assert route.provider is not None
    assert (route.provider.name, route.model, route.dialect) == ("anthropic", "claude-x", Dialect.ANTHROPIC)
    assert path_of(route, route.provider) == "/v1/models/claude-x"


def test_path_of_a_deployment_is_azures_own() -> None:
    route = find_route("POST", b"/azure/openai/deployments/my-gpt/audio/speech", ())
    assert route.provider is not None
    assert (route.provider.name, route.model, route.endpoint) == ("azure", "my-gpt", Endpoint.SPEECH)
    assert path_of(route, route.provider) == "/openai/deployments/my-gpt/audio/speech"


UNKNOWN = [
    "/v1/models/",
    "/v1/models/{model}",
    "/v1/models/a/b",
    "/v1/models/-x",
    "/v1/models/" + "x" * 129,
    "/together/v1/models/x",
    "/v1/images/variations",
    "/v1/fine_tuning/jobs",
    "/v1/assistants",
    "/v1/realtime",
    "/",
    "/v1",
    "/v1/",
    "/v1/chat/completions/",
    "/v1/chat",
    "/v2/chat/completions",
    "/V1/chat/completions",
    "/openai/v1/messages",
    "/anthropic/v1/chat/completions",
    "/openai/chat/completions",
    "/v1/v1/v1/messages",
    "/evil/v1/chat/completions",
    "/admin/orgs",
    "/.well-known/x",
]


@pytest.mark.parametrize("path", UNKNOWN)
def test_other_paths_are_unknown(path: str) -> None:
    with pytest.raises((UnknownEndpoint, BadPath)):
        find_route("POST", path.encode(), ())


TRICKS = [
    b"",
    b"v1/messages",
    b"//evil.example/v1/messages",
    b"/v1//messages",
    b"/v1/messages//",
    b"/@evil.example/v1/messages",
    b"/v1/messages@evil.example",
    b"http://evil.example/v1/messages",
    b"/v1\\messages",
    b"/\\evil.example",
    b"/v1/../admin",
    b"/v1/..",
    b"/..",
    b"/./v1/messages",
    b"/v1/%2e%2e/messages",
    b"/v1/messages%2fcount_tokens",
    b"/v1/%6dessages",
    b"/v1/messages%00",
    b"/v1/messages\x00",
    b"/v1/messages#x",
    b"/v1/messages;x=1",
    b"/v1/messages?x",
    b"/v1/m\xc3\xa9ssages",
    b"/v1/ messages",
    b"/v1/messages\r\n",
    b"/v1/messages\t",
    b"*",
]


@pytest.mark.parametrize("path", TRICKS)
def test_path_that_two_parsers_could_read_differently_is_refused(path: bytes) -> None:
    with pytest.raises(BadPath):
        find_route("POST", path, ())


SERVED = ("chat/completions", "responses", "embeddings", "models", "messages", "messages/count_tokens", "models/messages")


@given(
    st.binary(max_size=40)
    | st.lists(st.sampled_from([b"v1", b"models", b"messages", b"..", b"%2e", b"", b"@x"])).map(b"/".join)
)
def test_no_path_leads_anywhere_but_to_the_table(path: bytes) -> None:
    table = {f"{prefix}{name}".encode() for prefix in ("", "v1/", "v1/v1/") for name in SERVED}
    with contextlib.suppress(BadPath, UnknownEndpoint, MethodNotAllowed):
        find_route("POST", b"/" + path, ())
        assert path in table


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "CONNECT", "post"])
def test_other_methods_are_not_allowed(method: str) -> None:
    with pytest.raises(MethodNotAllowed):
        find_route(method, b"/v1/messages", ())


@pytest.mark.parametrize("query", [b"", b"beta=true", b"limit=20&after_id=model_1", b"a=%20b", b"monkey=1", b"keys=1"])
def test_plain_queries_pass(query: bytes) -> None:
    check_query(query)


@pytest.mark.parametrize(
    "query",
    [
        b"key=x",
        b"a=1&key=x",
        b"KEY=x",
        b"%6bey=x",
        b"api_key=x",
        b"api-key=x",
        b"a;key=x",
        b"key",
        b"access_token=x",
        b"+key=x",
    ],
)
def test_credentials_in_queries_are_refused(query: bytes) -> None:
    with pytest.raises(BadQuery):
        check_query(query)


@pytest.mark.parametrize("query", [b"a=#b", b"a=\x00", b"a= b", b"a=\r\n", b"\xff"])
def test_queries_with_stray_characters_are_refused(query: bytes) -> None:
    with pytest.raises(BadQuery):
        check_query(query)


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        (b"/v1/nothing", (), Dialect.OPENAI),
        (b"/v1/nothing", VERSION, Dialect.ANTHROPIC),
        (b"/v1/messages/batches", (), Dialect.ANTHROPIC),
        (b"/anthropic/v1/nothing", (), Dialect.ANTHROPIC),
        (b"/openai/v1/nothing", VERSION, Dialect.OPENAI),
    ],
)
def test_dialect_of_an_unknown_path_is_guessed(path: bytes, headers: tuple[tuple[bytes, bytes], ...], dialect: Dialect) -> None:
    assert guess_dialect(path, headers) is dialect


def test_operation_may_go_to_any_provider_that_has_it_in_its_dialect_and_a_pinned_one_to_none_but_that() -> None:
    assert offering_of(find_route("POST", b"/v1/messages", ())) == ("anthropic",)
    assert "anthropic" not in offering_of(find_route("POST", b"/v1/chat/completions", ()))
    assert "openai" in offering_of(find_route("POST", b"/v1/chat/completions", ()))
    assert "groq" not in offering_of(find_route("POST", b"/v1/embeddings", ()))
    assert offering_of(find_route("POST", b"/groq/v1/chat/completions", ())) == ("groq",)


def test_what_is_never_edited_leads_to_no_other_provider() -> None:
    assert offering_of(find_route("GET", b"/v1/models/gpt-5", ())) == ()
    assert offering_of(find_route("POST", b"/v1/audio/transcriptions", ())) == ()
    assert offering_of(find_route("POST", b"/azure/openai/deployments/d/chat/completions", ())) == ()
