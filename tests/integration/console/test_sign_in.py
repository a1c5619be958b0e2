"""Signing in and out: only who began an attempt ends it, only with tokens that are good, and nothing leads elsewhere."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from navplane.console.app import create
from navplane.console.cookies import SESSION_LIFE, Jar, Session
from navplane.console.identity_provider import challenge
from navplane.console.site import Site
from navplane.crypto.cookie import CookieSeal
from navplane.errors import Unauthenticated
from navplane_local.issuer import Issuer
from starlette.responses import Response

from tests.integration.console.conftest import CLIENT, KEY, ORIGIN, console_of
from tests.support.browser_session import Browser, Page
from tests.support.http_script import Answer, Request, ScriptedServer
from tests.support.log_lines import captured_log
from tests.support.oidc import answers_of, json_answer, rsa_key

SEAL = CookieSeal(KEY)


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def is_signed_in(browser: Browser) -> bool:
    return "Sign out" in Page.of(browser.open()).text


@contextmanager
def answering(server: ScriptedServer, issuer: Issuer, path: str, answer: Answer) -> Iterator[None]:
    """The issuer as it is, but for one path."""
    usual = answers_of(issuer)

    def script(request: Request) -> Answer:
        return answer if request.path.partition("?")[0] == path else usual(request)

    server.script = script
    try:
        yield
    finally:
        server.script = usual


def test_signing_in_shows_who_came_back(browser: Browser, organization: Mapping[str, str]) -> None:
    page = Page.of(browser.sign_in("local|admin"))
    assert page.facts["Subject"] == "local|admin"
    assert page.facts["E-mail"] == "ada@navplane.test"
    assert "Ada Admin" in page.text


def test_each_attempt_is_asked_with_pkce_a_state_and_a_nonce_of_its_own(browser: Browser, issuer: Issuer) -> None:
    first, second = (query_of(browser.ask_to_sign_in()) for _ in range(2))
    assert first["code_challenge_method"] == "S256"
    assert first["redirect_uri"] == f"{ORIGIN}/console/callback"
    assert (first["response_type"], first["client_id"], first["audience"]) == ("code", CLIENT, "navplane")
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) >= 43
        assert first[name] != second[name]


def test_cookie_of_an_attempt_shows_nothing_of_it_and_its_verifier_never_leaves(browser: Browser) -> None:
    asked = query_of(browser.ask_to_sign_in())
    cookie = browser.client.cookies["navplane-attempt"]
    attempt = Jar(SEAL, {"navplane-attempt": cookie}, secure=False).attempt(now=datetime.now(UTC))
    assert attempt is not None
    assert challenge(attempt.verifier) == asked["code_challenge"]
    assert not [kept for kept in (attempt.verifier, attempt.state, attempt.nonce) if kept in cookie]
    assert attempt.verifier not in str(asked)


def test_answer_to_another_attempt_is_refused(browser: Browser) -> None:
    back = browser.choose(browser.ask_to_sign_in(), subject="local|admin")
    browser.ask_to_sign_in()
    assert browser.client.get(back).status_code == 400
    assert not is_signed_in(browser)


def test_answer_that_another_browser_was_given_is_refused(browser: Browser, console: FastAPI) -> None:
    back = browser.choose(browser.ask_to_sign_in(), subject="local|admin")
    with TestClient(console, base_url=ORIGIN, follow_redirects=False) as other:
        refused = other.get(back)
        assert refused.status_code == 400
        assert "set-cookie" not in refused.headers
    assert browser.client.get(back).status_code == 303


def test_answer_counts_once(browser: Browser) -> None:
    back = browser.choose(browser.ask_to_sign_in(), subject="local|admin")
    assert [browser.client.get(back).status_code for _ in range(2)] == [303, 400]
    assert is_signed_in(browser)


@pytest.mark.parametrize("change", [{"state": "another"}, {"state": ""}, {"iss": "https://evil.example"}, {"code": ""}])
def test_answer_that_was_altered_is_refused(browser: Browser, change: dict[str, str]) -> None:
    asked = browser.ask_to_sign_in()
    answer = query_of(browser.choose(asked, subject="local|admin")) | change
    assert browser.open("/callback", **answer).status_code == 400
    assert not is_signed_in(browser)


def test_refusal_of_the_issuer_is_said_without_its_words(browser: Browser) -> None:
    state = query_of(browser.ask_to_sign_in())["state"]
    refused = browser.open("/callback", state=state, error="access_denied", error_description="Call 0800 EVIL")
    assert refused.status_code == 403
    assert "EVIL" not in refused.text


ANOTHER = "local|somebody-else"
# What is wrong: (claims of the ID token, claims of the access token), over the right ones.
HOSTILE: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "another attempt's nonce": ({"nonce": "another"}, {}),
    "no nonce": ({"nonce": ""}, {}),
    "another client's ID token": ({"aud": "another-client"}, {}),
    "meant for two, and not said for whom": ({"aud": [CLIENT, "another"]}, {}),
    "authorized for another": ({"azp": "another"}, {}),
    "another issuer's": ({"iss": "https://evil.example"}, {}),
    "an ID token of yesterday": ({"iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_003_600}, {}),
    "an access token of yesterday": ({}, {"iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_003_600}),
    "an access token for another API": ({}, {"aud": "another-api"}),
    "two people": ({}, {"sub": ANOTHER}),
    "an ID token in the access token's place": ({}, {"nonce": "n"}),
}


@pytest.mark.parametrize("wrong", HOSTILE)
def test_tokens_that_are_not_good_sign_nobody_in(
    browser: Browser, served_issuer: tuple[Issuer, ScriptedServer], wrong: str
) -> None:
    issuer, server = served_issuer
    asked = browser.ask_to_sign_in()
    of_id, of_access = HOSTILE[wrong]
    nonce: dict[str, object] = {"nonce": query_of(asked)["nonce"]}
    tokens = {
        "id_token": issuer.mint("local|admin", audience=CLIENT, claims={**nonce, **of_id}, kind="JWT"),
        "access_token": issuer.mint("local|admin", claims=of_access),
    }
    back = browser.choose(asked, subject="local|admin")
    with answering(server, issuer, "/token", json_answer(tokens)):
        refused = browser.client.get(back)
    assert refused.status_code == 401
    assert "navplane-session" not in browser.client.cookies
    assert ANOTHER not in refused.text


def test_tokens_that_another_key_signed_sign_nobody_in(browser: Browser, served_issuer: tuple[Issuer, ScriptedServer]) -> None:
    issuer, server = served_issuer
    forger = Issuer(issuer.url, rsa_key("forger"))
    forger.kid = issuer.kid
    asked = browser.ask_to_sign_in()
    claims: dict[str, object] = {"nonce": query_of(asked)["nonce"]}
    tokens = {
        "id_token": forger.mint("local|admin", audience=CLIENT, claims=claims, kind="JWT"),
        "access_token": issuer.mint("local|admin"),
    }
    back = browser.choose(asked, subject="local|admin")
    with answering(server, issuer, "/token", json_answer(tokens)):
        assert browser.client.get(back).status_code == 401


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (json_answer({"access_token": "opaque"}), 401),
        (json_answer({"access_token": 1, "id_token": 2}), 401),
        (Answer(status=400, body=b'{"error": "invalid_grant"}'), 401),
        (Answer(status=500, body=b"fell over"), 503),
        (Answer(status=302, headers={"location": "http://127.0.0.1:1/"}), 503),
        (Answer(body=b"not JSON"), 503),
        (Answer(body=b"[" * 100_000), 503),
        (json_answer([]), 503),
    ],
)
def test_token_endpoint_that_does_not_answer_as_one_does(
    browser: Browser, served_issuer: tuple[Issuer, ScriptedServer], answer: Answer, status: int
) -> None:
    issuer, server = served_issuer
    back = browser.choose(browser.ask_to_sign_in(), subject="local|admin")
    with answering(server, issuer, "/token", answer):
        assert browser.client.get(back).status_code == status
    assert not is_signed_in(browser)


@pytest.mark.parametrize(
    "document",
    [{"issuer": "https://evil.example"}, {"authorization_endpoint": "javascript:alert(1)"}, {"token_endpoint": "file:///etc"}],
)
def test_issuer_that_is_away_or_says_nonsense_is_a_503(
    console: FastAPI, served_issuer: tuple[Issuer, ScriptedServer], document: dict[str, str]
) -> None:
    issuer, server = served_issuer
    said = json_answer({**issuer.discovery(), **document})
    with (
        TestClient(console, base_url=ORIGIN, follow_redirects=False) as client,
        answering(server, issuer, "/.well-known/openid-configuration", said),
    ):
        refused = client.get("/console/sign-in")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    "query", [{"next": "https://evil.example"}, {"organization": "//evil.example"}, {"workspace": "https:evil.example"}]
)
def test_no_address_that_is_sent_along_is_ever_followed(browser: Browser, query: dict[str, str]) -> None:
    begun = browser.open("/sign-in", **query)
    if begun.status_code == 303:
        back = browser.client.get(browser.choose(begun.headers["location"], subject="local|admin"))
        assert back.headers["location"] == "/console"
    else:
        assert begun.status_code == 404
        assert "evil" not in begun.text


def test_page_that_was_asked_for_comes_after_signing_in(browser: Browser, organization: Mapping[str, str]) -> None:
    asked = browser.ask_to_sign_in(organization=organization["id"])
    back = browser.client.get(browser.choose(asked, subject="local|admin"))
    assert back.headers["location"] == f"/console?organization={organization['id']}"


def test_cookies_without_tls_are_for_scripts_and_other_sites_nothing(browser: Browser) -> None:
    back = browser.client.get(browser.choose(browser.ask_to_sign_in(), subject="local|admin"))
    (session,) = [cookie for cookie in back.headers.get_list("set-cookie") if cookie.startswith("navplane-session=")]
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=3600"} <= set(session.split("; "))
    assert "domain" not in session.lower()


def test_cookies_behind_tls_can_only_be_set_by_the_host_itself(issuer: Issuer, app: FastAPI) -> None:
    console = create(console_of(issuer, app, site=None))
    with TestClient(console, base_url="https://abc123.example.com", follow_redirects=False) as client:
        begun = client.get("/console/sign-in")
    assert query_of(begun.headers["location"])["redirect_uri"] == "https://abc123.example.com/console/callback"
    (attempt,) = begun.headers.get_list("set-cookie")
    assert attempt.startswith("__Host-navplane-attempt=")
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(attempt.split("; "))
    assert "domain" not in attempt.lower()


@pytest.mark.parametrize("host", ["evil.example/path", "a b", "a@b", "", "a:999999"])
def test_host_that_is_none_is_refused(issuer: Issuer, app: FastAPI, host: str) -> None:
    console = create(console_of(issuer, app, site=None))
    with TestClient(console, base_url="https://x.test", follow_redirects=False) as client:
        assert client.get("/console/sign-in", headers={"host": host}).status_code == 400


def test_altered_cookie_counts_as_none(browser: Browser, organization: Mapping[str, str]) -> None:
    browser.sign_in("local|admin")
    kept = browser.client.cookies["navplane-session"]
    browser.client.cookies.clear()
    browser.client.cookies.set("navplane-session", kept[:-8] + "AAAAAAAA")
    assert not is_signed_in(browser)
    browser.client.cookies.clear()
    browser.client.cookies.set("navplane-attempt", kept)
    assert browser.open("/callback", state="", code="c").status_code == 400


def kept_by(session: Session, *, at: datetime) -> dict[str, str]:
    response = Response()
    Jar(SEAL, {}, secure=True).keep_session(response, session, now=at)
    pairs = (cookie.partition(";")[0].partition("=") for cookie in response.headers.getlist("set-cookie"))
    return {name: value for name, _, value in pairs}


def test_session_ends_after_an_hour() -> None:
    session, began = Session(access_token="t", subject="s", name=None, email=None), datetime(2026, 1, 1, tzinfo=UTC)
    jar = Jar(SEAL, kept_by(session, at=began), secure=True)
    assert jar.session(now=began + SESSION_LIFE - timedelta(seconds=1)) == session
    assert jar.session(now=began + SESSION_LIFE) is None


def test_long_token_is_kept_in_two_cookies_and_a_longer_one_is_refused() -> None:
    token = json.dumps([rsa_key("long").private_numbers().d % (7**2000)])
    session, now = Session(access_token=token * 1, subject="s", name=None, email=None), datetime.now(UTC)
    incompressible = Session(access_token=SEAL.seal(bytes(2900), purpose="x"), subject="s", name=None, email=None)
    assert kept_by(session, at=now).keys() == {"__Host-navplane-session"}
    cookies = kept_by(incompressible, at=now)
    assert cookies.keys() == {"__Host-navplane-session", "__Host-navplane-session1"}
    assert all(
        len(f"{name}={value}; HttpOnly; Max-Age=3600; Path=/; SameSite=lax; Secure") <= 4096 for name, value in cookies.items()
    )
    assert Jar(SEAL, cookies, secure=True).session(now=now) == incompressible
    with pytest.raises(Unauthenticated, match="too long"):
        kept_by(Session(access_token=SEAL.seal(bytes(8000), purpose="x"), subject="s", name=None, email=None), at=now)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    ],
)
def test_form_of_another_site_signs_nobody_out(
    browser: Browser, organization: Mapping[str, str], headers: dict[str, str]
) -> None:
    browser.sign_in("local|admin")
    assert browser.sign_out(**headers).status_code == 403
    assert is_signed_in(browser)


def test_signing_out_forgets_the_session(browser: Browser, organization: Mapping[str, str]) -> None:
    browser.sign_in("local|admin")
    assert browser.client.get(browser.url + "/sign-out").status_code == 405
    assert browser.sign_out(origin=ORIGIN).status_code == 200
    assert "navplane-session" not in browser.client.cookies
    assert not is_signed_in(browser)


def test_no_log_line_and_no_page_shows_a_token_or_a_code(browser: Browser, organization: Mapping[str, str]) -> None:
    with captured_log() as log:
        back = browser.choose(browser.ask_to_sign_in(), subject="local|admin")
        first = browser.client.get(back)
        page = browser.open()
    jar = Jar(SEAL, dict(browser.client.cookies), secure=False)
    session = jar.session(now=datetime.now(UTC))
    assert session is not None
    for secret in (session.access_token, query_of(back)["code"], browser.client.cookies["navplane-session"]):
        assert secret not in log.getvalue()
        assert secret not in page.text
    assert session.access_token not in str(first.headers)
    assert session.access_token not in repr(session)


def test_site_that_is_set_wins_over_the_host_of_a_request(issuer: Issuer, app: FastAPI) -> None:
    console = create(console_of(issuer, app, site=Site(origin="https://navplane.example")))
    with TestClient(console, base_url="https://evil.example", follow_redirects=False) as client:
        begun = client.get("/console/sign-in")
    assert query_of(begun.headers["location"])["redirect_uri"] == "https://navplane.example/console/callback"
