"""The development issuer behind real HTTP: what the admin API's tokens come from in tests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from navplane_local.issuer import DISCOVERY_PATH, KEYS_PATH, Issuer

from tests.support.http_script import Answer, Request, Script, ScriptedServer, serving


@cache
def rsa_key(name: str = "usual") -> rsa.RSAPrivateKey:
    """One key per name and test run: making one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@contextmanager
def issuing() -> Iterator[tuple[Issuer, ScriptedServer]]:
    """An issuer that answers, and the server it answers on."""
    with serving(lambda request: Answer(status=404)) as server:
        issuer = Issuer(server.url, rsa_key())
        server.script = answers_of(issuer)
        yield issuer, server


def answers_of(issuer: Issuer) -> Script:
    def script(request: Request) -> Answer:
        documents = {DISCOVERY_PATH: issuer.discovery, KEYS_PATH: issuer.keys}
        document = documents.get(request.path)
        return json_answer(document()) if document else Answer(status=404)

    return script


def json_answer(document: object) -> Answer:
    return Answer(headers={"content-type": "application/json"}, body=json.dumps(document).encode())
