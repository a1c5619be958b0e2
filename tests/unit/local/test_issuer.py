"""The development issuer: its key file, its documents, and its tokens."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import jwt
import pytest
from navplane_local.issuer import Issuer


def get(issuer: Issuer, path: str, method: str = "GET") -> tuple[int, Any]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": []}
    asyncio.run(issuer(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_the_key_is_kept_for_the_owner_alone_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "issuer.pem"
    first = Issuer.from_file(path, url="http://127.0.0.1:1/")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Issuer.from_file(path, url="http://127.0.0.1:1").kid == first.kid
    assert [file.name for file in tmp_path.iterdir()] == ["issuer.pem"]


def test_a_start_that_was_interrupted_does_not_stop_the_next(tmp_path: Path) -> None:
    (tmp_path / "issuer.new").write_text("half a key")
    assert Issuer.from_file(tmp_path / "issuer.pem", url="http://127.0.0.1:1").kid


def test_it_describes_itself_and_publishes_no_private_part(tmp_path: Path) -> None:
    issuer = Issuer.from_file(tmp_path / "issuer.pem", url="http://127.0.0.1:1")
    status, described = get(issuer, "/.well-known/openid-configuration")
    assert (status, described["issuer"], described["jwks_uri"]) == (200, "http://127.0.0.1:1", "http://127.0.0.1:1/jwks.json")
    status, keys = get(issuer, "/jwks.json")
    assert status == 200
    assert set(keys["keys"][0]) <= {"kty", "key_ops", "n", "e", "kid", "use", "alg"}
    token = issuer.mint("local|admin", claims={"email": "a@example.com"})
    claims = jwt.decode(token, jwt.PyJWK(keys["keys"][0]), algorithms=["RS256"], audience="navplane")
    assert (claims["sub"], claims["email"], claims["iss"]) == ("local|admin", "a@example.com", "http://127.0.0.1:1")


@pytest.mark.parametrize(("path", "method"), [("/", "GET"), ("/token", "GET"), ("/jwks.json", "POST")])
def test_anything_else_is_404(tmp_path: Path, path: str, method: str) -> None:
    assert get(Issuer.from_file(tmp_path / "issuer.pem", url="http://127.0.0.1:1"), path, method)[0] == 404
