"""The development issuer lets anybody in, but sends them, and its codes, nowhere else than to who asked."""

import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from navplane.console.identity_provider import challenge
from navplane_local.issuer_codes import LIFE_SECONDS, Codes, Grant
from navplane_local.issuer_endpoints import USERS, Endpoints

URL = "http://127.0.0.1:9"
BACK = "http://127.0.0.1:8787/console/callback"
ASKED = {
    "response_type": "code",
    "client_id": "navplane-console",
    "redirect_uri": BACK,
    "scope": "openid profile",
    "state": "the-state",
    "nonce": "the-nonce",
    "code_challenge": challenge("the-verifier"),
    "code_challenge_method": "S256",
}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def endpoints(clock: Clock) -> Endpoints:
    return Endpoints(URL, Codes(clock), lambda grant: {"subject": grant.user.subject, "nonce": grant.nonce})


def code_for(endpoints: Endpoints, **form: str) -> str:
    answer = endpoints.chosen(urlencode(ASKED), {"subject": "local|admin", **form}, origin=URL.encode())
    assert answer.status == 303
    assert answer.headers["location"].startswith(f"{BACK}?")
    returned = parse_qs(urlsplit(answer.headers["location"]).query)
    assert (returned["state"], returned["iss"]) == (["the-state"], [URL])
    return returned["code"][0]


def redeemed(endpoints: Endpoints, code: str, **changes: str) -> int:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": "navplane-console",
        "redirect_uri": BACK,
        "code_verifier": "the-verifier",
    }
    return endpoints.redeemed({**form, **changes}).status


def test_page_offers_every_development_user_and_a_form_for_others(endpoints: Endpoints) -> None:
    page = endpoints.page(urlencode(ASKED))
    html = page.body.decode()
    assert page.status == 200
    assert re.findall(r'name="subject" value="([^"]+)"', html) == [user.subject for user in USERS]
    assert "form-action 'self' http://127.0.0.1:8787;" in page.headers["content-security-policy"]


def test_page_repeats_nothing_as_markup(endpoints: Endpoints) -> None:
    page = endpoints.page(urlencode({**ASKED, "client_id": '"><script>', "state": '"><script>'}))
    assert page.status == 200
    assert b"<script" not in page.body


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1.evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1@evil.example/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": ""},
        {"response_type": "token"},
        {"scope": "profile"},
        {"code_challenge": ""},
        {"code_challenge": "short"},
        {"code_challenge_method": "plain"},
        {"client_id": ""},
        {"state": ""},
    ],
)
def test_request_that_is_not_in_order_leads_nowhere(endpoints: Endpoints, changes: dict[str, str]) -> None:
    query = urlencode({**ASKED, **changes})
    for answer in (endpoints.page(query), endpoints.chosen(query, {"subject": "local|admin"}, origin=URL.encode())):
        assert answer.status == 400
        assert "location" not in answer.headers


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null"])
def test_form_of_another_page_is_refused(endpoints: Endpoints, origin: bytes) -> None:
    assert endpoints.chosen(urlencode(ASKED), {"subject": "local|admin"}, origin=origin).status == 400


@pytest.mark.parametrize("subject", ["", "   ", "a\nb", "a" * 256])
def test_user_must_have_a_subject_that_a_token_can_have(endpoints: Endpoints, subject: str) -> None:
    assert endpoints.chosen(urlencode(ASKED), {"subject": subject}, origin=URL.encode()).status == 400


def test_code_is_good_once(endpoints: Endpoints) -> None:
    code = code_for(endpoints)
    assert [redeemed(endpoints, code), redeemed(endpoints, code)] == [200, 400]


def test_code_is_good_for_a_minute(endpoints: Endpoints, clock: Clock) -> None:
    code = code_for(endpoints)
    clock.now = LIFE_SECONDS
    assert redeemed(endpoints, code) == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "another"},
        {"code_verifier": ""},
        {"client_id": "another"},
        {"redirect_uri": BACK + "/"},
        {"grant_type": "password"},
    ],
)
def test_code_is_good_only_for_who_asked(endpoints: Endpoints, changes: dict[str, str]) -> None:
    assert redeemed(endpoints, code_for(endpoints), **changes) == 400


def test_waiting_codes_are_bounded() -> None:
    codes, user = Codes(Clock()), USERS[0]
    grant = Grant(user=user, client_id="c", redirect_uri=BACK, challenge=challenge("v"), audience="navplane", nonce=None)
    first, *_, last = [codes.issue(grant) for _ in range(1001)]
    assert codes.redeem(first, client_id="c", redirect_uri=BACK, verifier="v") is None
    assert codes.redeem(last, client_id="c", redirect_uri=BACK, verifier="v") == grant
