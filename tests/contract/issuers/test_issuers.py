"""The access tokens that Auth0, Okta and Entra document, each from an issuer at its own path with keys in its own shape."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from jwt.algorithms import RSAAlgorithm
from navplane.crypto.token import TokenVerifier
from navplane.errors import Unauthenticated

from tests.support.http_script import Answer, Request, serving
from tests.support.oidc import json_answer, rsa_key

DOCUMENTED = {path.stem: path.read_text() for path in sorted(Path(__file__).parent.glob("*.json"))}


@contextmanager
def issuing(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The issuer's URL, and what is documented, with that URL in it. It answers below its own path alone."""
    with serving(lambda request: Answer(status=404)) as server:
        issuer = server.url + json.loads(DOCUMENTED[name])["issuer_path"].rstrip("/")
        documented = json.loads(DOCUMENTED[name].replace("{issuer}", issuer))
        public = RSAAlgorithm.to_jwk(rsa_key(name).public_key(), as_dict=True)
        key = {**documented["key"], "kid": documented["header"]["kid"], "kty": "RSA", "n": public["n"], "e": public["e"]}
        # Each says of itself what its tokens say, with the slash at the end or without.
        discovery = {"issuer": documented["claims"]["iss"], "jwks_uri": f"{issuer}/discovery/keys"}

        def script(request: Request) -> Answer:
            answers = {"/.well-known/openid-configuration": discovery, "/discovery/keys": {"keys": [key]}}
            document = answers.get((server.url + request.path).removeprefix(issuer))
            return json_answer(document) if document else Answer(status=404)

        server.script = script
        yield issuer, documented


def token(name: str, documented: dict[str, Any], **changes: object) -> str:
    now = int(time.time())
    claims = {**documented["claims"], "iat": now, "nbf": now, "exp": now + 3600, **changes}
    return jwt.encode(claims, rsa_key(name), algorithm="RS256", headers=documented["header"])


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_documented_token_tells_who_is_calling(name: str) -> None:
    with issuing(name) as (issuer, documented):
        claims = TokenVerifier(issuer, documented["audience"]).verify(token(name, documented))
    expected = documented["expected"]
    assert (claims.issuer, claims.subject, claims.principal) == (issuer, expected["subject"], expected["subject"])
    assert (claims.email, claims.email_verified) == (expected["email"], expected["email_verified"])
    assert list(claims.permissions) == expected["permissions"]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_token_of_the_same_issuer_for_another_application_is_refused(name: str) -> None:
    with issuing(name) as (issuer, documented):
        verifier = TokenVerifier(issuer, documented["audience"])
        for audience in (
            "https://graph.microsoft.com",
            f"{issuer}/userinfo",
            [f"{issuer}/userinfo"],
            documented["claims"].get("azp", "x"),
        ):
            with pytest.raises(Unauthenticated):
                verifier.verify(token(name, documented, aud=audience))


def test_many_issuers_are_trusted_at_once_each_with_its_own_keys_and_its_own_audience() -> None:
    with issuing("auth0") as (first, one), issuing("okta") as (second, other), issuing("entra") as (third, stranger):
        verifier = TokenVerifier(first, one["audience"], others={second: other["audience"]})
        assert verifier.verify(token("auth0", one)).principal == one["expected"]["subject"]
        found = verifier.verify(token("okta", other))
        assert found.principal == f"{second}#{other['expected']['subject']}", "a subject is its issuer's only"
        refused = {
            "an issuer that nobody named": token("entra", stranger),
            "the other's audience": token("okta", other, aud=one["audience"]),
            "the other's name": token("okta", other, iss=one["claims"]["iss"]),
            "the other's name and audience": token("okta", other, iss=one["claims"]["iss"], aud=one["audience"]),
            "the other's key": jwt.encode(
                {**one["claims"], "iat": int(time.time()), "exp": int(time.time()) + 60},
                rsa_key("okta"),
                algorithm="RS256",
                headers=one["header"],
            ),
        }
        taken = [why for why, bad in refused.items() if is_taken(verifier, bad)]
        assert (taken, third in (first, second)) == ([], False)


def is_taken(verifier: TokenVerifier, presented: str) -> bool:
    try:
        verifier.verify(presented)
    except Unauthenticated:
        return False
    return True


@pytest.mark.parametrize(
    ("said", "verified"), [(True, True), (1, True), ("1", True), (False, None), ("0", None), ([], None), (None, None)]
)
def test_entra_vouches_for_an_address_by_the_owner_of_its_domain_alone(said: object, verified: bool | None) -> None:
    with issuing("entra") as (issuer, documented):
        claims = TokenVerifier(issuer, documented["audience"]).verify(token("entra", documented, xms_edov=said))
    assert claims.email_verified is verified
