"""The tokens that the admin API takes, and every one that it refuses."""

import hmac
import json
import time
from collections.abc import Iterator
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm
from navplane.crypto.token import TokenVerifier
from navplane.errors import Unauthenticated
from navplane_local.issuer import Issuer

from tests.support.hostile_tokens import BAD_CLAIMS, BAD_HEADERS, HOUR, b64, payload, signed
from tests.support.http_script import ScriptedServer
from tests.support.oidc import answers_of, issuing, json_answer, rsa_key


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Issuer, ScriptedServer]]:
    with issuing() as pair:
        yield pair


@pytest.fixture(scope="module")
def issuer(served: tuple[Issuer, ScriptedServer]) -> Issuer:
    return served[0]


@pytest.fixture(scope="module")
def verifier(issuer: Issuer) -> TokenVerifier:
    return TokenVerifier(issuer.url, "navplane")


def refused(verifier: TokenVerifier, token: str) -> None:
    with pytest.raises(Unauthenticated):
        verifier.verify(token)


def test_a_minted_token_tells_who_is_calling(issuer: Issuer, verifier: TokenVerifier) -> None:
    claims = verifier.verify(issuer.mint("local|admin", claims={"email": "admin@example.com", "name": "Ada"}))
    assert (claims.issuer, claims.subject) == (issuer.url, "local|admin")
    assert (claims.email, claims.name) == ("admin@example.com", "Ada")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"aud": ["other", "navplane"]},
        {"exp": int(time.time()) + 24 * HOUR - 60},
        {"nbf": int(time.time())},
        {"iat": time.time()},
        {"typ": "Bearer"},
        {"token_use": "access"},
        {"email": 7},
    ],
)
def test_what_an_issuer_may_vary_is_accepted(issuer: Issuer, verifier: TokenVerifier, changes: dict[str, object]) -> None:
    assert verifier.verify(signed(issuer, payload(issuer, **changes))).subject == "local|admin"


def test_an_issuer_that_ends_in_a_slash_is_the_same_issuer(issuer: Issuer, verifier: TokenVerifier) -> None:
    claims = verifier.verify(signed(issuer, payload(issuer, iss=issuer.url + "/")))
    assert claims.issuer == issuer.url


@pytest.mark.parametrize("case", BAD_CLAIMS)
def test_claims_that_are_not_for_us_now_are_refused(issuer: Issuer, verifier: TokenVerifier, case: str) -> None:
    refused(verifier, signed(issuer, payload(issuer, **BAD_CLAIMS[case])))


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_a_header_that_brings_its_own_rules_is_refused(issuer: Issuer, verifier: TokenVerifier, case: str) -> None:
    refused(verifier, signed(issuer, payload(issuer), **BAD_HEADERS[case]))


def test_an_unsigned_token_is_refused(issuer: Issuer, verifier: TokenVerifier) -> None:
    body = b64(json.dumps(payload(issuer)).encode())
    for alg in ("none", "None", "NONE", ""):
        header = b64(json.dumps({"alg": alg, "kid": issuer.kid, "typ": "JWT"}).encode())
        refused(verifier, f"{header}.{body}.")
        refused(verifier, f"{header}.{body}.AAAA")


def test_the_public_key_is_not_a_shared_secret(issuer: Issuer, verifier: TokenVerifier) -> None:
    public = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = b64(json.dumps({"alg": "HS256", "kid": issuer.kid, "typ": "JWT"}).encode())
    body = b64(json.dumps(payload(issuer)).encode())
    mac = b64(hmac.digest(public, f"{header}.{body}".encode(), "sha256"))
    refused(verifier, f"{header}.{body}.{mac}")


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_other_algorithms_of_the_same_key_are_refused(issuer: Issuer, verifier: TokenVerifier, algorithm: str) -> None:
    refused(verifier, jwt.encode(payload(issuer), rsa_key(), algorithm=algorithm, headers={"kid": issuer.kid}))


def test_another_key_under_the_issuers_key_name_is_refused(issuer: Issuer, verifier: TokenVerifier) -> None:
    refused(verifier, jwt.encode(payload(issuer), rsa_key("thief"), algorithm="RS256", headers={"kid": issuer.kid}))
    curve = ec.generate_private_key(ec.SECP256R1())
    refused(verifier, jwt.encode(payload(issuer), curve, algorithm="ES256", headers={"kid": issuer.kid}))


def test_every_changed_character_is_noticed(issuer: Issuer, verifier: TokenVerifier) -> None:
    token = issuer.mint("local|admin")
    for position in range(0, len(token) - 1, 7):
        other = "A" if token[position] != "A" else "B"
        refused(verifier, token[:position] + other + token[position + 1 :])


@given(st.text(max_size=300))
def test_arbitrary_text_is_refused(verifier: TokenVerifier, text: str) -> None:
    refused(verifier, text)


@pytest.mark.parametrize(
    "token",
    [
        "..",
        "a.b.c",
        "x" * 9000,
        f"{b64(b'[]')}.{b64(b'{}')}.AAAA",
        f"{b64(b'{' * 3000)}.{b64(b'{}')}.AAAA",
        f"{b64(b'[' * 5000)}.{b64(b'{}')}.AAAA",
    ],
)
def test_malformed_tokens_are_refused(verifier: TokenVerifier, token: str) -> None:
    refused(verifier, token)


def test_es256_is_accepted_and_weak_or_foreign_keys_are_not(served: tuple[Issuer, ScriptedServer]) -> None:
    issuer, server = served
    curve, weak = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(public_exponent=65537, key_size=1024)
    keys = [
        {**ECAlgorithm.to_jwk(curve.public_key(), as_dict=True), "kid": "curve", "use": "sig"},
        {**Issuer(issuer.url, weak).keys()["keys"][0], "kid": "weak"},
        {**Issuer(issuer.url, rsa_key()).keys()["keys"][0], "kid": "enc", "use": "enc"},
        {"kty": "oct", "k": b64(b"s" * 32), "kid": "shared"},
        {"kty": "RSA", "kid": "broken"},
        "not even an object",
    ]
    usual = answers_of(issuer)
    server.script = lambda request: json_answer({"keys": keys}) if "jwks" in request.path else usual(request)
    try:
        verifier = TokenVerifier(issuer.url, "navplane")
        token = jwt.encode(payload(issuer), curve, algorithm="ES256", headers={"kid": "curve"})
        assert verifier.verify(token).subject == "local|admin"
        refused(verifier, jwt.encode(payload(issuer), rsa_key(), algorithm="RS256", headers={"kid": "enc"}))
        refused(verifier, jwt.encode(payload(issuer), b"s" * 32, algorithm="HS256", headers={"kid": "shared"}))
        refused(verifier, jwt.encode(payload(issuer), curve, algorithm="ES256", headers={"kid": "broken"}))
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            weakly = jwt.encode(payload(issuer), weak, algorithm="RS256", headers={"kid": "weak"})
        refused(verifier, weakly)
    finally:
        server.script = usual


def test_a_minted_token_lives_as_long_as_asked(issuer: Issuer, verifier: TokenVerifier) -> None:
    refused(verifier, issuer.mint("local|admin", lifetime=timedelta(hours=25)))
    refused(verifier, issuer.mint("local|admin", lifetime=timedelta(seconds=-60)))
    assert verifier.verify(issuer.mint("local|admin", lifetime=timedelta(hours=24))).subject == "local|admin"
